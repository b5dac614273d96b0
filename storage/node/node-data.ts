/**
 * Opens what a node has on disk: the state file, which says whose data this is and what the node has promised, and the
 * log, of which sealed files are read by their index. Nothing is changed before the identity has been checked.
 */
import { join } from 'node:path';
import { z } from 'zod';
import type { NamedBranchState } from '../branches/core/branch.ts';
import { forkSchema } from '../history/epoch-tree.ts';
import { floorSchema, noFloor } from '../history/floor.ts';
import { type Disk, onDisk } from '../log/disk.ts';
import { HotLog, type HotLogBounds, type LogRecovery } from '../log/hot-log.ts';
import { StateFile } from '../log/state-file.ts';
import { memberStateSchema } from '../members/core/member-state.ts';
import type { StorageConfig } from '../process/config.ts';
import type { Runtime } from '../process/runtime.ts';
import { framePayload } from '../redo/frame.ts';
import { branchName, type Epoch, epoch, lsn, mainBranch } from '../redo/ids.ts';
import { redoLimits } from '../redo/limits.ts';
import { lastCplIn } from '../redo/record-cursor.ts';
import type { DurablePoint } from '../wire/core/messages.ts';
import { StorageNode } from './core/node.ts';
import { emptyNodeState, type NodeState } from './core/node-events.ts';

/** What the state file holds. */
export interface NodeRecord {
  readonly cluster: string;
  readonly region: string;
  readonly node: string;
  readonly state: NodeState;
}

/** A start that cannot succeed; the message says what to do about it. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** What is on the disk cannot be believed: the node has to be wiped. */
  readonly wantsWipe: boolean;

  constructor(message: string, { wantsWipe = false } = {}) {
    super(message);
    this.wantsWipe = wantsWipe;
  }
}

/** A node with its promises and without its frames. */
export interface LoadedNode {
  readonly node: StorageNode;
  readonly stateFile: StateFile<NodeRecord>;
}

export interface OpenLogOptions {
  readonly config: StorageConfig;
  readonly disk: Disk;
  readonly runtime: Runtime;
  readonly bounds: Partial<HotLogBounds>;
  /** Takes in what the log holds. */
  readonly node: StorageNode;
  readonly onFailed: (message: string) => void;
  /** See HotLogOptions. */
  readonly onFlushed: (tookMs: number) => void;
}

export interface OpenLog {
  readonly log: HotLog;
  readonly recovery: LogRecovery;
}

const stateVersion = 1;
const wayOut = 'Wipe the node (remove its data directory) and start it: it rebuilds itself from its peers.';

const durableSchema = z
  .strictObject({ head: z.int().min(0), vdl: z.int().min(0) })
  .transform(({ head, vdl }): DurablePoint => ({ head: epoch(head), vdl: lsn(vdl) }));
const branchSchema = z
  .strictObject({
    branch: z.string(),
    sealed: z.int().min(0),
    durable: durableSchema,
    hydrated: z.boolean(),
  })
  .transform(
    (raw): NamedBranchState => ({ ...raw, branch: branchName(raw.branch), sealed: epoch(raw.sealed) }),
  );
const stateSchema = z
  .strictObject({
    sealed: z.int().min(0),
    forks: z.array(forkSchema),
    hydrated: z.boolean(),
    durable: durableSchema,
    /** A state of a region without branches, such as an older version writes, has none of these two. */
    branches: z.array(branchSchema).optional(),
    knowsBranches: z.boolean().optional(),
    /** A state that was written before there were floors has none. */
    floor: floorSchema.optional(),
    members: memberStateSchema.optional(),
  })
  .transform(
    (raw): NodeState => ({
      sealed: epoch(raw.sealed),
      forks: raw.forks,
      hydrated: raw.hydrated,
      durable: raw.durable,
      floor: raw.floor ?? noFloor,
      ...(raw.branches !== undefined && { branches: raw.branches }),
      ...(raw.knowsBranches !== undefined && { knowsBranches: raw.knowsBranches }),
      ...(raw.members !== undefined && { members: raw.members }),
    }),
  );
const recordSchema = z.strictObject({
  cluster: z.string(),
  region: z.string(),
  node: z.string(),
  state: stateSchema,
});

/** @throws StartError when the state is damaged, another node's, or cannot be read or written. */
export async function loadNode(config: StorageConfig, disk: Disk): Promise<LoadedNode> {
  const { dataDir, pgBytes = redoLimits.pgBytesDefault } = config;
  if (pgBytes < redoLimits.pgBytesMin)
    throw new StartError(`pgBytes is ${pgBytes}, at least ${redoLimits.pgBytesMin} is needed`);
  const made = await onDisk<void>((done) => disk.makeDirectory(dataDir, done));
  if (made.kind === 'failed') throw new StartError(`dataDir ${dataDir} cannot be made: ${made.message}`);
  const stateFile = nodeStateFile(disk, dataDir);
  const state = await loadState(config, disk, stateFile);
  return { node: new StorageNode(mainBranch, state, [], config.node), stateFile };
}

/** The state file of the node that keeps its data in `dataDir`. */
export function nodeStateFile(disk: Disk, dataDir: string): StateFile<NodeRecord> {
  return new StateFile<NodeRecord>({
    disk,
    path: join(dataDir, 'state'),
    version: stateVersion,
    parse: parseRecord,
    fallback: 'never',
  });
}

/** Reads what the log holds into the node. @throws StartError when it cannot be opened or does not fit the state. */
export async function openLog(options: OpenLogOptions): Promise<OpenLog> {
  const { config, disk, runtime, bounds, node, onFailed, onFlushed } = options;
  const directory = logDirectoryOf(config);
  const unknown = new Set<Epoch>();
  const opened = await HotLog.open({
    ...bounds,
    directory,
    disk,
    runtime,
    onFailed,
    onFlushed,
    onSealed: (entries) => {
      const { tree, segment } = node;
      for (const { epoch } of entries) if (!tree.has(epoch)) unknown.add(epoch);
      return unknown.size === 0 && segment.insertSealed(entries);
    },
    onFrame: (position, { header, bytes }) => {
      if (!node.tree.has(header.epoch)) {
        unknown.add(header.epoch);
        return;
      }
      const { epoch, pg, base, end, prevPg } = header;
      const lastCpl = lastCplIn(framePayload(bytes), base);
      node.segment.insert({
        epoch,
        pg,
        base,
        end,
        prevPg,
        lastCpl: lastCpl === 'malformed' ? null : lastCpl,
        position,
      });
    },
  });
  if (opened.kind === 'failed')
    throw new StartError(`the log in ${directory} cannot be opened: ${opened.message}`);
  if (unknown.size > 0) {
    await opened.log.close();
    // S4: a frame is written only after its epoch's fork is safe, so the state has gone back in time.
    throw new StartError(
      `${config.dataDir}: the log holds frames of epochs ${[...unknown].join(', ')}, which the state file does not know. ${wayOut}`,
      { wantsWipe: true },
    );
  }
  return { log: opened.log, recovery: opened.recovery };
}

async function loadState(config: StorageConfig, disk: Disk, file: StateFile<NodeRecord>): Promise<NodeState> {
  const { cluster, region, node, dataDir } = config;
  const loaded = await file.load();
  switch (loaded.kind) {
    case 'damaged':
      throw new StartError(`${dataDir}: the state file is damaged (${loaded.reason}). ${wayOut}`, {
        wantsWipe: true,
      });
    case 'absent':
      if (await hasFiles(disk, logDirectoryOf(config)))
        throw new StartError(`${dataDir}: there is a log and no state file beside it. ${wayOut}`, {
          wantsWipe: true,
        });
      await create(config, file);
      return emptyNodeState;
    case 'value':
    case 'previous': {
      const found = loaded.value;
      if (found.cluster === cluster && found.region === region && found.node === node) return found.state;
      throw new StartError(
        `dataDir ${dataDir} holds the data of node ${found.cluster}/${found.region}/${found.node}, this is ${cluster}/${region}/${node}`,
      );
    }
  }
}

async function create(
  { cluster, region, node, dataDir }: StorageConfig,
  file: StateFile<NodeRecord>,
): Promise<void> {
  const saved = await file.save({ cluster, region, node, state: emptyNodeState });
  if (saved.kind === 'failed') throw new StartError(`dataDir ${dataDir} cannot be written: ${saved.message}`);
}

function logDirectoryOf(config: StorageConfig): string {
  return join(config.dataDir, 'log');
}

async function hasFiles(disk: Disk, directory: string): Promise<boolean> {
  const listed = await onDisk<readonly string[]>((done) => disk.list(directory, done));
  return listed.kind === 'ok' && listed.value.length > 0;
}

function parseRecord(body: unknown): { kind: 'ok'; value: NodeRecord } | { kind: 'bad'; reason: string } {
  try {
    const parsed = recordSchema.safeParse(body);
    return parsed.success
      ? { kind: 'ok', value: parsed.data }
      : { kind: 'bad', reason: z.prettifyError(parsed.error) };
  } catch (error) {
    // Branded constructors assert.
    return { kind: 'bad', reason: error instanceof Error ? error.message : String(error) };
  }
}
