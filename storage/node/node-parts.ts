/**
 * A storage node without its sockets: what it has on disk, its pages, and what drives its state machine. The process and the
 * simulator open the same parts, each on its own disk and its own time.
 */
import { join } from 'node:path';
import { sextantVersion } from '../../telemetry/core.ts';
import type { Logger } from '../../telemetry/index.ts';
import { describeFloor } from '../history/floor.ts';
import type { MergeBounds } from '../images/core/merge-policy.ts';
import { ImageStore, type ImagesOpened } from '../images/image-store.ts';
import type { ImageStoreOptions } from '../images/image-store-types.ts';
import type { Disk } from '../log/disk.ts';
import { DiskHealth } from '../log/disk-health.ts';
import { FrameReader, type OnRotten } from '../log/frame-reader.ts';
import type { HotLog, HotLogBounds, LogRecovery } from '../log/hot-log.ts';
import { LogScrubber, type scrubBounds } from '../log/scrub.ts';
import { LogSealer, type sealerBounds } from '../log/sealer.ts';
import type { StateFile } from '../log/state-file.ts';
import { PageIndex } from '../pages/core/page-index.ts';
import type { pageFolderBounds } from '../pages/page-folder.ts';
import { PageReader } from '../pages/page-reader.ts';
import type { StorageConfig } from '../process/config.ts';
import type { Runtime } from '../process/runtime.ts';
import { zeroLsn } from '../redo/ids.ts';
import { keptBoundaries } from '../retention/core/retention.ts';
import { imagePointsOf, type KeptParts, logFilesOf } from '../retention/kept-parts.ts';
import type { StatusReply, StatusRequest } from '../wire/core/messages.ts';
import type { StorageNode } from './core/node.ts';
import { loadNode, type NodeRecord, openLog, StartError } from './node-data.ts';
import { NodeRuntime } from './node-runtime.ts';
import type { Repair } from './repair.ts';
import { RotWatch } from './rot-watch.ts';

export interface NodePlace {
  readonly config: StorageConfig;
  readonly disk: Disk;
  readonly runtime: Runtime;
  /** Default: `ImageStore.open`. */
  readonly openImages?: (options: ImageStoreOptions) => Promise<ImagesOpened>;
  readonly repair: Repair;
  readonly logger: Logger;
  readonly pid: number;
  /** The disk is not to be trusted any more: the process has to end, and a new one to read back what there is. */
  readonly onFatal: (message: string) => void;
  /** How long each write to the log took, milliseconds. */
  readonly onFlushed: (tookMs: number) => void;
  /** Bounds that a simulation draws smaller. */
  readonly bounds?: {
    readonly log?: Partial<HotLogBounds>;
    readonly pages?: Partial<typeof pageFolderBounds>;
    readonly sealer?: Partial<typeof sealerBounds>;
    readonly scrub?: Partial<typeof scrubBounds>;
    readonly images?: Partial<MergeBounds>;
  };
}

export interface NodeParts {
  readonly node: StorageNode;
  readonly health: DiskHealth;
  readonly log: HotLog;
  readonly pages: PageReader;
  readonly runtime: NodeRuntime;
  readonly recovery: LogRecovery;
  readonly rot: RotWatch;
  readonly sealer: LogSealer;
  readonly scrubber: LogScrubber;
  readonly startedAtMs: number;
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
  const onTrouble = (what: string, reason: string): void => logger.warn({ reason }, what);
  const onRotten: OnRotten = (rotten, reason) => rot.found(rotten, reason);
  const frames = new FrameReader(log, onRotten);
  const images = await openImages(place.openImages ?? ImageStore.open, {
    directory: join(config.dataDir, 'images'),
    disk,
    runtime: time,
    onTrouble,
    foreground: () => log.counters.bytesWritten,
    ...(bounds.images !== undefined && { bounds: bounds.images }),
  }).catch(async (error) => {
    await log.close();
    throw error;
  });
  const pages = new PageReader({
    index,
    tree: node.tree,
    segment: node.segment,
    frames,
    images,
    source: ({ head, lsn }, asked) => place.repair.readPages(head, lsn, asked),
    runtime: time,
    onTrouble,
    ...(bounds.pages !== undefined && { bounds: bounds.pages }),
  });
  const { base, point } = images;
  if (node.opened({ base, point, standing: images.filling })) {
    logger.error(
      { imagesTo: point.lsn },
      'the page images that the floor of this node counted on are gone: it has no copy of what lies below its log, and is refilled by its peers',
    );
    await saved(stateFile, config, node);
  }
  pages.start({ head: node.durable.head, lsn: node.durable.vdl });
  const { tree, segment } = node;
  const rot: RotWatch = new RotWatch({
    log,
    isFolded: ({ epoch, end }) =>
      pages.branches.isOfBranch(epoch) || (end <= index.floor && !pages.isRebuilding),
    unclaim: (rotten) => runtime.unclaim(rotten),
    onFatal,
    logger,
    runtime: time,
  });
  const sealer = new LogSealer({
    log,
    tree,
    segment,
    frames,
    runtime: time,
    onTrouble,
    bounds: bounds.sealer ?? {},
  });
  const scrubber = new LogScrubber({ log, segment, runtime: time, onRotten, bounds: bounds.scrub ?? {} });
  const health = new DiskHealth(logger, () => time.nowMs());
  const kept: KeptParts = {
    files: logFilesOf(log),
    images: imagePointsOf(images),
    keepImages: (floor) =>
      images.keep([...keptBoundaries(images.boundaries, floor), ...pages.branches.bases]),
  };
  kept.keepImages(segment.floor.lsn);
  const status = ({ known }: StatusRequest): StatusReply => ({
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
    logBytes: log.bytes,
    version: sextantVersion,
    logFiles: log.files.length,
    sealedFiles: log.sealedFiles,
    ...(health.trouble !== null && { trouble: health.trouble }),
    ...(runtime.repairs.last !== null && { repaired: runtime.repairs.last }),
    ...(node.segment.floor.lsn > zeroLsn && { floor: node.segment.floor }),
    imageBytes: kept.images.bytes,
    ...membershipOf(node),
    ...((node.needsImages !== null || node.refilling !== null) && { needsImages: needOf(node) }),
    ...(node.refilling !== null && { refill: node.refilling }),
    ...(node.branches.all.length > 1 && { branches: node.care.status }),
    ...(known === true && { known: node.care.known }),
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
    onFilled: (bytes) => logger.info({ bytes, floor: node.segment.floor }, 'was refilled from images'),
    onTrouble,
    rot,
    sealer,
    scrubber,
    status,
    runtime: time,
    onFatal,
    health,
  });
  return { node, health, log, pages, runtime, recovery, rot, sealer, scrubber, startedAtMs };
}

function membershipOf({ state }: StorageNode): Pick<StatusReply, 'membership'> {
  const current = state.members?.current ?? null;
  return current === null ? {} : { membership: current };
}

/** S20, S26: what the node claims from now on is on the disk before it is asked. @throws StartError when that cannot be written. */
async function saved(
  file: StateFile<NodeRecord>,
  { cluster, region, node: name, dataDir }: StorageConfig,
  { state }: StorageNode,
): Promise<void> {
  const outcome = await file.save({ cluster, region, node: name, state });
  if (outcome.kind === 'failed')
    throw new StartError(`dataDir ${dataDir} cannot be written: ${outcome.message}`);
}

function needOf({ segment, durable, needsImages, refilling }: StorageNode): string {
  if (refilling !== null) {
    const { bytes, totalBytes, bytesPerSecond } = refilling;
    const percent = totalBytes === 0 ? 0 : Math.floor((100 * bytes) / totalBytes);
    return `is refilled from images: ${percent} % of about ${totalBytes} bytes, ${bytesPerSecond} bytes a second`;
  }
  const floor = needsImages === null ? '' : describeFloor(needsImages);
  return `needs images: it is complete up to LSN ${segment.volumeEnd(durable.head)}, below the log of its peers, the lowest of which is kept from ${floor} on`;
}

/** @throws StartError when the disk does not let it look; what cannot be believed is dropped and no reason to stop. */
async function openImages(
  open: (options: ImageStoreOptions) => Promise<ImagesOpened>,
  options: ImageStoreOptions,
): Promise<ImageStore> {
  const opened = await open(options);
  if (opened.kind === 'open') return opened.store;
  throw new StartError(`the page images in ${options.directory} cannot be opened: ${opened.message}`);
}

function report(recovery: LogRecovery, logger: Logger): void {
  const { tornTail, damage, damagedBytes, unbelieved } = recovery;
  for (const { file, reason } of unbelieved.slice(0, 10))
    logger.warn(
      { file, reason },
      'the index of a sealed log file is not believed; the file was read instead',
    );
  if (tornTail !== undefined)
    logger.info({ tornTail }, 'an unfinished write at the end of the log was cut away');
  if (damagedBytes > 0)
    logger.error(
      { damage: damage.slice(0, 10), damagedBytes },
      'part of the log is damaged; repair brings it back from the peers',
    );
}
