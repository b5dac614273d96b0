/**
 * What page images cost one node: folding redo into them, and reading pages back, each with production files in a temporary
 * directory. `npx node test/bench/measure/page-images.ts [MiB]`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EpochTree } from '../../../storage/history/epoch-tree.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { nodeDisk } from '../../../storage/log/disk.ts';
import { FrameReader } from '../../../storage/log/frame-reader.ts';
import { HotLog } from '../../../storage/log/hot-log.ts';
import { PageIndex } from '../../../storage/pages/core/page-index.ts';
import { PageReader } from '../../../storage/pages/page-reader.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { encodeFrame, parseFrame } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, mainBranch, pageNo, pgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { encodeMtr, type PageChange } from '../../../storage/redo/record.ts';

const MiB = 1024 * 1024;
const volumeMiB = Number(process.argv[2] ?? 256);
const pageCount = (volumeMiB * MiB) / 4096;
const directory = mkdtempSync(join(tmpdir(), 'sextant-page-images-'));
const tree = new EpochTree([{ epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: zeroLsn }]);
const segment = new Segment(tree);
const opened = await HotLog.open({
  directory: join(directory, 'log'),
  disk: nodeDisk,
  onFrame: () => undefined,
});
if (opened.kind !== 'open') throw new Error(opened.message);
const { log } = opened;
const images = await ImageStore.open({
  directory: join(directory, 'images'),
  disk: nodeDisk,
  runtime: machine,
  onTrouble: (what, reason) => console.error(what, reason),
});
if (images.kind !== 'open') throw new Error(images.message);
const { store } = images;
const reader = new PageReader({
  index: new PageIndex(tree),
  tree,
  segment,
  frames: new FrameReader(log, (reason) => console.error(reason)),
  images: store,
  source: () => Promise.resolve(null),
  runtime: machine,
  onTrouble: (what, reason) => console.error(what, reason),
});

let at: Lsn = zeroLsn;
let state = 1;
const random = (below: number): number => {
  state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
  return Math.floor((state / 2 ** 31) * below);
};

async function write(changes: readonly PageChange[]): Promise<void> {
  const { runs } = encodeMtr(changes, [{ kind: 'commit', commitTimeUs: 1, trace: null }], 10 * 1024 * MiB);
  const frames = runs.map(({ bytes }) => {
    const frame = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: at, prevPg: at }, [bytes]);
    const parsed = parseFrame(frame);
    if (parsed.kind !== 'frame') throw new Error('a frame');
    at = parsed.header.end;
    return { frame, header: parsed.header };
  });
  const result = await new Promise<Parameters<Parameters<typeof log.append>[1]>[0]>((resolve) =>
    log.append(
      frames.map(({ frame }) => frame),
      resolve,
    ),
  );
  if (result.kind !== 'persisted') throw new Error(result.message);
  const held = frames.map(({ header: { epoch: of, pg, base, end, prevPg } }, index) => {
    const position = result.positions[index];
    if (position === undefined) throw new Error('a position');
    return { epoch: of, pg, base, end, prevPg, lastCpl: end, position };
  });
  for (const frame of held) segment.insert(frame);
  reader.held(
    held,
    frames.map(({ frame }) => frame),
  );
}

/** Folds all there is, one tick after another without a pause. */
async function fold(what: string, bytes: number, records: number): Promise<void> {
  segment.join(epoch(1), at);
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  while (!reader.folder.isDone(epoch(1), at)) {
    const { lsn } = reader.folder.point;
    await reader.fold({ head: epoch(1), lowWater: at });
    await new Promise((resolve) =>
      reader.folder.point.lsn > lsn ? setImmediate(resolve) : setTimeout(resolve, 1),
    );
  }
  const tookMs = performance.now() - startMs;
  const used = process.cpuUsage(cpu);
  console.log(
    `${what}: ${(bytes / MiB / (tookMs / 1_000)).toFixed(1)} MiB/s of redo, ${Math.round(records / (tookMs / 1_000))} changes/s, ${Math.round(tookMs)} ms, ${Math.round((used.user + used.system) / 1_000)} ms of CPU`,
  );
}

async function reads(what: string, count: number, pagesOf: () => readonly number[]): Promise<void> {
  const took: number[] = [];
  const cpu = process.cpuUsage();
  let pages = 0;
  for (let round = 0; round < count; round++) {
    const asked = pagesOf().map(pageNo);
    const startMs = performance.now();
    const read = await reader.read(epoch(1), at, asked);
    took.push(performance.now() - startMs);
    if (read.kind !== 'pages') throw new Error(read.reason);
    if (read.pages.some((page) => page === null)) throw new Error('a page is not there');
    pages += asked.length;
  }
  const used = process.cpuUsage(cpu);
  took.sort((a, b) => a - b);
  const quantile = (share: number): string =>
    ((took[Math.floor(share * took.length)] ?? 0) * 1_000).toFixed(0);
  console.log(
    `${what}: p50 ${quantile(0.5)} us, p99 ${quantile(0.99)} us, ${((used.user + used.system) / pages).toFixed(1)} us of CPU a page`,
  );
}

const begin = at;
for (let page = 1; page <= pageCount; page += 32)
  await write(
    Array.from({ length: 32 }, (_, index) => ({
      kind: 'pageImage' as const,
      page: pageNo(page + index),
      bytes: new Uint8Array(4096).fill(1 + ((page + index) % 255)),
    })),
  );
await fold('fold whole pages', at - begin, pageCount);
const before = at;
const deltas = 40_000;
for (let count = 0; count < deltas; count += 4)
  await write(
    Array.from({ length: 4 }, () => ({
      kind: 'pageDelta' as const,
      page: pageNo(1 + random(pageCount)),
      runs: [{ offset: random(3_900), bytes: new Uint8Array(100).fill(random(256)) }],
    })),
  );
await fold('fold random changes', at - before, deltas);
const mergingMs = performance.now();
for (
  ;
  !reader.isDone({ head: epoch(1), lowWater: at });
  await new Promise((resolve) => setTimeout(resolve, 5))
)
  await reader.fold({ head: epoch(1), lowWater: at });
console.log(
  `merged for another ${Math.round(performance.now() - mergingMs)} ms: ${store.runCount} runs, ${(store.bytes / MiB).toFixed(0)} MiB, ${store.counters.merges} merges, ${(store.counters.bytesWritten / MiB).toFixed(0)} MiB written`,
);
for (let pass = 0; pass < 2; pass++) {
  await reads('256 neighbours', 400, () => {
    const first = 1 + random(pageCount - 256);
    return Array.from({ length: 256 }, (_, index) => first + index);
  });
  await reads('256 random pages', 200, () => Array.from({ length: 256 }, () => 1 + random(pageCount)));
  await reads('one random page', 5_000, () => [1 + random(pageCount)]);
}
await reader.close();
await log.close();
rmSync(directory, { recursive: true });
