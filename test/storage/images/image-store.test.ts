import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergeBounds } from '../../../storage/images/core/merge-policy.ts';
import { ImageStore } from '../../../storage/images/image-store.ts';
import { machine } from '../../../storage/process/runtime.ts';
import { epoch, type Lsn, lsn, type PageNo, pageNo } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';

type Pages = ReadonlyMap<number, number>;

/** A page of one byte value, which is its version. */
const image = (version: number): Uint8Array => new Uint8Array(4096).fill(version);
const imagesOf = (pages: Pages): Map<PageNo, Uint8Array> =>
  new Map([...pages].map(([page, version]) => [pageNo(page), image(version)]));

const small = { ...mergeBounds, aboveBaseBytesMin: 0, fanIn: 2, smallestBytes: 8 * 1024, runsMax: 4 };

async function open(disk: MemoryDisk, troubles: string[] = []): Promise<ImageStore> {
  const opened = await ImageStore.open({
    directory: 'images',
    disk,
    runtime: machine,
    onTrouble: (what, reason) => troubles.push(`${what}: ${reason}`),
    bounds: small,
  });
  if (opened.kind === 'failed') throw new Error(opened.message);
  return opened.store;
}

async function append(
  store: ImageStore,
  head: number,
  to: number,
  pages: Pages,
  isConsistent = true,
  endsAt: number | null = null,
): Promise<string> {
  const stored = await store.append({
    point: { head: epoch(head), lsn: lsn(to) },
    isConsistent,
    endsAt,
    pages: imagesOf(pages),
  });
  return stored.kind === 'stored' ? stored.kind : stored.reason;
}

/** Versions of pages 1 to 9; 0 where there is none. */
async function versions(store: ImageStore, at?: Lsn): Promise<readonly (number | string)[]> {
  const read = await store.read([1, 2, 3, 4, 5, 6, 7, 8, 9].map(pageNo), at);
  return read.map((found) => {
    if (found.kind !== 'ok') return found.kind === 'absent' ? 0 : 'bad';
    return found.bytes.every((byte) => byte === found.bytes[0]) ? (found.bytes[0] ?? 'empty') : 'mixed';
  });
}

const runFiles = (disk: MemoryDisk): readonly string[] =>
  disk.paths().filter((path) => path.endsWith('.run'));

async function three(disk: MemoryDisk): Promise<ImageStore> {
  const store = await open(disk);
  store.keep([lsn(10), lsn(20)]);
  expect(
    await append(
      store,
      1,
      10,
      new Map([
        [1, 1],
        [2, 1],
        [3, 1],
      ]),
    ),
  ).toBe('stored');
  expect(
    await append(
      store,
      1,
      20,
      new Map([
        [2, 2],
        [9, 2],
      ]),
    ),
  ).toBe('stored');
  expect(
    await append(
      store,
      2,
      30,
      new Map([
        [3, 3],
        [4, 3],
      ]),
    ),
  ).toBe('stored');
  return store;
}

describe('a store of images', () => {
  it('tells pages as of each boundary, the newest run first', async () => {
    const store = await three(new MemoryDisk());
    expect(store.boundaries).toEqual([10, 20, 30]);
    expect(store.point).toEqual({ head: 2, lsn: 30 });
    expect(await versions(store)).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
    expect(await versions(store, lsn(29))).toEqual([1, 2, 1, 0, 0, 0, 0, 0, 2]);
    expect(await versions(store, lsn(10))).toEqual([1, 1, 1, 0, 0, 0, 0, 0, 0]);
    expect(await versions(store, lsn(9))).toEqual(Array(9).fill(0));
    expect([9, 10, 25, 99].map((at) => store.endBelow(lsn(at)).lsn)).toEqual([0, 10, 20, 30]);
    expect(await store.read([pageNo(2)], lsn(10))).toEqual([{ kind: 'ok', bytes: image(1) }]);
  });

  it('has no page beyond where a database ended in a newer run, also after a merge and a restart (S23)', async () => {
    const disk = new MemoryDisk();
    const pages = (version: number, ...of: number[]): Pages => new Map(of.map((page) => [page, version]));
    const write = async (store: ImageStore) => {
      store.keep([lsn(10), lsn(20), lsn(30)]);
      await append(store, 1, 10, pages(1, 1, 2, 3, 4, 5));
      await append(store, 1, 20, pages(2, 1), true, 2);
      await append(store, 1, 30, pages(3, 4), true, null);
    };
    const store = await open(disk);
    await write(store);
    const gone = [2, 1, 0, 3, 0, 0, 0, 0, 0];
    expect(await versions(store)).toEqual(gone);
    expect(await versions(store, lsn(20))).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0]);
    expect(await versions(store, lsn(10))).toEqual([1, 1, 1, 1, 1, 0, 0, 0, 0]);
    const handed = await store.pagesFrom(pageNo(1), 4096 * 99);
    expect(handed.kind === 'pages' && handed.pages.map(({ page }) => page)).toEqual([1, 2, 4]);
    await store.close();
    const again = await open(disk);
    expect(await versions(again)).toEqual(gone);
    while (await again.merge());
    expect(await versions(again)).toEqual(gone);
    await again.close();
  });

  it('hands out all pages in order, some at a time', async () => {
    const store = await three(new MemoryDisk());
    const first = await store.pagesFrom(pageNo(1), 2 * 4096);
    if (first.kind !== 'pages') throw new Error(first.reason);
    expect(first).toMatchObject({ at: { epoch: 2, lsn: 30 }, next: 3 });
    expect(first.pages.map(({ page, bytes }) => [page, bytes[0]])).toEqual([
      [1, 1],
      [2, 2],
    ]);
    const rest = await store.pagesFrom(pageNo(3), 4096 * 99);
    if (rest.kind !== 'pages') throw new Error(rest.reason);
    expect(rest.pages.map(({ page, bytes }) => [page, bytes[0]])).toEqual([
      [3, 3],
      [4, 3],
      [9, 2],
    ]);
    expect(rest.next).toBeNull();
  });

  it('has as boundaries only CPLs', async () => {
    const store = await open(new MemoryDisk());
    await append(store, 1, 10, new Map([[1, 1]]), false);
    await append(store, 1, 20, new Map([[1, 2]]));
    expect(store.boundaries).toEqual([20]);
    expect(store.endBelow(lsn(15)).lsn).toBe(10);
  });

  it('is there again after a restart, and after a loss of power', async () => {
    const disk = new MemoryDisk();
    await (await three(disk)).close();
    disk.crash();
    const troubles: string[] = [];
    const store = await open(disk, troubles);
    expect(store.boundaries).toEqual([10, 20, 30]);
    expect(await versions(store)).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
    expect(troubles).toEqual([]);
  });

  it('merges as the policy says, and removes what was merged once its readers have gone', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    store.keep([]);
    const reading = versions(store, lsn(20));
    while (await store.merge());
    expect(await reading).toEqual([1, 2, 1, 0, 0, 0, 0, 0, 2]);
    expect(store.runCount).toBe(1);
    expect(store.boundaries).toEqual([30]);
    expect(await versions(store)).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
    await nextTurn();
    expect(runFiles(disk)).toHaveLength(1);
    expect(store.counters.merges).toBeGreaterThan(0);
  });

  it('drops what lies above a fork at once, and it stays dropped', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    await store.dropAbove(lsn(19));
    expect(store.point).toEqual({ head: 1, lsn: 10 });
    expect(await append(store, 3, 15, new Map([[1, 9]]))).toBe('stored');
    expect(await versions(store)).toEqual([9, 1, 1, 0, 0, 0, 0, 0, 0]);
    disk.crash();
    expect(await versions(await open(disk))).toEqual([9, 1, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('gives a merge up whose runs are dropped meanwhile', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    store.keep([lsn(10)]);
    const merging = store.merge();
    await store.dropAbove(lsn(20));
    await merging;
    expect(store.point.lsn).toBe(20);
    expect(await versions(store)).toEqual([1, 2, 1, 0, 0, 0, 0, 0, 2]);
    await store.close();
    expect(await versions(await open(disk))).toEqual([1, 2, 1, 0, 0, 0, 0, 0, 2]);
  });

  it('loses nothing on a full disk, leaves nothing behind, and goes on when there is space', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    const files = runFiles(disk);
    disk.capacityBytes = 33_000;
    expect(
      await append(
        store,
        2,
        40,
        new Map([
          [1, 4],
          [2, 4],
        ]),
      ),
    ).toContain('ENOSPC');
    store.keep([]);
    expect(await store.merge()).toBe(false);
    expect(runFiles(disk)).toEqual(files);
    expect(await versions(store)).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    expect(await append(store, 2, 40, new Map([[1, 4]]))).toBe('stored');
    expect(await versions(store)).toEqual([4, 2, 3, 3, 0, 0, 0, 0, 2]);
  });
});

describe('rot (S12)', () => {
  it('any flipped byte of any file is found: the page is not served, or the chain ends below it', async () => {
    const disk = new MemoryDisk();
    await (await three(disk)).close();
    const intact = await open(disk);
    const good = new Map<number, readonly (number | string)[]>();
    for (const at of intact.boundaries) good.set(at, await versions(intact, at));
    const saved = disk.paths().map((path) => [path, disk.contents(path)] as const);
    for (const [path, bytes] of saved)
      for (let at = 0; at < bytes.length; at += path.endsWith('.run') ? 397 : 1) {
        for (const [name, content] of saved) disk.put(name, content);
        disk.rot(path, at);
        const troubles: string[] = [];
        const store = await open(disk, troubles);
        const wrong: unknown[] = [];
        for (const boundary of store.boundaries) {
          const read = await versions(store, boundary);
          wrong.push(...read.filter((version, place) => version !== good.get(boundary)?.[place]));
        }
        // A manifest is made anew from the runs. A run is lost, with all above it, or serves all but one page.
        expect(troubles, `byte ${at} of ${path}`).toHaveLength(1);
        if (path.endsWith('manifest')) expect([store.point.lsn, wrong]).toEqual([30, []]);
        else if (store.point.lsn === 30) expect(new Set(wrong)).toEqual(new Set(['bad']));
        else expect(wrong).toEqual([]);
        await store.close();
      }
  });

  it('a page is believed that matches what was stored, served from memory, and its run is written anew', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    disk.rot(runFiles(disk)[0] ?? '', 5);
    expect((await versions(store))[0]).toBe('bad');
    expect(store.rotten).toBe(1);
    expect(store.wantsMerge).toBe(false);
    expect(await store.heal(() => Promise.resolve([image(7)]))).toBe(false);
    expect(await store.heal(() => Promise.resolve([null]))).toBe(false);
    const healed = await store.heal((at, pages) => {
      // No newer run has another version: peers are asked for the newest place, which is above their floors.
      expect([at, pages]).toEqual([{ head: 2, lsn: 30 }, [1]]);
      return Promise.resolve([image(1)]);
    });
    expect([healed, store.rotten, store.wantsHealing]).toEqual([true, 0, false]);
    expect(store.counters).toMatchObject({ rottenFound: 1, rottenHealed: 1 });
    expect(store.boundaries).toEqual([10, 20, 30]);
    disk.crash();
    expect(await versions(await open(disk))).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
  });

  it('a version is asked for where it ends; one that nobody has any more goes with a merge, and holds up none', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    for (const page of [0, 1, 2]) disk.rot(runFiles(disk)[0] ?? '', 4096 * page);
    expect((await versions(store, lsn(10))).slice(0, 4)).toEqual(['bad', 'bad', 'bad', 0]);
    const asked: unknown[] = [];
    const nobody = (at: unknown, pages: readonly PageNo[]) => {
      asked.push([at, pages]);
      return Promise.resolve(null);
    };
    expect(await store.heal(nobody)).toBe(false);
    expect(asked).toEqual([
      [{ head: 1, lsn: 10 }, [2]],
      [{ head: 1, lsn: 20 }, [3]],
      [{ head: 2, lsn: 30 }, [1]],
    ]);
    const newest = (at: { readonly lsn: Lsn }, pages: readonly PageNo[]) =>
      Promise.resolve(at.lsn < 30 ? null : pages.map(() => image(1)));
    expect([await store.heal(newest), store.rotten, store.runCount]).toEqual([false, 2, 3]);
    store.keep([lsn(20)]);
    expect([await store.heal(nobody), store.rotten, store.runCount]).toEqual([false, 2, 3]);
    expect(store.wantsMerge).toBe(false);
    store.keep([]);
    expect([await store.heal(nobody), store.rotten, store.boundaries]).toEqual([true, 0, [30]]);
    expect(await versions(store)).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
    disk.crash();
    expect(await versions(await open(disk))).toEqual([1, 2, 3, 3, 0, 0, 0, 0, 2]);
  });

  it('a merge goes on whose newer runs have other versions of what has rotted', async () => {
    const disk = new MemoryDisk();
    const store = await open(disk);
    store.keep([lsn(20), lsn(30)]);
    const pages = (version: number, ...of: number[]): Pages => new Map(of.map((page) => [page, version]));
    await append(store, 1, 10, pages(1, 1, 2));
    await append(store, 1, 20, pages(2, 2));
    await append(store, 1, 30, pages(3, 1));
    disk.rot(runFiles(disk)[0] ?? '', 4096);
    expect((await versions(store, lsn(10))).slice(0, 2)).toEqual([1, 'bad']);
    expect(store.wantsMerge).toBe(true);
    expect(await store.merge()).toBe(true);
    expect([store.rotten, store.boundaries]).toEqual([0, [20, 30]]);
    expect((await versions(store, lsn(20))).slice(0, 2)).toEqual([1, 2]);
  });

  it('a block that cannot be read takes no neighbour with it', async () => {
    const disk = new MemoryDisk();
    const store = await three(disk);
    disk.badRanges.push({ path: runFiles(disk)[0] ?? '', from: 4096, to: 4097 });
    expect(await versions(store, lsn(10))).toEqual([1, 'bad', 1, 0, 0, 0, 0, 0, 0]);
    expect(store.rotten).toBe(1);
  });
});

describe('a kill at any moment (S13)', () => {
  it('leaves the chain as it was before or after, whatever the disk keeps of what was not flushed', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('append' as const),
        pages: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      }),
      fc.record({ kind: fc.constant('merge' as const) }),
      fc.record({ kind: fc.constant('drop' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ kind: fc.constant('restart' as const) }),
    );
    const plan = fc.record({
      steps: fc.array(step, { minLength: 1, maxLength: 14 }),
      dieAfter: fc.integer({ min: 1, max: 160 }),
      torn: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ steps, dieAfter, torn }) => {
        const disk = new MemoryDisk();
        /** By LSN, pages as they should be there; of every history there was. */
        const truth = new Map<number, (number | string)[]>([[0, Array(9).fill(0)]]);
        let store = await open(disk);
        let acknowledged = 0;
        let operations = 0;
        let dead = false;
        disk.fault = () => {
          dead ||= ++operations > dieAfter;
          return dead ? 'EIO' : undefined;
        };
        let version = 0;
        for (const doing of steps) {
          if (dead) break;
          const before = store.point.lsn;
          if (doing.kind === 'append') {
            version += 1;
            const to = lsn(before + 10);
            const pages = [...(truth.get(before) ?? [])];
            for (const page of doing.pages) pages[page - 1] = version;
            truth.set(to, pages);
            const stored = await append(
              store,
              1 + version,
              to,
              new Map(doing.pages.map((page) => [page, version])),
            );
            if (stored === 'stored') acknowledged = to;
          } else if (doing.kind === 'merge') await store.merge();
          else if (doing.kind === 'drop') {
            await store.dropAbove(lsn(Math.floor(doing.share * before)));
            acknowledged = Math.min(acknowledged, store.point.lsn);
          } else {
            await store.close();
            // It does not start on a disk that does nothing any more.
            const again = await open(disk).catch(() => null);
            if (again === null) expect(dead).toBe(true);
            store = again ?? store;
          }
          const read = dead ? [] : await versions(store);
          if (!dead) expect(read).toEqual(truth.get(store.point.lsn));
        }
        disk.fault = () => undefined;
        disk.crash((_path, unflushed) => Math.floor(torn * unflushed));
        const found = await open(disk);
        expect(found.point.lsn).toBeGreaterThanOrEqual(acknowledged);
        for (const at of found.boundaries) expect(await versions(found, at)).toEqual(truth.get(at));
        expect(runFiles(disk)).toHaveLength(found.runCount);
      }),
      { numRuns: 150 },
    );
  });
});
