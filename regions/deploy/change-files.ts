/**
 * Writes what `core/region-addition.ts` has planned: the folder of a region that comes, and in the other files the few lines that
 * change. Comments, and whatever else stands in them, stay.
 */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { hasAuthority, issueCertificate, showCertificates } from '../certs/certificate-store.ts';
import { certificateDays, directoryOf, fileNames } from '../certs/core/certificate-plan.ts';
import type { PostgresUser } from './core/deployment-plan.ts';
import {
  type AdditionRequest,
  type ExistingFile,
  type FileEdit,
  planAddition,
  planRemoval,
} from './core/region-addition.ts';
import { endpointAddresses } from './core/region-rules.ts';
import { witnessText } from './core/region-text.ts';
import { edited } from './edit-text.ts';
import {
  authorityDir,
  certificatesDir,
  gatewayKeys,
  hostsOf,
  issueTo,
  keySetName,
  machineOf,
  natsCertified,
  regionFileName,
  witnessFileName,
} from './initialize.ts';
import { loadMachineFile, serverOf } from './region-file.ts';
import { secretNames, writeMachineFile, writeWhole } from './write-files.ts';

export type FilesChanged =
  | {
      readonly kind: 'changed';
      /** The file that was written anew: of the region that came, or of the server that goes on voting; null when there is none. */
      readonly file: string | null;
      readonly edited: readonly string[];
      /** Regions whose gateways have other certificates now. */
      readonly certified: readonly string[];
      /** The deployment that the files are of. */
      readonly cluster: string;
      readonly regions: readonly string[];
    }
  | { readonly kind: 'refused'; readonly reason: string };

const refused = (reason: string): FilesChanged => ({ kind: 'refused', reason });

/** Files of regions and of servers that only vote, one folder below `dir`, as `sextant init` makes them. */
function filesBelow(dir: string): { readonly files: readonly ExistingFile[] } | { readonly problem: string } {
  if (!existsSync(dir))
    return { problem: `there is no folder ${dir}: name that of \`sextant init\` with --dir` };
  const paths = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => [join(dir, name, regionFileName), join(dir, name, witnessFileName)])
    .filter((path) => existsSync(path));
  const files: ExistingFile[] = [];
  for (const path of paths) {
    const loaded = loadMachineFile(path);
    if (loaded.kind === 'invalid') return { problem: loaded.message };
    const { value: machine } = loaded;
    const server = serverOf(machine);
    const region = machine.kind === 'region' ? { ...machine.region, name: machine.region.region } : undefined;
    files.push({ file: path, server, region });
  }
  // The order of the regions, whatever their folders are called.
  const at = ({ server }: ExistingFile): number => {
    const place = server.regions.indexOf(server.name);
    return place < 0 ? server.regions.length : place;
  };
  return { files: files.sort((a, b) => at(a) - at(b)) };
}

const postgresSchema = z.looseObject({
  users: z.array(z.looseObject({ name: z.string(), verifier: z.string() })).default([]),
});

/** Who may connect by PostgreSQL's protocol, as the first gateway that says so has it; undefined where SQLite keeps the databases. */
function postgresUsersIn(files: readonly ExistingFile[]): readonly PostgresUser[] | undefined {
  const gateways = files.flatMap(({ region }) => region?.gateways ?? []);
  const first = gateways.find(({ engine }) => engine === 'postgres');
  const postgres = postgresSchema.safeParse(first?.postgres);
  return postgres.success ? postgres.data.users : undefined;
}

/** Makes the folder of a region that comes, and names it in the other files. @throws CertificateError. */
export async function addRegionFiles(
  dir: string,
  request: Omit<
    AdditionRequest,
    'secrets' | 'certificatesDir' | 'gatewayKeys' | 'postgresUsers' | 'endpoints'
  >,
): Promise<FilesChanged> {
  const found = filesBelow(dir);
  if ('problem' in found) return refused(found.problem);
  const { files } = found;
  const authority = join(dir, authorityDir);
  if (!hasAuthority(authority))
    return refused(
      `${authority} holds no authority: certificates of ${request.region} are made where \`sextant init\` ran`,
    );
  const names = secretNames(true);
  const postgresUsers = postgresUsersIn(files);
  // It is made like the others.
  const endpoints = files.some(({ region }) => region?.endpoint !== undefined);
  const shape = { secrets: names, certificatesDir, gatewayKeys, postgresUsers, endpoints };
  const planned = planAddition(files, { ...request, ...shape });
  if (planned.kind === 'refused') return planned;
  const others = files.flatMap(({ region }) => region ?? []);
  const machine = machineOf(dir, planned.plan, endpointAddresses([...others, planned.plan]));
  if (existsSync(machine.file)) return refused(`${machine.file} is there already: move it away first`);
  const from = dirname(files[0]?.file ?? dir);
  const secretIn = (name: string): string => readFileSync(join(from, name), 'utf8').trim();
  await issueTo(authority, machine.name, machine.processes);
  writeMachineFile(machine.file, machine.text, {
    clusterFile: secretIn(names.clusterFile),
    natsTokenFile: undefined,
    natsRouteFile: secretIn(names.natsRouteFile),
  });
  const { name } = machine;
  cpSync(join(authority, name), join(dir, name, certificatesDir, name), { recursive: true });
  cpSync(join(authority, keySetName), join(dir, name, keySetName));
  const certified = await nameEndpoints(dir, files, endpointAddresses([planned.plan]));
  applyAll(planned.edits);
  const { cluster, regions } = planned.plan;
  return {
    kind: 'changed',
    file: machine.file,
    edited: planned.edits.map(({ file }) => file),
    certified,
    cluster,
    regions,
  };
}

/**
 * Clients that connect to the endpoints of a region that comes may be led to any gateway there is, whose certificate has to name
 * that host, too. @returns the regions whose gateways have got other certificates
 */
async function nameEndpoints(
  dir: string,
  files: readonly ExistingFile[],
  addresses: readonly string[],
): Promise<readonly string[]> {
  const authority = join(dir, authorityDir);
  const hosts = hostsOf(addresses);
  const certified = new Set<string>();
  for (const { region, server } of files)
    for (const { gateway } of region?.gateways ?? []) {
      const identity = { region: server.name, role: 'gateway', name: gateway } as const;
      const issued = join(authority, directoryOf(identity), fileNames.cert);
      const known = existsSync(issued) ? (showCertificates(issued)[0]?.hosts ?? []) : null;
      // Without a certificate of this authority clients are shown another one, of which nothing is known here.
      if (known === null || hosts.every((host) => known.includes(host))) continue;
      const wanted = { identity, hosts: [...new Set([...known, ...hosts])], days: certificateDays.default };
      await issueCertificate(authority, wanted, Date.now());
      cpSync(dirname(issued), join(dir, server.name, certificatesDir, directoryOf(identity)), {
        recursive: true,
      });
      certified.add(server.name);
    }
  return [...certified];
}

/**
 * Takes a region out of the other files. Where its server keeps a copy of the control record, its file becomes that of a server
 * that only votes, on its machine or on another. Its own file is kept beside it, as `region.yaml.left`. @throws CertificateError.
 */
export async function removeRegionFiles(
  dir: string,
  request: { readonly region: string; readonly voteAt: string | undefined },
): Promise<FilesChanged> {
  const found = filesBelow(dir);
  if ('problem' in found) return refused(found.problem);
  const { files } = found;
  const own = loadMachineFile(files.find(({ server }) => server.name === request.region)?.file ?? dir);
  const leaving = own.kind === 'ok' && own.value.kind === 'region' ? own.value.region : undefined;
  const names = secretNames(true);
  const planned = planRemoval(files, {
    ...request,
    dataDir: join(leaving?.dataDir ?? '.', 'nats'),
    secrets: {
      clusterFile: leaving?.secrets?.clusterFile ?? names.clusterFile,
      natsTokenFile: leaving?.secrets?.natsTokenFile,
      natsRouteFile: leaving?.secrets?.natsRouteFile ?? names.natsRouteFile,
    },
    certificatesDir: leaving?.certificatesDir,
  });
  if (planned.kind === 'refused') return planned;
  const { voter, file, edits } = planned;
  const folder = dirname(file);
  renameSync(file, `${file}.left`);
  const written = voter === null ? null : join(folder, witnessFileName);
  if (voter !== null && written !== null) {
    if (request.voteAt !== undefined) {
      const authority = join(dir, authorityDir);
      await issueTo(authority, request.region, [natsCertified(voter)]);
      cpSync(join(authority, request.region), join(folder, certificatesDir, request.region), {
        recursive: true,
      });
    }
    writeWhole(
      written,
      witnessText(voter, `The vote of ${request.region}, which has left, is held from this file.`),
    );
  }
  applyAll(edits);
  const [first] = edits;
  return {
    kind: 'changed',
    file: written,
    edited: edits.map((edit) => edit.file),
    certified: [],
    cluster: files[0]?.server.cluster ?? '',
    regions: first?.regions ?? [],
  };
}

function applyAll(edits: readonly FileEdit[]): void {
  for (const edit of edits) writeWhole(edit.file, edited(readFileSync(edit.file, 'utf8'), edit));
}
