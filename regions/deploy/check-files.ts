/**
 * Checks the files of a deployment as the processes that run from them would, and against each other. R53: what passes here
 * starts, because each process's configuration is made and parsed by the very code with which it starts.
 */

import { execFile } from 'node:child_process';
import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import {
  type ConfigProblem,
  identityFilesOf,
  loadProcessConfig,
  placeProblems,
  readIdentity,
  readSecret,
  regionId,
  type SecretFiles,
  storageConfigSchema,
  storagePart,
} from '../../storage/index.ts';
import type { Members } from '../members/core/members-request.ts';
import { agentConfigSchema } from './agent-config.ts';
import { membersBehind } from './core/members-behind.ts';
import { type DeploymentFile, deploymentRules, listenersOf } from './core/region-rules.ts';
import { endpointConfigSchema, endpointPart } from './endpoint-config.ts';
import { endpointHostProblems } from './endpoint-hosts.ts';
import { natsConfigOfFile } from './nats-config.ts';
import {
  agentName,
  agentPart,
  endpointName,
  loadMachineFile,
  type MachineFile,
  natsName,
  serverOf,
} from './region-file.ts';

/** What a check found. */
export interface CheckResult {
  readonly problems: readonly ConfigProblem[];
  /** Regions that the files speak of and that none of them is of. */
  readonly absent: readonly string[];
}

type RegionMachine = Extract<MachineFile, { kind: 'region' }>;

const gatewayTimeoutMs = 60_000;
const outputMax = 1024 * 1024;
const problemsSchema = z.array(
  z.object({
    file: z.string(),
    line: z.number().exactOptional(),
    column: z.number().exactOptional(),
    key: z.string(),
    message: z.string(),
  }),
);

/** Gateways know their own keys: one is started only to say what is wrong with all. `program` is what Node.js runs it with. */
function checkGateways(
  regions: readonly RegionMachine[],
  program: readonly string[],
): Promise<readonly ConfigProblem[]> {
  const each = regions.flatMap(({ file, region }) =>
    region.gateways.map(({ gateway }) => ({ file, name: String(gateway) })),
  );
  const args = each.flatMap(({ file, name }) => ['--config', file, '--name', name]);
  if (each.length === 0) return Promise.resolve([]);
  return new Promise((resolve) => {
    const limits = { timeout: gatewayTimeoutMs, maxBuffer: outputMax };
    execFile(process.execPath, [...program, '--check', ...args], limits, (error, stdout, stderr) => {
      if (error === null) return resolve(problemsSchema.parse(JSON.parse(stdout)));
      const said = stderr.trim().split('\n');
      const why = said.find((line) => /^\w*Error\b/.test(line)) ?? said.at(-1) ?? error.message;
      resolve(
        each.map(({ file, name }) => ({
          file,
          key: 'gateways',
          message: `${name} could not be asked: ${why}`,
        })),
      );
    });
  });
}

/** Its storage nodes, its agent and its endpoints. */
function checkRegion({ file, region }: RegionMachine): readonly ConfigProblem[] {
  const loaded = [
    ...region.nodes.map(({ node }) => loadProcessConfig(file, storageConfigSchema, storagePart(node))),
    loadProcessConfig(file, agentConfigSchema, agentPart),
    ...(region.endpoint === undefined ? [] : [loadProcessConfig(file, endpointConfigSchema, endpointPart)]),
  ];
  return loaded.flatMap((result) => (result.kind === 'invalid' ? result.found : []));
}

/** Certificates are read as each process reads its own at its start; what is wrong stands once for the directory. */
function checkCertificates(machine: MachineFile): readonly ConfigProblem[] {
  const { name, cluster, nats } = serverOf(machine);
  const region = machine.kind === 'region' ? machine.region : machine.witness;
  const own = { region: regionId(name), cluster };
  const processes =
    machine.kind === 'region'
      ? [
          ...machine.region.nodes.map(({ node }) => ({ role: 'storage' as const, name: String(node) })),
          { role: 'agent' as const, name: agentName },
          ...machine.region.gateways.map(({ gateway }) => ({
            role: 'gateway' as const,
            name: String(gateway),
          })),
          ...(machine.region.endpoint?.address === undefined
            ? []
            : [{ role: 'endpoint' as const, name: endpointName }]),
        ]
      : [];
  const servers = nats.servers === undefined ? [{ role: 'nats' as const, name: natsName }] : [];
  const reasons = [...processes, ...servers].flatMap((process) => {
    const files = identityFilesOf(region, machine.file, { ...process, region: name });
    const read = files === undefined ? undefined : readIdentity(files, { ...own, ...process }, Date.now());
    return read?.kind === 'unusable' ? [read.reason] : [];
  });
  const [first, ...more] = reasons;
  if (first === undefined) return [];
  const message = more.length === 0 ? first : `${first}; and ${more.length} more`;
  return placeProblems(machine.file, [{ path: ['certificatesDir'], message }]);
}

/** The server's configuration is made with a version of which all keys are known. */
function checkNats(machine: MachineFile): readonly ConfigProblem[] {
  if (serverOf(machine).nats.servers !== undefined) return [];
  const made = natsConfigOfFile(machine, '2.9.10');
  return made.kind === 'invalid' ? made.found : [];
}

const fileOf = (machine: MachineFile): DeploymentFile => {
  const server = serverOf(machine);
  const nats = (['address', 'routeAddress'] as const).flatMap((key) => {
    const address = server.nats[key];
    return address === undefined ? [] : [{ address, path: ['nats', key] }];
  });
  const listeners =
    machine.kind === 'region' ? listenersOf({ ...machine.region, name: machine.region.region }) : nats;
  return { file: machine.file, server, listeners };
};

/** The same secret everywhere, told apart without being shown. */
function secretProblems(machines: readonly MachineFile[]): readonly ConfigProblem[] {
  const [first, ...rest] = machines;
  if (first === undefined) return [];
  const digestOf = (machine: MachineFile, key: keyof SecretFiles) => {
    const { secrets } = machine.kind === 'region' ? machine.region : machine.witness;
    const read = readSecret(secrets, key, machine.file);
    return read.kind === 'read' && read.value !== undefined
      ? createHash('sha256').update(read.value).digest()
      : undefined;
  };
  return (['clusterFile', 'natsTokenFile', 'natsRouteFile'] as const).flatMap((key) => {
    const wanted = digestOf(first, key);
    return rest.flatMap((machine) => {
      const digest = digestOf(machine, key);
      if (wanted === undefined || digest === undefined || timingSafeEqual(wanted, digest)) return [];
      const message = `holds another secret than that of ${first.file}`;
      return placeProblems(machine.file, [{ path: ['secrets', key], message }]);
    });
  });
}

/** The same thing is wrong for several processes and is told once. */
function once(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const text = JSON.stringify(problem);
    return !seen.has(text) && seen.add(text);
  });
}

/**
 * Checks `files`: each by itself, and what several have to agree on. `gateway` is what Node.js runs a gateway with.
 * Secrets may come from the environment, as for the processes.
 * @param membersOf the storage nodes that a region that runs has; null when it is not asked.
 */
export async function checkFiles(
  files: readonly string[],
  gateway: readonly string[],
  membersOf: (region: string) => Promise<Members | null> = async () => null,
): Promise<CheckResult> {
  const loaded = files.map(loadMachineFile);
  const machines = loaded.flatMap((result) => (result.kind === 'ok' ? [result.value] : []));
  const unread = loaded.flatMap((result) => (result.kind === 'invalid' ? result.found : []));
  const regions = machines.filter((machine) => machine.kind === 'region');
  const gateways = await checkGateways(regions, gateway);
  const across = deploymentRules(machines.map(fileOf)).flatMap(({ file, path, message }) =>
    placeProblems(file, [{ path, message }]),
  );
  const behind = await Promise.all(
    regions.map(async ({ file, region }) => {
      const members = await membersOf(region.region);
      return members === null ? [] : placeProblems(file, membersBehind(region.nodes, members));
    }),
  );
  const named = new Set(regions.map(({ region }) => String(region.region)));
  const wanted = new Set(machines.flatMap((machine) => serverOf(machine).regions));
  return {
    problems: once([
      ...unread,
      ...regions.flatMap(checkRegion),
      ...gateways,
      ...endpointHostProblems(regions),
      ...machines.flatMap(checkNats),
      ...machines.flatMap(checkCertificates),
      ...across,
      ...secretProblems(machines),
      ...behind.flat(),
    ]),
    absent: [...wanted].filter((region) => !named.has(region)),
  };
}
