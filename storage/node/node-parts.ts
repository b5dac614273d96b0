/**
 * A storage node without its sockets: what it has on disk, its pages, and what drives its state machine. The process and the
 * simulator open the same parts, each on its own disk and its own time.
 */
import type { Logger } from '../../telemetry/index.ts';
import { describeFloor } from '../history/floor.ts';
import type { Disk } from '../log/disk.ts';
import { DiskHealth } from '../log/disk-health.ts';
import { FrameReader } from '../log/frame-reader.ts';
import type { HotLog, HotLogBounds, LogRecovery } from '../log/hot-log.ts';
import { PageIndex } from '../pages/core/page-index.ts';
import type { ImageStore } from '../pages/image-store.ts';
import type { pageFolderBounds } from '../pages/page-folder.ts';
import { PageReader } from '../pages/page-reader.ts';
import type { StorageConfig } from '../process/config.ts';
import type { Runtime } from '../process/runtime.ts';
import { zeroLsn } from '../redo/ids.ts';
import type { StatusReply } from '../wire/core/messages.ts';
import type { StorageNode } from './core/node.ts';
import { type KeptParts, nothingKept } from './kept-parts.ts';
import { loadNode, openLog } from './node-data.ts';
import { NodeRuntime } from './node-runtime.ts';
import type { Repair } from './repair.ts';

export interface NodePlace {
  readonly config: StorageConfig;
  readonly disk: Disk;
  readonly runtime: Runtime;
  /** Makes an empty store, once the log has been read. */
  readonly images: () => ImageStore;
  readonly repair: Repair;
  readonly logger: Logger;
  readonly pid: number;
  /** The disk is not to be trusted any more: the process has to end, and a new one to read back what there is. */
  readonly onFatal: (message: string) => void;
  /** How long each write to the log took, milliseconds. */
  readonly onFlushed: (tookMs: number) => void;
  /** What retention works on; without it the log is kept whole. */
  readonly kept?: KeptParts;
  /** Bounds that a simulation draws smaller. */
  readonly bounds?: {
    readonly log?: Partial<HotLogBounds>;
    readonly pages?: Partial<typeof pageFolderBounds>;
  };
}

export interface NodeParts {
  readonly node: StorageNode;
  readonly health: DiskHealth;
  readonly log: HotLog;
  readonly pages: PageReader;
  readonly runtime: NodeRuntime;
  readonly recovery: LogRecovery;
  readonly startedAtMs: number;
  /** Of frames, when it was opened. */
  readonly logBytes: number;
}

/** Opens what a node has on disk. @throws StartError with a message for the operator. */
export async function openParts(place: NodePlace): Promise<NodeParts> {
  const { config, disk, runtime: time, logger, onFatal, bounds = {} } = place;
  const startedAtMs = Math.round(time.wallUs() / 1_000);
  const { node, stateFile } = await loadNode(config, disk);
  const index = new PageIndex(node.tree);
  const { log, recovery } = await openLog({
    config,
    disk,
    runtime: time,
    node,
    bounds: bounds.log ?? {},
    onFailed: (message) => onFatal(`the log cannot be written: ${message}`),
    onFlushed: place.onFlushed,
  });
  report(recovery, logger);
  // A frame that rotted since the start: the next start does not count it as held, and repair brings it back.
  const frames = new FrameReader(log, (reason) => onFatal(`the log has rotted: ${reason}`));
  const pages = new PageReader({
    index,
    tree: node.tree,
    segment: node.segment,
    frames,
    images: place.images(),
    runtime: time,
    onTrouble: (what, reason) => logger.warn({ reason }, what),
    ...(bounds.pages !== undefined && { bounds: bounds.pages }),
  });
  pages.start({ head: node.durable.head, lsn: node.durable.vdl });
  const health = new DiskHealth(logger, () => time.nowMs());
  const { kept = nothingKept } = place;
  const logBytes = recovery.frameBytes;
  const status = (): StatusReply => ({
    kind: 'status',
    region: config.region,
    node: config.node,
    az: config.az,
    head: node.head,
    sealed: node.sealed,
    scl: node.segment.volumeEnd(node.head),
    vdl: node.durable.vdl,
    pid: place.pid,
    startedAtMs,
    logBytes: logBytes + log.counters.bytesWritten,
    ...(health.trouble !== null && { trouble: health.trouble }),
    ...(runtime.repairs.last !== null && { repaired: runtime.repairs.last }),
    ...(node.segment.floor.lsn > zeroLsn && { floor: node.segment.floor }),
    imageBytes: kept.images.bytes,
    ...membershipOf(node),
    ...(node.needsImages !== null && { needsImages: needOf(node) }),
  });
  const runtime: NodeRuntime = new NodeRuntime({
    node,
    log,
    stateFile,
    identity: { cluster: config.cluster, region: config.region, node: config.node },
    frames,
    pages,
    repair: place.repair,
    kept,
    onTrouble: (what, reason) => logger.warn({ reason }, what),
    status,
    runtime: time,
    onFatal,
    health,
  });
  return { node, health, log, pages, runtime, recovery, startedAtMs, logBytes };
}

function membershipOf({ state }: StorageNode): Pick<StatusReply, 'membership'> {
  const current = state.members?.current ?? null;
  return current === null ? {} : { membership: current };
}

function needOf({ segment, durable, needsImages }: StorageNode): string {
  const floor = needsImages === null ? '' : describeFloor(needsImages);
  return `needs images: it is complete up to LSN ${segment.volumeEnd(durable.head)}, below the log of its peers, the lowest of which is kept from ${floor} on`;
}

function report(recovery: LogRecovery, logger: Logger): void {
  const { tornTail, damage, damagedBytes } = recovery;
  if (tornTail !== undefined)
    logger.info({ tornTail }, 'an unfinished write at the end of the log was cut away');
  if (damagedBytes > 0)
    logger.error(
      { damage: damage.slice(0, 10), damagedBytes },
      'part of the log is damaged; repair brings it back from the peers',
    );
}
