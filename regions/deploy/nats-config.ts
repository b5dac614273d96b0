/** The configuration of the NATS server that a machine's file describes. */
import { join } from 'node:path';
import { besideFile, type ConfigProblem, dataDirOf, placeProblems, readSecret } from '../../storage/index.ts';
import { natsServerConfig } from '../nats/nats-server.ts';
import { natsTopology, witness } from './core/nats-topology.ts';
import type { ServerFile } from './core/region-rules.ts';
import { type MachineFile, serverOf } from './region-file.ts';

/** What nats-server is started with; holds the token. */
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

/** The configuration of one server. `storeDir` is where it keeps the control record, if it does. */
export function natsConfigOf(
  { name, cluster, regions, nats }: ServerFile,
  token: string,
  storeDir: string,
  version: string,
): string | undefined {
  if (nats.address === undefined) return undefined;
  return natsServerConfig(
    {
      region: name,
      address: nats.address,
      ...(nats.routeAddress !== undefined && { routeAddress: nats.routeAddress }),
      routes: (nats.routes ?? []).map(({ address }) => address),
      ...(natsTopology(regions).voters.includes(name) && { storeDir }),
    },
    { cluster, token, routePassword: token },
    version,
  );
}

export type NatsConfigResult =
  | { readonly kind: 'ok'; readonly config: string; readonly dir: string }
  | { readonly kind: 'invalid'; readonly found: readonly ConfigProblem[] };

/** The same of a machine's file, secrets included. @param version of the server that will read it, such as `2.9.10`. */
export function natsConfigOfFile(
  machine: MachineFile,
  version: string,
  environment: NodeJS.ProcessEnv = process.env,
): NatsConfigResult {
  const { file } = machine;
  const invalid = (path: readonly string[], message: string) =>
    ({ kind: 'invalid', found: placeProblems(file, [{ path, message }]) }) as const;
  const { secrets } = machine.kind === 'region' ? machine.region : machine.witness;
  const read = readSecret(secrets, 'natsTokenFile', file);
  if (read.kind === 'unreadable') return { kind: 'invalid', found: placeProblems(file, [read.problem]) };
  const token = read.value ?? environment.SEXTANT_NATS_TOKEN ?? '';
  if (token === '') return invalid(['secrets', 'natsTokenFile'], 'missing; or set SEXTANT_NATS_TOKEN');
  const config = natsConfigOf(serverOf(machine), token, storeDirOf(machine), version);
  if (config !== undefined) return { kind: 'ok', config, dir: natsDirOf(machine) };
  const name = machine.kind === 'region' ? machine.region.region : witness;
  return invalid(['nats', 'servers'], `${name} uses servers that run elsewhere: there is none to start`);
}
