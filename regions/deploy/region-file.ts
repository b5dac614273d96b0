/**
 * A region's file as agents, NATS servers and the command read it: the frame of `storage/region/region-file.ts` with this
 * layer's keys in it. What a gateway is given beside its name and address is the gateway's to describe, and passed on as it is.
 */
import { z } from 'zod';
import {
  addressSchema,
  besideFile,
  type ConfigPath,
  type ConfigResult,
  clusterSchema,
  type Derivation,
  dataDirOf,
  dataDirSchema,
  filesBeside,
  type Identity,
  loadConfig,
  nodeAddresses,
  nodeSchema,
  originOf,
  type RegionPart,
  readSecret,
  regionFrame,
  regionSchema,
  sharedConfig,
  strictShape,
} from '../../storage/index.ts';
import { type BackupConfig, backupSchema } from '../backup/core/backup-config.ts';
import { retentionSchema } from '../retention/core/retention-limits.ts';
import { advertiseSchema, natsSchema, regionsSchema } from './agent-config.ts';
import { natsTopology, voteOnly } from './core/nats-topology.ts';
import { type Broken, natsRules, regionRules, type ServerFile } from './core/region-rules.ts';

const routeSchema = strictShape({
  region: regionSchema,
  address: addressSchema,
  proxied: z.boolean().optional(),
});

const natsPartSchema = strictShape({
  address: addressSchema.optional(),
  routeAddress: addressSchema.optional(),
  routes: z.array(routeSchema).optional(),
  servers: natsSchema.shape.servers.optional(),
  replicas: natsSchema.shape.replicas,
});

/** Servers that keep the control record; how many is told where they are counted (`natsRules`). */
const votersSchema = z.array(regionSchema).optional();

/** Keys beside these are the gateway's own. */
const gatewayPartSchema = z.looseObject({
  gateway: nodeSchema,
  address: addressSchema,
  advertise: advertiseSchema.optional(),
});

const tell = (context: z.RefinementCtx, broken: readonly Broken[]): void => {
  for (const { path, message } of broken) context.addIssue({ code: 'custom', path: [...path], message });
};

export const regionFileSchema = strictShape({
  ...regionFrame,
  regions: regionsSchema,
  voters: votersSchema,
  agent: strictShape({ address: addressSchema, dataDir: dataDirSchema.optional() }),
  gateways: z.array(gatewayPartSchema),
  endpoint: strictShape({
    address: addressSchema.optional(),
    writer: addressSchema,
    reader: addressSchema,
    postgres: strictShape({ writer: addressSchema, reader: addressSchema }).optional(),
  }).optional(),
  nats: natsPartSchema,
  retention: retentionSchema.optional(),
  backup: backupSchema.optional(),
}).superRefine((file, context) => tell(context, regionRules({ ...file, name: file.region })));

/** One region of a deployment. */
export type RegionFile = z.output<typeof regionFileSchema>;

/** The file of a machine that holds a server that only votes, and nothing else. */
export const witnessFileSchema = strictShape({
  version: regionFrame.version,
  cluster: clusterSchema,
  witness: regionSchema,
  regions: regionsSchema,
  voters: votersSchema,
  dataDir: dataDirSchema,
  secrets: regionFrame.secrets,
  certificatesDir: regionFrame.certificatesDir,
  nats: natsPartSchema,
}).superRefine((file, context) => {
  const names = voteOnly(file.regions, file.voters);
  const message =
    names.length === 0
      ? 'no server of this deployment only votes: without `voters`, two regions have one, `witness`, and more have votes enough'
      : `of the servers of this deployment, ${names.join(', ')} only ${names.length === 1 ? 'votes' : 'vote'}`;
  if (!names.includes(file.witness)) context.addIssue({ code: 'custom', path: ['witness'], message });
  else tell(context, natsRules({ ...file, name: file.witness }));
});
export type WitnessFile = z.output<typeof witnessFileSchema>;

/** Either of them: every machine of a deployment that has a NATS server has one. */
export type MachineFile =
  | { readonly kind: 'region'; readonly file: string; readonly region: RegionFile }
  | { readonly kind: 'witness'; readonly file: string; readonly witness: WitnessFile };

/** Reads the file of a region or of a witness. */
export function loadMachineFile(file: string): ConfigResult<MachineFile> {
  const peek = loadConfig(file, z.unknown(), {});
  if (peek.kind === 'invalid') return peek;
  const isWitness = typeof peek.value === 'object' && peek.value !== null && 'witness' in peek.value;
  if (isWitness) {
    const loaded = loadConfig(file, witnessFileSchema, {});
    return loaded.kind === 'ok'
      ? { kind: 'ok', value: { kind: 'witness', file, witness: loaded.value } }
      : loaded;
  }
  const loaded = loadConfig(file, regionFileSchema, {});
  return loaded.kind === 'ok'
    ? { kind: 'ok', value: { kind: 'region', file, region: loaded.value } }
    : loaded;
}

/** The part of a machine's file that its NATS server is made of. */
export const serverOf = (machine: MachineFile): ServerFile =>
  machine.kind === 'region'
    ? { ...machine.region, name: machine.region.region }
    : { ...machine.witness, name: machine.witness.witness };

/** Names of the processes that a region has at most one of, in their certificates. */
export const agentName = 'agent';
export const natsName = 'nats';
export const endpointName = 'endpoint';

/** What agents and gateways have in common: nodes, NATS, regions. */
function upperConfig(
  region: RegionFile,
  file: string,
  process: Pick<Identity, 'role' | 'name'>,
): { readonly kind: 'ok'; readonly config: object } | Extract<Derivation, { kind: 'invalid' }> {
  const common = sharedConfig(region, file, process);
  if (common.kind === 'invalid') return common;
  const token = readSecret(region.secrets, 'natsTokenFile', file);
  if (token.kind === 'unreadable') return { kind: 'invalid', problems: [token.problem] };
  // A process with a certificate is known by that.
  const shown = region.certificatesDir === undefined ? token.value : undefined;
  const { nats, regions, voters, nodes } = region;
  const replicas = nats.servers === undefined ? natsTopology(regions, voters).replicas : nats.replicas;
  const config = {
    ...common.shared,
    nodes: nodeAddresses(nodes),
    nats: {
      servers: nats.servers ?? [`nats://${nats.address}`],
      ...(shown !== undefined && { token: shown }),
      ...(replicas !== undefined && { replicas }),
    },
    regions,
  };
  return { kind: 'ok', config };
}

type Move = readonly [from: ConfigPath, to: ConfigPath];

const upperMoves = ({ nats }: RegionFile): readonly Move[] => [
  [
    ['nats', 'token'],
    ['secrets', 'natsTokenFile'],
  ],
  ...(nats.servers === undefined
    ? [
        [
          ['nats', 'servers', 0],
          ['nats', 'address'],
        ] as const,
      ]
    : []),
];

/** The backup's place with its names of files as they are meant: from the folder of `file`. */
export const backupBeside = (backup: BackupConfig, file: string): BackupConfig => ({
  ...filesBeside(backup, file),
  ...(backup.directory !== undefined && { directory: besideFile(file, backup.directory) }),
});

/** How an agent reads its region's file. */
export const agentPart: RegionPart<RegionFile> = {
  schema: regionFileSchema,
  derive(region, file): Derivation {
    const upper = upperConfig(region, file, { role: 'agent', name: agentName });
    if (upper.kind === 'invalid') return upper;
    const { agent } = region;
    const config = {
      ...upper.config,
      listen: agent.address,
      dataDir:
        agent.dataDir === undefined ? dataDirOf(region, file, 'agent') : besideFile(file, agent.dataDir),
      gateways: region.gateways.map(({ address, advertise }) => advertise ?? address),
      ...(region.retention !== undefined && { retention: region.retention }),
      ...(region.backup !== undefined && { backup: backupBeside(region.backup, file) }),
    };
    return {
      kind: 'ok',
      config,
      origin: originOf([...upperMoves(region), [['listen'], ['agent', 'address']]]),
    };
  },
};

/** How a gateway reads its region's file. `name` may be left out where there is one. */
export function gatewayPart(name: string | undefined): RegionPart<RegionFile> {
  return {
    schema: regionFileSchema,
    derive(region, file): Derivation {
      const only = region.gateways.length === 1 ? 0 : -1;
      const index = name === undefined ? only : region.gateways.findIndex(({ gateway }) => gateway === name);
      const own = region.gateways[index];
      if (own === undefined) {
        const known = region.gateways.map(({ gateway }) => gateway).join(', ') || 'none';
        const message = `say which of these this process is, with --name: ${known}`;
        return { kind: 'invalid', problems: [{ path: ['gateways'], message }] };
      }
      const upper = upperConfig(region, file, { role: 'gateway', name: own.gateway });
      if (upper.kind === 'invalid') return upper;
      const { address, ...keys } = own;
      const moved: ConfigPath = ['gateways', index];
      const config = {
        ...upper.config,
        ...filesBeside(keys, file),
        listen: address,
        agent: region.agent.address,
        ...(region.pgBytes !== undefined && { pgBytes: region.pgBytes }),
      };
      const origin = originOf([
        ...upperMoves(region),
        [['listen'], [...moved, 'address']],
        [['agent'], ['agent', 'address']],
        ...['cluster', 'region', 'nodes', 'nats', 'regions', 'identity', 'pgBytes'].map(
          (key) => [[key], [key]] as const,
        ),
        [['secret'], ['secrets', 'clusterFile']],
        [[], moved],
      ]);
      return { kind: 'ok', config, origin };
    },
  };
}
