/**
 * A region's file: one YAML file that holds the configuration of every process of a region, the same for a deployment on this
 * machine and on many. Here is its frame, which all layers parse strictly, and what a storage node takes of it. Keys of agents,
 * gateways and NATS are the upper layers' to describe.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { pgBytesSchema } from '../history/geometry.ts';
import type { Identity } from '../identity/core/identity.ts';
import { directoryOf, fileNames } from '../identity/core/identity-files.ts';
import {
  addressSchema,
  azSchema,
  clusterSchema,
  dataDirSchema,
  type IdentityFiles,
  nodeSchema,
  regionSchema,
  strictShape,
} from '../process/config.ts';
import type { Derivation, PathProblem, RegionPart } from '../process/config-file.ts';
import type { ConfigPath } from '../process/config-text.ts';

const zones = 3;
const nodesPerZone = 2;

/** Nodes of a region: two in each of three zones. */
export const nodesPerRegion = zones * nodesPerZone;

const fileName = z.string().min(1, 'a file, relative to this one or absolute');

/** Secrets stand in files of their own, which only their owner may read. */
export const secretsSchema = strictShape({
  clusterFile: fileName.optional(),
  natsTokenFile: fileName.optional(),
  natsRouteFile: fileName.optional(),
});
export type SecretFiles = z.output<typeof secretsSchema>;

const regionNodeSchema = strictShape({
  node: nodeSchema,
  az: azSchema,
  address: addressSchema,
  dataDir: dataDirSchema.optional(),
});

/** The six nodes of a region. What is wrong with them is told at the node. */
const regionNodesSchema = z.array(regionNodeSchema).superRefine((nodes, context) => {
  const issue = (path: ConfigPath, message: string) =>
    context.addIssue({ code: 'custom', path: [...path], message });
  if (nodes.length !== nodesPerRegion)
    issue([], `a region has ${nodesPerRegion} storage nodes, and here are ${nodes.length}`);
  const byZone = Map.groupBy(nodes, ({ az }) => az);
  if (byZone.size !== zones || [...byZone.values()].some((inZone) => inZone.length !== nodesPerZone)) {
    const counted = [...byZone].map(([az, inZone]) => `${inZone.length} in ${az}`).join(', ');
    issue([], `two nodes belong in each of three zones (az), and here are ${counted}`);
  }
  for (const [index, { node }] of nodes.entries())
    if (nodes.findIndex((other) => other.node === node) < index)
      issue([index, 'node'], `${node} is named twice`);
});

/** Keys of a region's file. A layer that knows more of a key puts its own schema in its place. */
export const regionFrame = {
  version: z.literal(1, 'the version of region files that this program reads: 1'),
  cluster: clusterSchema,
  region: regionSchema,
  regions: z.unknown(),
  voters: z.unknown().optional(),
  dataDir: dataDirSchema,
  secrets: secretsSchema.optional(),
  certificatesDir: z.string().min(1, 'a directory').optional(),
  nodes: regionNodesSchema,
  pgBytes: pgBytesSchema.optional(),
  agent: z.unknown(),
  gateways: z.unknown(),
  endpoint: z.unknown().optional(),
  nats: z.unknown(),
  retention: z.unknown().optional(),
  backup: z.unknown().optional(),
};
const frameSchema = strictShape(regionFrame);
type RegionFrame = z.output<typeof frameSchema>;

/** A file that `file`, a region's, names: relative to the folder that it lies in. */
export const besideFile = (file: string, name: string): string => resolve(dirname(file), name);

const secretBytesMax = 4096;
const otherMayRead = 0o007;

export type SecretResult =
  | { readonly kind: 'read'; readonly value: string | undefined }
  | { readonly kind: 'unreadable'; readonly problem: PathProblem };

/** The secret in the file that `secrets[key]` names; undefined when none is named. The file is for its owner and group alone. */
export function readSecret(
  secrets: SecretFiles | undefined,
  key: keyof SecretFiles,
  file: string,
): SecretResult {
  const name = secrets?.[key];
  if (name === undefined) return { kind: 'read', value: undefined };
  const path = besideFile(file, name);
  const unreadable = (message: string) =>
    ({ kind: 'unreadable', problem: { path: ['secrets', key], message } }) as const;
  try {
    const { mode, size } = statSync(path);
    if ((mode & otherMayRead) !== 0)
      return unreadable(`everybody on this machine may read ${path}: \`chmod 600\` it`);
    if (size > secretBytesMax) return unreadable(`${path} is longer than a secret, ${secretBytesMax} bytes`);
    const value = readFileSync(path, 'utf8').trim();
    return value === '' ? unreadable(`${path} is empty`) : { kind: 'read', value };
  } catch (error) {
    return unreadable(`${path} cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
}

/** A value whose keys that end in `File` lead, where they are relative, from the folder of `file`. */
export function filesBeside<Value>(value: Value, file: string): Value {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const moved = Object.entries(value).map(([key, inside]) => [
    key,
    typeof inside === 'string' && key.endsWith('File') ? besideFile(file, inside) : filesBeside(inside, file),
  ]);
  return Object.fromEntries(moved);
}

/** A directory of a region's processes, by the file that names it. */
export const dataDirOf = (region: { readonly dataDir: string }, file: string, name: string): string =>
  join(besideFile(file, region.dataDir), name, 'data');

/** Where a process finds its certificate, by the file that names the directory of all; undefined where none is named. */
export function identityFilesOf(
  { certificatesDir }: { readonly certificatesDir?: string | undefined },
  file: string,
  process: Omit<Identity, 'cluster'>,
): IdentityFiles | undefined {
  if (certificatesDir === undefined) return undefined;
  const dir = join(besideFile(file, certificatesDir), directoryOf(process));
  return {
    caFile: join(dir, fileNames.ca),
    certFile: join(dir, fileNames.cert),
    keyFile: join(dir, fileNames.key),
  };
}

/** What every process has of its region's file. @returns the secret's problem when it has one. */
export function sharedConfig(
  region: Pick<RegionFrame, 'cluster' | 'region' | 'secrets' | 'certificatesDir'>,
  file: string,
  process: Pick<Identity, 'role' | 'name'>,
):
  | { readonly kind: 'ok'; readonly shared: object }
  | { readonly kind: 'invalid'; readonly problems: readonly PathProblem[] } {
  const secret = readSecret(region.secrets, 'clusterFile', file);
  if (secret.kind === 'unreadable') return { kind: 'invalid', problems: [secret.problem] };
  const identity = identityFilesOf(region, file, { region: region.region, ...process });
  const shared = {
    cluster: region.cluster,
    region: region.region,
    ...(secret.value !== undefined && { secret: secret.value }),
    ...(identity !== undefined && { identity }),
  };
  return { kind: 'ok', shared };
}

const sharedMoves = [
  [['secret'], ['secrets', 'clusterFile']],
  [['identity'], ['certificatesDir']],
] as const;

/** Where a process's own keys stand in its region's file: by the longest beginning of a path. What is not listed stands alike. */
export function originOf(
  moves: readonly (readonly [from: ConfigPath, to: ConfigPath])[],
): (path: ConfigPath) => ConfigPath {
  const all = [...moves, ...sharedMoves];
  return (path) => {
    const move = all.find(([from]) => from.every((step, index) => path[index] === step));
    return move === undefined ? path : [...move[1], ...path.slice(move[0].length)];
  };
}

/** Nodes as a process is told them. */
export const nodeAddresses = (nodes: RegionFrame['nodes']) =>
  nodes.map(({ node, az, address }) => ({ node, az, address }));

/** How a storage node reads its region's file. `name` is the node's. */
export function storagePart(name: string | undefined): RegionPart<RegionFrame> {
  return {
    schema: frameSchema,
    derive(region, file): Derivation {
      const index = region.nodes.findIndex(({ node }) => node === name);
      const own = region.nodes[index];
      if (own === undefined) {
        const known = region.nodes.map(({ node }) => node).join(', ');
        const message = `say which of these this process is, with --node: ${known}`;
        return { kind: 'invalid', problems: [{ path: ['nodes'], message }] };
      }
      const common = sharedConfig(region, file, { role: 'storage', name: own.node });
      if (common.kind === 'invalid') return common;
      const peers = region.nodes.map((_, at) => at).filter((at) => at !== index);
      const config = {
        ...common.shared,
        node: own.node,
        az: own.az,
        listen: own.address,
        dataDir:
          own.dataDir === undefined ? dataDirOf(region, file, own.node) : besideFile(file, own.dataDir),
        peers: nodeAddresses(region.nodes).filter(({ node }) => node !== own.node),
      };
      const origin = originOf([
        [['node'], ['nodes', index, 'node']],
        [['az'], ['nodes', index, 'az']],
        [['listen'], ['nodes', index, 'address']],
        ...peers.map(
          (at, peer) =>
            [
              ['peers', peer],
              ['nodes', at],
            ] as const,
        ),
      ]);
      return { kind: 'ok', config, origin };
    },
  };
}
