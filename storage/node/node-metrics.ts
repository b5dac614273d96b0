/** What a storage node counts, for Prometheus. */
import { follow, type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { NodeParts } from './node-parts.ts';
import type { SpaceWatch } from './space-watch.ts';

type Watched = Pick<
  NodeParts,
  'health' | 'node' | 'log' | 'pages' | 'runtime' | 'rot' | 'scrubber' | 'recovery'
>;

/** Keeps the node's metrics; they are read from its counters at each scrape. */
export function watchNode(
  registry: MetricRegistry,
  { node, log, pages, runtime, health, rot, scrubber, recovery }: Watched,
  space: Pick<SpaceWatch, 'seen'>,
): void {
  const rotFound = registry.counter(metrics.storageRotFound);
  const counters = [
    [follow(registry.counter(metrics.storageAppendedBytes).with({})), () => log.counters.bytesWritten],
    [follow(registry.counter(metrics.storagePageReads).with({})), () => pages.counters.pagesRead],
    [follow(registry.counter(metrics.storagePagesBuilt).with({})), () => pages.folder.counters.changesFolded],
    [follow(registry.counter(metrics.storageRepairedBytes).with({})), () => runtime.counters.repairedBytes],
    [follow(registry.counter(metrics.storageDiskFailures).with({})), () => health.failures],
    [follow(registry.counter(metrics.storageLogFilesDropped).with({})), () => runtime.counters.droppedFiles],
    [follow(registry.counter(metrics.storageBelowFloor).with({})), () => runtime.counters.needsImages],
    [follow(registry.counter(metrics.storageRefilledBytes).with({})), () => runtime.counters.refilledBytes],
    [follow(registry.counter(metrics.storageRefills).with({})), () => runtime.counters.refills],
    [follow(rotFound.with({ at: 'start' })), () => recovery.damageCount],
    [follow(rotFound.with({ at: 'run' })), () => rot.counters.found],
    [follow(registry.counter(metrics.storageRotHealed).with({})), () => rot.counters.healed],
    [follow(registry.counter(metrics.storageScrubbedBytes).with({})), () => scrubber.counters.bytes],
  ] as const;
  const { images } = pages;
  const rotten = registry.counter(metrics.storageRottenPages);
  const ofImages = [
    [follow(registry.counter(metrics.storageImageMerges).with({})), () => images.counters.merges],
    [follow(registry.counter(metrics.storageImageWrittenBytes).with({})), () => images.counters.bytesWritten],
    [follow(rotten.with({ outcome: 'found' })), () => images.counters.rottenFound],
    [follow(rotten.with({ outcome: 'healed' })), () => images.counters.rottenHealed],
  ] as const;
  const imageBytes = registry.gauge(metrics.storageImageBytes).with({});
  const imageRuns = registry.gauge(metrics.storageImageRuns).with({});
  const reads = registry.histogram(metrics.storageReadDuration).with({});
  const refusals = registry.counter(metrics.storageRefusals);
  runtime.watch({
    onPagesRead: (tookMs) => reads.observe(tookMs / 1_000),
    onRefused: (code) => refusals.with({ code }).add(),
  });
  const isFull = registry.gauge(metrics.storageDiskFull).with({});
  const scl = registry.gauge(metrics.segmentCompleteLsn);
  const epoch = registry.gauge(metrics.epoch).with({});
  const vdl = registry.gauge(metrics.volumeDurableLsn).with({});
  const floor = registry.gauge(metrics.storageFloor).with({});
  const held = registry.gauge(metrics.storageLogBytes);
  const files = registry.gauge(metrics.storageLogFiles);
  const measure = watchSpace(registry);
  registry.onScrape(() => {
    for (const [set, read] of [...counters, ...ofImages]) set(read());
    imageBytes.set(images.bytes);
    imageRuns.set(images.runCount);
    const { head } = node;
    for (const [pg, lsn] of node.segment.scls(head)) scl.with({ pg: String(pg) }).set(lsn);
    isFull.set(health.trouble === null ? 0 : 1);
    epoch.set(head);
    vdl.set(node.durable.vdl);
    floor.set(node.segment.floor.lsn);
    const total = log.bytes;
    files.with({ state: 'sealed' }).set(log.sealedFiles);
    files.with({ state: 'open' }).set(log.files.length - log.sealedFiles);
    const unfolded = Math.min(total, Math.max(0, node.segment.volumeEnd(head) - pages.folder.point.lsn));
    held.with({ held: 'unfolded' }).set(unfolded);
    held.with({ held: 'folded' }).set(total - unfolded);
    measure(space.seen);
  });
}

/** What is not measured yet has no sample. */
function watchSpace(registry: MetricRegistry): (seen: SpaceWatch['seen']) => void {
  const used = registry.gauge(metrics.storageUsedBytes);
  const free = registry.gauge(metrics.storageDiskFree);
  const size = registry.gauge(metrics.storageDiskSize);
  return (seen) => {
    if (seen === null) return;
    used.with({ part: 'log' }).set(seen.logBytes);
    used.with({ part: 'images' }).set(seen.imageBytes);
    free.with({}).set(seen.freeBytes);
    size.with({}).set(seen.sizeBytes);
  };
}
