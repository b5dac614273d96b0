import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chainLength,
  chainOf,
  parseManifest,
  type RunEntry,
  runsThrough,
} from '../../../storage/images/core/manifest.ts';
import {
  type Merge,
  type MergeRun,
  mergeBounds,
  mergeBytesPerSecond,
  nextMerge,
} from '../../../storage/images/core/merge-policy.ts';
import { holdsThrough, replacedBy } from '../../../storage/images/core/rot-plan.ts';
import {
  decodeFooter,
  decodeIndex,
  encodeFooter,
  encodeIndex,
  footerBytes,
  type RunFooter,
  runFileBytes,
  slotOf,
} from '../../../storage/images/core/run-format.ts';
import { MergeCursor, readsOf, slotReadBounds } from '../../../storage/images/core/slot-plan.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';

const facts = { epoch: epoch(3), from: lsn(100), to: lsn(900), isConsistent: true, endsAt: 5, pages: 3 };
const footer: RunFooter = { ...facts, indexCrc: 77 };
const entry = (file: number, of: number, from: number, to: number): RunEntry => ({
  file,
  epoch: epoch(of),
  from: lsn(from),
  to: lsn(to),
  isConsistent: true,
  endsAt: null,
  pages: 1,
});

describe('the format of a run', () => {
  it('gives back a footer, and no flipped byte or other length passes for one', () => {
    const bytes = encodeFooter(footer);
    const fileBytes = runFileBytes(3);
    expect(bytes).toHaveLength(footerBytes);
    expect(decodeFooter(bytes, fileBytes)).toEqual({ kind: 'footer', footer });
    const longer = { ...footer, endsAt: null };
    expect(decodeFooter(encodeFooter(longer), fileBytes)).toEqual({ kind: 'footer', footer: longer });
    expect(decodeFooter(bytes, fileBytes + 1).kind).toBe('bad');
    expect(decodeFooter(bytes.subarray(1), fileBytes).kind).toBe('bad');
    for (let at = 0; at < footerBytes; at++)
      for (let bit = 0; bit < 8; bit++) {
        const flipped = bytes.slice();
        flipped[at] = (flipped[at] ?? 0) ^ (1 << bit);
        expect(decodeFooter(flipped, fileBytes).kind, `bit ${bit} of byte ${at}`).toBe('bad');
      }
  });

  it('gives back an index, whole or in parts, and no flipped byte passes for one', async () => {
    const { crc32 } = await import('node:zlib');
    const index = { pages: Uint32Array.of(1, 5, 4_000_000_000), crcs: Uint32Array.of(9, 8, 7) };
    const bytes = encodeIndex(index);
    expect([...encodeIndex(index, 0, 2), ...encodeIndex(index, 2, 3)]).toEqual([...bytes]);
    const whole = { ...footer, indexCrc: crc32(bytes) };
    expect(decodeIndex(bytes, whole)).toEqual(index);
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 4;
      expect(decodeIndex(flipped, whole)).toBeNull();
    }
    const unsorted = encodeIndex({ ...index, pages: Uint32Array.of(5, 1, 9) });
    expect(decodeIndex(unsorted, { ...footer, indexCrc: crc32(unsorted) })).toBeNull();
    expect([1, 2, 5, 4_000_000_000].map((page) => slotOf(index.pages, page))).toEqual([0, -1, 1, 2]);
  });
});

describe('the manifest (S13)', () => {
  it('is a chain from zero, or it is not believed', () => {
    const runs = [entry(4, 1, 0, 10), entry(7, 1, 10, 30), entry(8, 2, 30, 31)];
    expect(parseManifest({ runs })).toEqual({ kind: 'ok', value: { runs } });
    expect(parseManifest({ runs: runs.slice(1) }).kind).toBe('bad');
    expect(parseManifest({ runs: [entry(4, 1, 0, 0)] }).kind).toBe('bad');
    expect(parseManifest({ runs: [{ ...entry(4, 1, 0, 5), pages: 0 }] }).kind).toBe('bad');
    expect(parseManifest({ run: [] }).kind).toBe('bad');
    expect(chainLength([entry(4, 1, 0, 10), entry(7, 1, 11, 30)])).toBe(1);
    expect([9, 10, 29, 30, 31, 99].map((at) => runsThrough(runs, lsn(at)))).toEqual([0, 1, 1, 2, 3, 3]);
  });

  it.each<[string, RunEntry[], number[]]>([
    ['nothing', [], []],
    ['no base', [entry(1, 1, 10, 20)], []],
    [
      'what a merge left',
      [entry(1, 1, 0, 10), entry(2, 1, 10, 20), entry(3, 1, 0, 20), entry(4, 1, 20, 25)],
      [3, 4],
    ],
    [
      'what a fork left',
      [entry(1, 1, 0, 10), entry(2, 1, 10, 90), entry(3, 2, 10, 20), entry(4, 2, 20, 40)],
      [1, 3, 4],
    ],
    ['a run written anew', [entry(1, 1, 0, 10), entry(9, 1, 0, 10)], [9]],
    ['an older history above a newer one', [entry(1, 2, 0, 10), entry(2, 1, 10, 90)], [1]],
  ])('is made anew from the runs that are there: %s', (_what, found, files) => {
    expect(chainOf(found).map(({ file }) => file)).toEqual(files);
  });
});

const KiB = 1024;
const MiB = 1024 * KiB;

const run = (kib: number, to: number, endsAt: number | null = null): MergeRun => ({
  bytes: kib * KiB,
  to: lsn(to),
  pages: Math.ceil(kib / 4),
  endsAt,
});

/** A chain of such sizes, in KiB; run n ends at n + 1. */
const chain = (...sizes: number[]): MergeRun[] => sizes.map((size, at) => run(size, at + 1));

describe('which runs are merged', () => {
  it.each<[string, ReturnType<typeof chain>, number[], Merge | null]>([
    ['none', chain(), [], null],
    ['a base alone', chain(100), [], null],
    ['little above a small base', chain(16, 100, 500), [], null],
    ['more than a MiB above a small base', chain(16, 700, 500), [], { first: 0, last: 2 }],
    ['half of a base', chain(10_240, 5_000), [], null],
    [
      'more than half: the oldest go, a quarter stays',
      chain(10_240, 4_400, 900, 100),
      [],
      { first: 0, last: 1 },
    ],
    ['three of one size', chain(99_000, 200, 200, 200), [], null],
    ['four of one size', chain(99_000, 200, 200, 200, 200), [], { first: 1, last: 4 }],
    [
      'four of one size above a larger one',
      chain(99_000, 1_000, 200, 200, 200, 200),
      [],
      { first: 2, last: 5 },
    ],
    ['small ones that would not double a large one', chain(99_000, 900, 200, 200, 200), [], null],
    ['a boundary that is kept, in the base', chain(16, 700, 500), [1], null],
    ['a boundary that is kept, above', chain(16, 700, 500), [2], { first: 0, last: 1 }],
    ['a boundary that is kept, in a level', chain(99_000, 200, 200, 200, 200), [3], null],
    [
      'a base most of which is beyond the end of a shorter database (S23)',
      [run(99_000, 1), run(4_000, 2), run(4_000, 3, 1_000), run(100, 4)],
      [],
      { first: 0, last: 2 },
    ],
    [
      'a base of which a little is beyond the end',
      [run(99_000, 1), run(4_000, 2), run(4_000, 3, 20_000)],
      [],
      null,
    ],
    [
      'an end that a kept boundary keeps from the base',
      [run(99_000, 1), run(4_000, 2), run(4_000, 3, 1_000)],
      [2],
      null,
    ],
    ['the newest boundary, which no merge takes', chain(16, 700, 500), [3], { first: 0, last: 2 }],
  ])('%s', (_what, runs, kept, merge) => {
    expect(nextMerge(runs, new Set(kept.map(lsn)))).toEqual(merge);
  });

  it('takes the smallest neighbours when there are too many', () => {
    const sizes = Array.from({ length: 17 }, (_, at) => (at % 2 === 0 ? 60_000 : 4_000));
    const runs = chain(9_000_000, ...sizes);
    runs[6] = run(1, 7);
    expect(nextMerge(runs, new Set(), { ...mergeBounds, fanIn: 99 })).toEqual({ first: 5, last: 6 });
    expect(nextMerge(runs, new Set([lsn(6)]), { ...mergeBounds, fanIn: 99 })).toEqual({ first: 6, last: 7 });
  });

  it('ends with bounds on number and bytes, for any runs, and writes a page a few times', () => {
    const size = fc.integer({ min: 1, max: 16 * KiB });
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 200 }), (sizes) => {
        let runs: MergeRun[] = [];
        let written = 0;
        for (const [at, kib] of sizes.entries()) {
          runs.push(run(kib, at + 1));
          for (let merge = nextMerge(runs); merge !== null; merge = nextMerge(runs)) {
            expect(merge.last).toBeGreaterThan(merge.first);
            const bytes = runs.slice(merge.first, merge.last + 1).reduce((sum, run) => sum + run.bytes, 0);
            written += bytes;
            const to = runs[merge.last]?.to ?? lsn(0);
            runs = [...runs.slice(0, merge.first), run(bytes / KiB, to), ...runs.slice(merge.last + 1)];
          }
          const [base, ...above] = runs.map(({ bytes }) => bytes);
          expect(runs.length).toBeLessThanOrEqual(mergeBounds.runsMax);
          expect(above.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(
            Math.max((base ?? 0) / 2, MiB),
          );
        }
        const total = sizes.reduce((sum, kib) => sum + kib * KiB, 0);
        expect(written / total).toBeLessThan(16);
      }),
      { numRuns: 40 },
    );
  });

  it('has a rate that gives way to a writer, and catches up when it falls behind', () => {
    const { bytesPerSecond, bytesPerSecondBusy, runsMax } = mergeBounds;
    expect(mergeBytesPerSecond(2, false)).toBe(bytesPerSecond);
    expect(mergeBytesPerSecond(2, true)).toBe(bytesPerSecondBusy);
    expect(mergeBytesPerSecond(runsMax + 1, true)).toBe(bytesPerSecond);
    expect(mergeBytesPerSecond(2 * runsMax + 1, true)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('a page that has rotted', () => {
  const chain = [
    { to: 10, pages: [1, 2, 3, 9], endsAt: null },
    { to: 20, pages: [2], endsAt: null },
    { to: 30, pages: [3], endsAt: 5 },
    { to: 40, pages: [2], endsAt: null },
  ].map(({ to, pages, endsAt }) => ({
    index: { pages: Uint32Array.from(pages) },
    entry: { to: lsn(to), endsAt },
  }));

  it.each([
    [0, 1, 3],
    [0, 2, 0],
    [0, 3, 1],
    [0, 9, 1],
    [1, 2, 2],
    [2, 3, 3],
    [3, 2, 3],
  ])('in run %i, page %i, is told up to the end of run %i', (at, page, last) => {
    expect(holdsThrough(chain, at, page)).toBe(last);
  });

  it.each<[number, number[], number[], number | null]>([
    [0, [2], [], 1],
    [0, [2, 3, 9], [], 2],
    [0, [1, 2], [], null],
    [0, [2], [10], null],
    [0, [3], [20], null],
    [0, [3], [30], 2],
    [1, [2], [], 3],
    [3, [2], [], null],
  ])('run %i with pages %j is merged, with %j kept, through run %s', (at, pages, kept, last) => {
    expect(replacedBy(chain, at, pages, new Set(kept))).toBe(last);
  });
});

describe('which slots are read', () => {
  it('neighbours together, with small gaps, and no more than a MiB', () => {
    expect(readsOf([])).toEqual([]);
    expect(readsOf([3, 3, 4, 6])).toEqual([{ first: 3, count: 4 }]);
    expect(readsOf([0, 8])).toEqual([{ first: 0, count: 9 }]);
    expect(readsOf([0, 9])).toEqual([
      { first: 0, count: 1 },
      { first: 9, count: 1 },
    ]);
    const many = Array.from({ length: slotReadBounds.slotsMax + 1 }, (_, at) => at);
    expect(readsOf(many)).toEqual([
      { first: 0, count: slotReadBounds.slotsMax },
      { first: slotReadBounds.slotsMax, count: 1 },
    ]);
  });

  it('of runs that become one, each page once, the newest one, in order, and none that is gone by then', () => {
    const pages = fc.uniqueArray(fc.integer({ min: 1, max: 30 }), { maxLength: 20 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(pages, fc.option(fc.integer({ min: 0, max: 30 }))), { maxLength: 5 }),
        fc.integer({ min: 0, max: 31 }),
        fc.integer({ min: 1, max: 7 }),
        (sets, from, count) => {
          const runs = sets.map(([set, endsAt]) => ({ pages: Uint32Array.from(set).sort(), endsAt }));
          const wanted = new Map<number, readonly [number, number]>();
          for (const [run, { pages: held, endsAt }] of runs.entries()) {
            for (const page of wanted.keys()) if (endsAt !== null && page > endsAt) wanted.delete(page);
            for (const [slot, page] of held.entries()) if (page >= from) wanted.set(page, [run, slot]);
          }
          const cursor = new MergeCursor(runs, from);
          const found: (readonly [number, readonly [number, number]])[] = [];
          for (let some = cursor.next(count); some.length > 0; some = cursor.next(count)) {
            expect(some.length).toBeLessThanOrEqual(count);
            found.push(...some.map(({ page, run, slot }) => [page, [run, slot] as const] as const));
          }
          expect(found).toEqual([...wanted].sort(([a], [b]) => a - b));
        },
      ),
    );
  });
});
