import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeFillJournal,
  encodeFillEntry,
  type FillEntry,
} from '../../../storage/images/core/fill-journal.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, lsn, pageNo } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';

const entry = (from: number, count: number, next: number | null, at = 10): FillEntry => ({
  file: 3,
  at: { epoch: epoch(2), lsn: lsn(at) },
  next: next === null ? null : pageNo(next),
  index: {
    pages: Uint32Array.from({ length: count }, (_, place) => from + place),
    crcs: Uint32Array.from({ length: count }, (_, place) => place * 7),
  },
});

describe('the journal of a fill', () => {
  const entries = [entry(1, 3, 4), entry(4, 2, 9, 8), entry(9, 1, null, 12)];
  const bytes = Buffer.concat(entries.map(encodeFillEntry));

  it('tells what was written', () => {
    expect(decodeFillJournal(bytes)).toEqual({ entries, length: bytes.length });
  });

  it('cut anywhere, tells whole entries; with a flipped byte, those before it', () => {
    const ends = [0, 1, 2, 3].map(
      (count) => Buffer.concat(entries.slice(0, count).map(encodeFillEntry)).length,
    );
    for (let at = 0; at < bytes.length; at++) {
      const whole = ends.findLastIndex((end) => end <= at);
      expect(decodeFillJournal(bytes.subarray(0, at)).entries).toHaveLength(whole);
      const rotten = Buffer.from(bytes);
      rotten[at] = (rotten[at] ?? 0) ^ 4;
      expect(decodeFillJournal(rotten).entries).toHaveLength(whole);
    }
  });

  it('believes nothing that does not go on where the entry before it ended', () => {
    const read = decodeFillJournal(Buffer.concat([entry(1, 3, 4), entry(3, 2, 9)].map(encodeFillEntry)));
    expect(read.entries).toHaveLength(1);
  });
});

const image = (version: number): Uint8Array => new Uint8Array(4096).fill(version);
const batches = [
  { at: 30, pages: [1, 2], next: 5 },
  { at: 20, pages: [5, 6], next: 8 },
  { at: 40, pages: [8], next: null },
].map(({ at, pages, next }) => ({
  at: { epoch: epoch(1), lsn: lsn(at) },
  pages: pages.map((page) => ({ page: pageNo(page), bytes: image(page) })),
  next: next === null ? null : pageNo(next),
}));

async function open(disk: MemoryDisk): Promise<ImageStore> {
  const opened = await ImageStore.open({
    directory: 'images',
    disk,
    runtime: machine,
    onTrouble: () => undefined,
  });
  if (opened.kind === 'failed') throw new Error(opened.message);
  return opened.store;
}

async function storeOf(disk: MemoryDisk): Promise<ImageStore> {
  const store = await open(disk);
  const pages = new Map([1, 7].map((page) => [pageNo(page), image(100 + page)]));
  await store.append({ point: { head: epoch(1), lsn: lsn(5) }, isConsistent: true, endsAt: null, pages });
  return store;
}

const versions = async (store: ImageStore): Promise<readonly number[]> =>
  (await store.read([1, 2, 5, 6, 7, 8].map(pageNo))).map((read) =>
    read.kind === 'ok' ? (read.bytes[0] ?? 0) : 0,
  );

describe('a store of images that is filled from elsewhere', () => {
  it('S24: begins at the lowest place of the pages and is told from the highest on', async () => {
    const store = await storeOf(new MemoryDisk());
    for (const batch of batches) expect(await store.addFill(batch)).toEqual({ kind: 'stored' });
    expect(await versions(store)).toEqual([101, 0, 0, 0, 107, 0]);
    expect(await store.adopt()).toEqual({ kind: 'stored' });
    expect(await versions(store)).toEqual([1, 2, 5, 6, 0, 8]);
    expect([store.base, store.point.lsn, store.places]).toEqual([
      { at: { epoch: 1, lsn: 20 }, fuzzyTo: 40 },
      20,
      [],
    ]);
    expect([store.endBelow(lsn(39)).lsn, store.endBelow(lsn(40)).lsn]).toEqual([0, 20]);
    // What is folded above makes it whole, and a merge keeps that in mind.
    for (const to of [35, 45]) {
      const pages = new Map([[pageNo(2), image(to)]]);
      await store.append({
        point: { head: epoch(1), lsn: lsn(to) },
        isConsistent: true,
        endsAt: null,
        pages,
      });
    }
    expect(store.places.map(({ lsn: at }) => at)).toEqual([45]);
    await store.close();
  });

  it('killed after any operation, goes on or has the old images; all bytes come at last', async () => {
    const counting = new MemoryDisk();
    const reference = await storeOf(counting);
    const before = counting.operations.length;
    for (const batch of batches) await reference.addFill(batch);
    await reference.adopt();
    const operations = counting.operations.length - before;
    await reference.close();
    for (let kill = 0; kill <= operations; kill++) {
      const disk = new MemoryDisk();
      const store = await storeOf(disk);
      let left = kill;
      let survivor: MemoryDisk | null = null;
      disk.fault = () => {
        if (left-- === 0) survivor = disk.survivor();
        return undefined;
      };
      for (const batch of batches) await store.addFill(batch);
      await store.adopt();
      survivor ??= disk.survivor();
      await store.close();
      const next = await open(survivor);
      const standing = next.filling;
      const isDone = standing === null && next.base?.at.lsn === 20;
      if (!isDone) {
        expect(await versions(next)).toEqual([101, 0, 0, 0, 107, 0]);
        const has = standing === null ? 0 : batches.findIndex(({ next: to }) => to === standing.next) + 1;
        for (const batch of batches.slice(has)) expect(await next.addFill(batch)).toEqual({ kind: 'stored' });
        expect(await next.adopt()).toEqual({ kind: 'stored' });
      }
      expect(await versions(next)).toEqual([1, 2, 5, 6, 0, 8]);
      await next.close();
    }
    expect(operations).toBeGreaterThan(15);
  });

  it('a full disk keeps a batch out, and the next try stores it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 30_000 }), async (room) => {
        const disk = new MemoryDisk();
        const store = await storeOf(disk);
        const used = disk.paths().reduce((sum, path) => sum + disk.contents(path).length, 0);
        disk.capacityBytes = used + room;
        for (const batch of batches) {
          if ((await store.addFill(batch)).kind === 'stored') continue;
          disk.capacityBytes = Number.POSITIVE_INFINITY;
          expect(await store.addFill(batch)).toEqual({ kind: 'stored' });
        }
        disk.capacityBytes = Number.POSITIVE_INFINITY;
        expect(await store.adopt()).toEqual({ kind: 'stored' });
        expect(await versions(store)).toEqual([1, 2, 5, 6, 0, 8]);
        await store.close();
      }),
      { numRuns: 40 },
    );
  });
});
