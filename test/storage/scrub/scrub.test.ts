import { describe, expect, it, test } from 'vitest';
import { mergeBounds } from '../../../storage/images/core/merge-policy.ts';
import { footerBytes, indexEntryBytes } from '../../../storage/images/core/run-format.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, pageNo } from '../../../storage/redo/ids.ts';
import { ImagePass } from '../../../storage/scrub/image-pass.ts';
import { LogPass } from '../../../storage/scrub/log-pass.ts';
import { Scrubber, type ScrubPass, scrubBounds } from '../../../storage/scrub/scrubber.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import { frameLength, logDirectory, SealedLog, turns } from '../log/sealed-log.ts';

/** Bytes of a whole pass. */
async function passOf(pass: ScrubPass): Promise<number> {
  let bytes = 0;
  for (let piece = await pass.next(); piece !== null; piece = await pass.next()) bytes += piece;
  return bytes;
}

describe('the scrubber', () => {
  it('takes its passes one after another, slower while frames are written, and rests after the last one', async () => {
    const waits: number[] = [];
    let appends = 0;
    const runtime = {
      ...machine,
      after: (delayMs: number, run: () => void) => {
        waits.push(delayMs);
        if (waits.length === 2) appends += 1;
        if (waits.length < 8) setImmediate(run);
        return { stop: () => undefined };
      },
    };
    const given = [[100, 200, null], [null], [50, null, 50]].map((pieces): ScrubPass => {
      const left = [...pieces];
      return { next: async () => left.shift() ?? null };
    });
    const bounds = {
      ...scrubBounds,
      firstMs: 7,
      bytesPerSecond: 10_000,
      busyBytesPerSecond: 1_000,
      restMs: 99,
    };
    const scrubber = new Scrubber({ passes: given, runtime, appends: () => appends, bounds });
    await turns(100);
    expect(waits).toEqual([7, 10, 200, 5, 99, 5, 99, 99]);
    expect(scrubber.counters).toEqual({ bytes: 400, passes: 3 });
  });
});

describe('a pass over the log', () => {
  it('reads every byte but the last ones once, and finds every byte that changed', async () => {
    const disk = new MemoryDisk();
    const store = await SealedLog.open(disk);
    await store.append(0, 45);
    await store.seal();
    const { log, segment, rotten } = store;
    const logPass = (pieceBytes: number): Promise<number> =>
      passOf(
        new LogPass({
          log,
          segment,
          onRotten: (frames) => rotten.push(...frames),
          bounds: { pieceBytes, tailBytes: 100 },
        }),
      );
    // Of the last file's five frames, two end before its last hundred bytes.
    expect(await logPass(100)).toBe(42 * frameLength);
    expect(rotten).toEqual([]);
    const path = `${logDirectory}/0000000002.log`;
    for (let at = 0; at < 10 * frameLength; at += 7) {
      rotten.length = 0;
      disk.rot(path, at, 0x10);
      await logPass(1e6);
      disk.rot(path, at, 0x10);
      const bases = rotten.map(({ base }) => base);
      expect(bases, `byte ${at}`).toEqual([100 + 10 * Math.floor(at / frameLength)]);
    }
  });
});

/** Three runs of 3, 2 and 70 pages. */
async function images(disk: MemoryDisk, troubles: string[]): Promise<ImageStore> {
  const opened = await ImageStore.open({
    directory: 'images',
    disk,
    runtime: machine,
    onTrouble: (_what, reason) => troubles.push(reason),
    bounds: { ...mergeBounds, runsMax: 9, fanIn: 9, aboveBaseBytesMin: 1e9 },
  });
  if (opened.kind === 'failed') throw new Error(opened.message);
  return opened.store;
}

const imageOf = (page: number): Uint8Array => new Uint8Array(4096).fill(page);

async function filled(disk: MemoryDisk, troubles: string[]): Promise<ImageStore> {
  const store = await images(disk, troubles);
  for (const [index, count] of [3, 2, 70].entries()) {
    const pages = new Map(Array.from({ length: count }, (_, at) => [pageNo(at + 1), imageOf(at + 1)]));
    const point = { head: epoch(1), lsn: lsn((index + 1) * 10) };
    expect(await store.append({ point, isConsistent: true, endsAt: null, pages })).toEqual({
      kind: 'stored',
    });
  }
  return store;
}

const runs = (disk: MemoryDisk): readonly string[] => disk.paths().filter((path) => path.endsWith('.run'));
const scrubImages = (store: ImageStore): Promise<number> =>
  passOf(new ImagePass({ images: store, bounds: { pieceBytes: 64 * 1024 } }));

describe('a pass over the images', () => {
  it('reads every byte of every run once', async () => {
    const disk = new MemoryDisk();
    const troubles: string[] = [];
    const store = await filled(disk, troubles);
    expect(await scrubImages(store)).toBe(75 * (4096 + indexEntryBytes) + 3 * footerBytes);
    expect(troubles).toEqual([]);
    expect(store.wantsHealing).toBe(false);
  });

  test('finds a byte that changed anywhere in a run, and the run is as it was once it is healed (S12)', async () => {
    const disk = new MemoryDisk();
    const troubles: string[] = [];
    const store = await filled(disk, troubles);
    const length = 70 * (4096 + indexEntryBytes) + footerBytes;
    const steps = [
      ...Array.from({ length: 12 }, (_, at) => at * 23_003),
      length - footerBytes - 9,
      length - 1,
      length - 48,
    ];
    for (const at of steps) {
      troubles.length = 0;
      const path = runs(disk).at(-1) ?? '';
      expect(disk.contents(path).length).toBe(length);
      disk.rot(path, at, 0x40);
      await scrubImages(store);
      expect(troubles, `byte ${at}`).toHaveLength(1);
      const isWhole = await store.heal(async (_at, pages) => pages.map((page) => imageOf(page)));
      expect(isWhole).toBe(true);
      const read = await store.read([1, 2, 70].map(pageNo));
      expect(read.map((page) => (page.kind === 'ok' ? page.bytes[9] : page.kind))).toEqual([1, 2, 70]);
    }
    await store.close();
    const again = await images(disk, troubles);
    troubles.length = 0;
    expect(again.point.lsn).toBe(30);
    await scrubImages(again);
    expect(troubles).toEqual([]);
  });

  test('goes on behind a run that is replaced while it is read', async () => {
    const disk = new MemoryDisk();
    const store = await filled(disk, []);
    const pass = new ImagePass({ images: store, bounds: { pieceBytes: 4096 } });
    for (let piece = 0; piece < 3; piece++) expect(await pass.next()).not.toBeNull();
    await store.dropAbove(lsn(20));
    await store.append({
      point: { head: epoch(2), lsn: lsn(25) },
      isConsistent: true,
      endsAt: null,
      pages: new Map([[pageNo(4), imageOf(4)]]),
    });
    await passOf(pass);
    expect(await scrubImages(store)).toBe(6 * (4096 + indexEntryBytes) + 3 * footerBytes);
  });
});
