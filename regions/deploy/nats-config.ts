/** The configuration of the NATS server that a machine's file describes. */
import { join } from 'node:path';
import {
  besideFile,
  type ConfigProblem,
  dataDirOf,
  type IdentityFiles,
  identityFilesOf,
  isOffLoopback,
  placeProblems,
  readSecret,
} from '../../storage/index.ts';
import { natsServerSecurity } from '../bus/core/nats-server-security.ts';
import { natsServerConfig } from '../nats/nats-server.ts';
import { natsTopology } from './core/nats-topology.ts';
import type { ServerFile } from './core/region-rules.ts';
import { type MachineFile, natsName, serverOf } from './region-file.ts';

/** What nats-server is started with; holds secrets. */
export const natsConfigFile = (dir: string): string => join(dir, 'nats-server.conf');

/** Where the server keeps its configuration: below the region's data directory, or the witness's own. */
export const natsDirOf = (machine: MachineFile): string =>
  machine.kind === 'region'
    ? join(besideFile(machine.file, machine.region.dataDir), 'nats')
    : besideFile(machine.file, machine.witness.dataDir);

const storeDirOf = (machine: MachineFile): string =>
  machine.kind === 'region'
    ? dataDirOf(machine.region, machine.file, 'nats')
    : join(natsDirOf(machine), 'data');

/** What a server is made of beside its file. */
export interface NatsMakings {
  /** Where it keeps the control record, if it does. */
  readonly storeDir: string;
  readonly token: string;
  readonly routePassword: string;
  /** Its certificate; without one clients show the token, and nothing is encrypted. */
  readonly identity: IdentityFiles | undefined;
  /** Of the server that will read it, such as `2.9.10`. */
  readonly version: string;
}

/** The configuration of one server; undefined where the file names servers that run elsewhere. */
export function natsConfigOf(
  { name, cluster, regions, voters, nats }: ServerFile,
  { storeDir, token, routePassword, identity, version }: NatsMakings,
): string | undefined {
  if (nats.address === undefined) return undefined;
  return natsServerConfig(
    {
      region: name,
      address: nats.address,
      ...(nats.routeAddress !== undefined && { routeAddress: nats.routeAddress }),
      routes: (nats.routes ?? []).map(({ address }) => address),
      ...(natsTopology(regions, voters).voters.includes(name) && { storeDir }),
      ...(identity !== undefined && { security: natsServerSecurity(cluster, regions, identity) }),
    },
    { cluster, token, routePassword },
    version,
  );
}

export type NatsConfigResult =
  | { readonly kind: 'ok'; readonly config: string; readonly dir: string }
  | { readonly kind: 'invalid'; readonly found: readonly ConfigProblem[] };

/** The certificate of the server that `machine` describes, where it has one. */
export const natsIdentityOf = (machine: MachineFile): IdentityFiles | undefined =>
  identityFilesOf(machine.kind === 'region' ? machine.region : machine.witness, machine.file, {
    region: serverOf(machine).name,
    role: 'nats',
    name: natsName,
  });

/** The same of a machine's file, secrets included. */
export function natsConfigOfFile(
  machine: MachineFile,
  version: string,
  environment: NodeJS.ProcessEnv = process.env,
): NatsConfigResult {
  const { file } = machine;
  const invalid = (path: readonly string[], message: string) =>
    ({ kind: 'invalid', found: placeProblems(file, [{ path, message }]) }) as const;
  const { secrets } = machine.kind === 'region' ? machine.region : machine.witness;
  const server = serverOf(machine);
  const identity = natsIdentityOf(machine);
  const token = readSecret(secrets, 'natsTokenFile', file);
  const route = readSecret(secrets, 'natsRouteFile', file);
  for (const read of [token, route])
    if (read.kind === 'unreadable') return { kind: 'invalid', found: placeProblems(file, [read.problem]) };
  const shown = (token.kind === 'read' && token.value) || environment.SEXTANT_NATS_TOKEN || '';
  const routePassword = (route.kind === 'read' && route.value) || shown;
  if (identity === undefined && shown === '')
    return invalid(['secrets', 'natsTokenFile'], 'missing; or set SEXTANT_NATS_TOKEN');
  if (routePassword === '' && server.nats.routeAddress !== undefined)
    return invalid(['secrets', 'natsRouteFile'], 'missing: servers of other regions show it');
  const { address, routeAddress } = server.nats;
  const open = [address, routeAddress].find((one) => one !== undefined && isOffLoopback(one));
  if (open !== undefined && identity === undefined)
    return invalid(
      ['certificatesDir'],
      `needed because ${open} is not on this machine alone: certificates are made by \`sextant certs\``,
    );
  const makings = { storeDir: storeDirOf(machine), token: shown, routePassword, identity, version };
  const config = natsConfigOf(server, makings);
  if (config !== undefined) return { kind: 'ok', config, dir: natsDirOf(machine) };
  const name = machine.kind === 'region' ? machine.region.region : machine.witness.witness;
  return invalid(['nats', 'servers'], `${name} uses servers that run elsewhere: there is none to start`);
}
