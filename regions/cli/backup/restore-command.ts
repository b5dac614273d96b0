/** `sextant restore`: a new deployment, or a file of SQLite, from a backup. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { FillError, type NodePlace } from '../../../storage/data.ts';
import {
  clusterSchema,
  loadProcessConfig,
  storageConfigSchema,
  storagePart,
} from '../../../storage/index.ts';
import { type BackupReader, findBackup } from '../../backup/backup-reader.ts';
import { isTaken, type RestoreInto, restoreFile, restoreNodes } from '../../backup/restore.ts';
import { parseTarget } from '../../backup/target.ts';
import { agentConfigSchema } from '../../deploy/agent-config.ts';
import type { EngineKind } from '../../deploy/core/engine-kinds.ts';
import { agentPart, loadMachineFile } from '../../deploy/region-file.ts';
import { prepareDeployment } from '../../local/data-directory.ts';
import { requireDeployment, writeDeployment } from '../../local/deployment-file.ts';
import { runningSupervisor } from '../../local/local-deployment.ts';
import { agentDataDir, nodePlaces } from '../../local/places/data-places.ts';
import { timeText } from '../../place/time-text.ts';
import { type CommonOptions, withCommon, withExample } from '../ask/options.ts';
import { CliError, formatMs, note, printJson } from '../ask/output.ts';
import { withReader } from './backup-commands.ts';
import { progressLine } from './progress.ts';
import { backupNamed, type StoreOptions, storeOf, withStore } from './store-options.ts';

interface RestoreOptions extends CommonOptions, StoreOptions {
  readonly at: string;
  readonly into: readonly string[];
  readonly node: readonly string[];
  readonly file?: string;
  readonly cluster?: string;
  readonly regions?: string;
  readonly basePort?: string;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** What the files of regions say of the nodes that are to be filled. @throws CliError. */
function intoFiles({ into, node: wanted }: RestoreOptions): RestoreInto {
  const nodes: NodePlace[] = [];
  const agents: string[] = [];
  for (const file of into) {
    const machine = loadMachineFile(file);
    if (machine.kind === 'invalid') throw new CliError(machine.message);
    if (machine.value.kind !== 'region')
      throw new CliError(`${file} is the file of a witness, which holds no data`);
    const { region } = machine.value;
    const names = region.nodes.map(({ node }) => String(node));
    const unknown = wanted.filter((name) => !names.includes(name));
    if (unknown.length > 0)
      throw new CliError(`${file} has no node ${unknown.join(', ')}; it has ${names.join(', ')}`);
    for (const name of wanted.length > 0 ? wanted : names) {
      const loaded = loadProcessConfig(file, storageConfigSchema, storagePart(name));
      if (loaded.kind === 'invalid') throw new CliError(loaded.message);
      const { cluster, region: of, node, dataDir } = loaded.value;
      nodes.push({ cluster, region: of, node, dataDir });
    }
    const agent = loadProcessConfig(file, agentConfigSchema, agentPart);
    if (agent.kind === 'invalid') throw new CliError(agent.message);
    agents.push(agent.value.dataDir);
  }
  return { nodes, agents, scratch: `${agents[0] ?? resolve('.')}.restoring` };
}

/** Makes the local deployment that is to be filled. @throws DeploymentError. */
function intoLocal(options: RestoreOptions, reader: BackupReader): RestoreInto {
  const { data, cluster, regions, basePort } = options;
  if (cluster !== undefined && !clusterSchema.safeParse(cluster).success)
    throw new CliError('--cluster is a name of a to z, 0 to 9 and -');
  if (runningSupervisor(resolve(data)) !== undefined)
    throw new CliError(`the deployment in ${resolve(data)} is running: restore into another --data`);
  const deployment = prepareDeployment({
    dataDir: resolve(data),
    regions: regions?.split(',').map((name) => name.trim()) ?? reader.manifest.regions,
    ...(cluster !== undefined && { cluster }),
    ...(basePort !== undefined && { basePort: Number(basePort) }),
  });
  return {
    nodes: nodePlaces(deployment, resolve(data)),
    agents: deployment.regions.map((region) => agentDataDir(resolve(data), region)),
    scratch: resolve(data, 'restoring'),
  };
}

/** The gateways of a local deployment are started with the engine that wrote its database. */
function rememberEngine(dataDir: string, engine: EngineKind): void {
  if (engine !== 'sqlite') writeDeployment(dataDir, { ...requireDeployment(dataDir), engine });
}

async function restore(options: RestoreOptions): Promise<void> {
  const target = options.at === 'newest' ? ({ kind: 'newest' } as const) : parseTarget(options.at);
  if (target === null)
    throw new CliError('--at is an LSN, or a time with its zone, such as 2026-11-29T12:00:00Z');
  if (options.file !== undefined && isTaken(options.file))
    throw new CliError(`${options.file} is there already: name a file that is not`);
  const beganMs = performance.now();
  const isJson = options.json === true;
  const done = await withReader(async () => {
    const reader = await findBackup(storeOf(options), backupNamed(options));
    const place = await reader.resolve(target);
    const onProgress = progressLine(isJson);
    const about = {
      store: reader.store.describe,
      backup: reader.manifest.id,
      lsn: place.lsn,
      commitTime: place.commitUs === null ? null : timeText(place.commitUs),
    };
    if (options.file !== undefined)
      return {
        ...about,
        file: resolve(options.file),
        ...(await restoreFile(reader, place.lsn, options.file, onProgress)),
      };
    const into = options.into.length > 0 ? intoFiles(options) : intoLocal(options, reader);
    try {
      const { pages, filled, epoch, engine } = await restoreNodes(reader, place, into, onProgress);
      if (options.into.length === 0) rememberEngine(options.data, engine);
      return { ...about, pages, nodes: filled, epoch, engine, cluster: into.nodes[0]?.cluster };
    } catch (error) {
      if (error instanceof FillError) throw new CliError(error.message);
      throw error;
    }
  });
  const tookMs = Math.round(performance.now() - beganMs);
  if (isJson) return printJson({ ...done, tookMs });
  const when = done.commitTime === null ? 'no commit time is known' : `last commit ${done.commitTime}`;
  console.log(`restored LSN ${done.lsn} (${when}): ${done.pages} pages in ${formatMs(tookMs)}`);
  if ('file' in done) return note(`${done.file} is a database of SQLite`);
  note(`${done.nodes} nodes of cluster ${done.cluster} hold it, under epoch ${done.epoch}`);
  if (done.engine === 'postgres' && options.into.length > 0)
    note('PostgreSQL keeps the database: the gateways of these files need `engine: postgres`');
  note(
    options.into.length > 0
      ? 'restore the nodes of every other machine with --at set to this LSN, then start all processes'
      : `start it with: sextant up --data ${options.data}`,
  );
}

export function addRestoreCommand(program: Command): void {
  withExample(
    withStore(withCommon(program.command('restore')))
      .description('make a new deployment from a backup: as it was at an LSN, or at a time')
      .option(
        '--at <lsn|time>',
        'the last transaction at or before this; a time has its zone: 2026-11-29T12:00:00Z',
        'newest',
      )
      .option(
        '--into <file>',
        "fill the nodes of this region's file on this machine; repeatable (default: a local deployment in --data)",
        collect,
        [],
      )
      .option('--node <name>', 'with --into: only this node; repeatable', collect, [])
      .option('--file <path>', 'write a file of SQLite instead of a deployment')
      .option('--cluster <name>', 'name of the local deployment')
      .option('--regions <names>', "regions of the local deployment (default: the backup's)")
      .option('--base-port <port>', 'first of the ports of the local deployment')
      .action(restore),
    'sextant restore --from /mnt/backups --at 2026-11-29T11:59:59Z --data restored',
    'sextant restore --from s3://backups/shop --at 4711 --into us-east-1/region.yaml',
    'sextant restore --from /mnt/backups --file shop.db',
  );
}
