import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/core/epoch-tree.ts';
import { encodeFrame, framePayload } from '../../../storage/core/frame.ts';
import { type Epoch, epoch, type Lsn, lsn, pageNo, pgId } from '../../../storage/core/ids.ts';
import { nodeLimits } from '../../../storage/core/limits.ts';
import { type PageEntry, PageIndex, type PagePlan } from '../../../storage/core/page-index.ts';
import { applyChange, decodeRecords, type PageChange, spansOf } from '../../../storage/core/record.ts';
import { commitAt, Dice, encoded, fork, heldOf } from './samples.ts';

const pages = [1, 2, 3].map(pageNo);

interface Written {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  readonly change: PageChange;
}

/** A store of frames with its index, and beside it every change by itself, folded the naive way. */
class Twin {
  readonly tree = new EpochTree([fork(1, 0, 0)]);
  readonly index = new PageIndex(this.tree);
  readonly written: Written[] = [];
  readonly frames: Uint8Array[] = [];
  readonly images = new Map<string, Uint8Array>();
  readonly ends = new Map<Epoch, Lsn>();

  endOf(of: Epoch): Lsn {
    return this.ends.get(of) ?? this.tree.startOf(of);
  }

  write(of: Epoch, changes: readonly PageChange[]): void {
    const base = this.endOf(of);
    const records = [...changes, commitAt(base)].map(encoded);
    const bytes = encodeFrame({ epoch: of, pg: pgId(0), base, prevPg: base }, records);
    const decoded = decodeRecords(framePayload(bytes), base);
    if (decoded.kind !== 'records') throw new Error(decoded.reason);
    for (const record of decoded.records) {
      if (record.kind !== 'commit') this.written.push({ epoch: of, lsn: record.lsn, change: record });
    }
    this.ends.set(of, heldOf(bytes).end);
    this.frames.push(bytes);
    this.add(this.frames.length - 1);
  }

  add(at: number): void {
    const bytes = this.frames[at] ?? new Uint8Array(0);
    const frame = heldOf(bytes, at);
    this.index.add(frame, spansOf(framePayload(bytes), frame.base) ?? []);
  }

  build(plan: PagePlan): Uint8Array {
    let page: Uint8Array = new Uint8Array(4096);
    for (const entry of plan.entries) {
      if (entry.at === null) {
        page = this.images.get(this.key(plan, entry))?.slice() ?? new Uint8Array(0);
        continue;
      }
      const { frame, offset, length } = entry.at;
      const payload = framePayload(this.frames[frame.position.offset] ?? new Uint8Array(0));
      const decoded = decodeRecords(payload.subarray(offset, offset + length), frame.base);
      const record = decoded.kind === 'records' ? decoded.records[0] : undefined;
      if (record === undefined || record.kind === 'commit') throw new Error('no change where the index says');
      page = applyChange(page, record);
    }
    return page;
  }

  /** The page by folding every visible change, oldest first. */
  naive(page: number, head: Epoch, readPoint: Lsn): Uint8Array | null {
    const visible = this.written
      .filter((one) => one.change.page === page && this.tree.visible(head, readPoint, one))
      .sort((a, b) => a.lsn - b.lsn);
    let image: Uint8Array | null = null;
    for (const { change } of visible) image = applyChange(image ?? new Uint8Array(4096), change);
    return image;
  }

  /** @returns what the index makes of a page, or `foldedAway`. */
  read(page: number, head: Epoch, readPoint: Lsn): Uint8Array | null | 'foldedAway' {
    const plan = this.index.plan(pageNo(page), head, readPoint);
    return plan === null || plan === 'foldedAway' ? plan : this.build(plan);
  }

  /** Folds everything there is to fold. @returns how many pages were. */
  foldAll(head: Epoch, lowWater: Lsn): number {
    let folded = 0;
    for (
      let next = this.index.nextFold(head, lowWater);
      next !== null;
      next = this.index.nextFold(head, lowWater)
    ) {
      this.images.set(this.key(next.plan, next.result), this.build(next.plan));
      this.index.fold(next.plan, next.result);
      folded += 1;
    }
    return folded;
  }

  private key(plan: PagePlan, entry: PageEntry): string {
    return `${plan.page}/${entry.epoch}/${entry.lsn}`;
  }
}

/** What the index makes of a page is what the naive fold gives; compared as bytes, which is quick. */
function expectSame(twin: Twin, page: number, head: Epoch, readPoint: Lsn): void {
  const read = twin.read(page, head, readPoint);
  const naive = twin.naive(page, head, readPoint);
  const same =
    read instanceof Uint8Array && naive !== null ? Buffer.compare(read, naive) === 0 : read === naive;
  expect(same, `page ${page} along epoch ${head} at ${readPoint}`).toBe(true);
}

function randomChange(dice: Dice, images = 0.1): PageChange {
  const page = dice.pick(pages);
  if (dice.chance(images))
    return { kind: 'pageImage', page, bytes: new Uint8Array(4096).fill(dice.below(256)) };
  const bytes = new Uint8Array(1 + dice.below(20)).fill(dice.below(256));
  return { kind: 'pageDelta', page, runs: [{ offset: dice.below(60), bytes }] };
}

/** Some transactions over a few epochs, with forks below what was written. */
function grow(dice: Dice, images = 0.1): Twin {
  const twin = new Twin();
  const heads = [epoch(1)];
  for (let round = 0; round < 25; round++) {
    const head = dice.pick(heads);
    twin.write(
      head,
      Array.from({ length: 1 + dice.below(3) }, () => randomChange(dice, images)),
    );
    if (heads.length < 4 && dice.chance(0.2)) {
      const parent = dice.pick(heads);
      const commits = twin.frames
        .map((frame, at) => heldOf(frame, at))
        .filter((frame) => frame.epoch === parent);
      const at = commits.length === 0 ? twin.tree.startOf(parent) : dice.pick(commits).end;
      const next = epoch(heads.length + 1);
      twin.tree.add(fork(next, parent, at));
      heads.push(next);
    }
  }
  return twin;
}

function everyPoint(twin: Twin, from: number, check: (page: number, head: Epoch, at: Lsn) => void): void {
  const points = new Set(twin.written.map((one) => one.lsn));
  for (const head of [1, 2, 3, 4].map(epoch).filter((of) => twin.tree.has(of))) {
    for (const point of [lsn(0), ...points, endOfTime]) {
      if (point >= from) for (const page of pages) check(page, head, point);
    }
  }
}

describe('a page', () => {
  it('is at every read point of every path what the naive fold gives', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const twin = grow(new Dice(seed));
        everyPoint(twin, 0, (page, head, at) => expectSame(twin, page, head, at));
      }),
      { numRuns: 25 },
    );
  });

  it('is the same when frames are indexed in another order and more than once', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const dice = new Dice(seed);
        const twin = grow(dice);
        const order = dice.shuffle([...twin.frames.keys(), ...twin.frames.keys()]);
        const before = pages.map((page) => twin.index.plan(page, epoch(1), endOfTime));
        twin.index.clear();
        expect(twin.index.pageCount).toBe(0);
        for (const at of order) twin.add(at);
        const after = pages.map((page) => twin.index.plan(page, epoch(1), endOfTime));
        expect(after).toEqual(before);
        everyPoint(twin, 0, (page, head, at) => expectSame(twin, page, head, at));
      }),
      { numRuns: 20 },
    );
  });

  it('does not exist before it is written, nor where it was not', () => {
    const twin = new Twin();
    twin.write(epoch(1), [
      { kind: 'pageDelta', page: pageNo(1), runs: [{ offset: 0, bytes: new Uint8Array([7]) }] },
    ]);
    const written = twin.written[0]?.lsn ?? lsn(0);
    expect(twin.read(1, epoch(1), lsn(written - 1))).toBeNull();
    expect(twin.read(2, epoch(1), endOfTime)).toBeNull();
    expect(twin.read(1, epoch(1), written)?.[0]).toBe(7);
    expect(twin.index.pages()).toEqual([1]);
  });

  it('is planned from its newest whole image on, not from the beginning', () => {
    const twin = new Twin();
    const one = (fill: number): PageChange => ({
      kind: 'pageImage',
      page: pageNo(1),
      bytes: new Uint8Array(4096).fill(fill),
    });
    for (const fill of [1, 2, 3]) twin.write(epoch(1), [one(fill)]);
    const plan = twin.index.plan(pageNo(1), epoch(1), endOfTime);
    expect(plan !== null && plan !== 'foldedAway' && plan.entries).toHaveLength(1);
  });
});

describe('folding', () => {
  const many = nodeLimits.chainLengthMax + 10;

  it('keeps every page at and above the low-water mark, and says of reads below that they are folded away', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 1, noNaN: true }), (seed, share) => {
        const dice = new Dice(seed);
        const twin = new Twin();
        for (let at = 0; at < 3 * many; at++) twin.write(epoch(1), [randomChange(dice, 0.03)]);
        const lowWater = lsn(Math.floor(twin.endOf(epoch(1)) * share));
        const folded = twin.foldAll(epoch(1), lowWater);
        if (share > 0.9) expect(folded).toBeGreaterThan(0);
        everyPoint(twin, 0, (page, head, at) => {
          const read = twin.read(page, head, at);
          if (at >= lowWater || read !== 'foldedAway') expectSame(twin, page, head, at);
        });
      }),
      { numRuns: 15 },
    );
  });

  it('goes on over its own images', () => {
    const dice = new Dice(5);
    const twin = new Twin();
    let folded = 0;
    for (let at = 0; at < 6 * many; at++) {
      twin.write(epoch(1), [randomChange(dice, 0)]);
      folded += twin.foldAll(epoch(1), twin.endOf(epoch(1)));
    }
    expect(folded).toBeGreaterThan(pages.length);
    for (const page of pages) expectSame(twin, page, epoch(1), endOfTime);
    for (const page of pages) {
      const plan = twin.index.plan(page, epoch(1), endOfTime);
      expect(plan !== null && plan !== 'foldedAway' && plan.entries.length).toBeLessThanOrEqual(
        nodeLimits.chainLengthMax + 1,
      );
    }
  });

  it('drops what whole images have hidden, so that a page rewritten for ever takes no room for ever', () => {
    const twin = new Twin();
    const one = (fill: number): PageChange => ({
      kind: 'pageImage',
      page: pageNo(1),
      bytes: new Uint8Array(4096).fill(fill),
    });
    let folded = 0;
    for (let at = 0; at < 4 * many; at++) {
      twin.write(epoch(1), [one(at % 256)]);
      folded += twin.foldAll(epoch(1), twin.endOf(epoch(1)));
    }
    expect(folded).toBeGreaterThanOrEqual(3);
    const first = twin.written[0]?.lsn ?? lsn(0);
    expect(twin.read(1, epoch(1), first)).toBe('foldedAway');
    expectSame(twin, 1, epoch(1), endOfTime);
  });

  it('tells a path that forks below its images that they are of no use, and is undone by reading the log again', () => {
    const dice = new Dice(9);
    const twin = new Twin();
    for (let at = 0; at < 3 * many; at++) twin.write(epoch(1), [randomChange(dice, 0)]);
    const middle = twin.written[many]?.lsn ?? lsn(0);
    twin.foldAll(epoch(1), twin.endOf(epoch(1)));
    twin.tree.add(fork(2, 1, middle));
    expect(twin.index.foldHorizon).toBeGreaterThan(middle);
    expect(pages.map((page) => twin.read(page, epoch(2), endOfTime))).toContain('foldedAway');
    twin.index.clear();
    for (const at of twin.frames.keys()) twin.add(at);
    expect(twin.index.foldHorizon).toBe(0);
    for (const page of pages) expectSame(twin, page, epoch(2), endOfTime);
  });

  it('is not undone by records that arrive once more', () => {
    const dice = new Dice(11);
    const twin = new Twin();
    for (let at = 0; at < 3 * many; at++) twin.write(epoch(1), [randomChange(dice, 0.03)]);
    const end = twin.endOf(epoch(1));
    expect(twin.foldAll(epoch(1), end)).toBeGreaterThan(0);
    for (const at of twin.frames.keys()) twin.add(at);
    for (const page of pages) expectSame(twin, page, epoch(1), end);
  });

  it('finds nothing to do in short chains', () => {
    const twin = new Twin();
    for (let at = 0; at < nodeLimits.chainLengthMax; at++) {
      twin.write(epoch(1), [
        { kind: 'pageDelta', page: pageNo(1), runs: [{ offset: at, bytes: new Uint8Array([1]) }] },
      ]);
    }
    expect(twin.index.nextFold(epoch(1), endOfTime)).toBeNull();
  });
});
