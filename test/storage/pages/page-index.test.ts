import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import { PageIndex, type PagePlan } from '../../../storage/pages/core/page-index.ts';
import { encodeFrame, framePayload } from '../../../storage/redo/frame.ts';
import { type Epoch, epoch, type Lsn, lsn, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { applyChange, decodeRecords, type PageChange, type Shrink } from '../../../storage/redo/record.ts';
import { RecordCursor } from '../../../storage/redo/record-cursor.ts';
import { Prng } from '../../simulation/world/prng.ts';
import { commitAt, encoded, fork, heldOf } from '../samples.ts';

const pages = [1, 2, 3].map(pageNo);

interface Written {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  readonly change: PageChange | Shrink;
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

  write(of: Epoch, changes: readonly (PageChange | Shrink)[]): void {
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
    this.index.add(heldOf(bytes, at), bytes);
  }

  /** @param image the page as everything at or below the floor left it. */
  build(plan: PagePlan, image: Uint8Array | null): Uint8Array {
    const page = plan.needsImage && image !== null ? image.slice() : new Uint8Array(4096);
    for (const { frame, offset } of plan.records) {
      const payload = framePayload(this.frames[frame.position.offset] ?? new Uint8Array(0));
      const cursor = new RecordCursor(payload, offset);
      if (!cursor.next() || !cursor.applyTo(page)) throw new Error('no change where the index says');
    }
    return page;
  }

  /** The page by folding every visible change, oldest first. */
  naive(page: number, head: Epoch, readPoint: Lsn): Uint8Array | null {
    const visible = this.written
      .filter((one) => concerns(one.change, page) && this.tree.visible(head, readPoint, one))
      .sort((a, b) => a.lsn - b.lsn);
    let image: Uint8Array | null = null;
    for (const { change } of visible)
      image = change.kind === 'shrink' ? null : applyChange(image ?? new Uint8Array(4096), change);
    return image;
  }

  /** What the index makes of a page. @param base what lies at or below its floor, when it has one. */
  read(page: number, head: Epoch, readPoint: Lsn, base: Uint8Array | null = null): Uint8Array | null {
    const plan = this.index.plan(pageNo(page), head, readPoint);
    if (plan === null) return base;
    return plan.records.length === 0 ? null : this.build(plan, base);
  }
}

function concerns(change: PageChange | Shrink, page: number): boolean {
  return change.kind === 'shrink' ? change.pages < page : change.page === page;
}

/** What the index makes of a page is what the naive fold gives; compared as bytes, which is quick. */
function expectSame(
  twin: Twin,
  page: number,
  head: Epoch,
  readPoint: Lsn,
  base: Uint8Array | null = null,
): void {
  const read = twin.read(page, head, readPoint, base);
  const naive = twin.naive(page, head, readPoint);
  const same =
    read instanceof Uint8Array && naive !== null ? Buffer.compare(read, naive) === 0 : read === naive;
  expect(same, `page ${page} along epoch ${head} at ${readPoint}`).toBe(true);
}

/** Raises the floor and forgets all that lies below. */
function raise(index: PageIndex, floor: Lsn): void {
  index.raise(floor);
  while (index.forget());
}

function repeated<T>(value: T, times: number): T[] {
  return new Array<T>(times).fill(value);
}

function randomChange(dice: Prng, images = 100): PageChange {
  const page = dice.pick(pages);
  if (dice.perMille(images))
    return { kind: 'pageImage', page, bytes: new Uint8Array(4096).fill(dice.below(256)) };
  const bytes = new Uint8Array(1 + dice.below(20)).fill(dice.below(256));
  const kind = dice.perMille(images) ? 'pageAnew' : 'pageDelta';
  return { kind, page, runs: [{ offset: dice.below(60), bytes }] };
}

function shrunkTo(left: number): Shrink {
  return { kind: 'shrink', pages: left };
}

/** Some transactions over a few epochs, with forks below what was written. */
function grow(dice: Prng, images = 100): Twin {
  const twin = new Twin();
  const heads = [epoch(1)];
  for (let round = 0; round < 25; round++) {
    const head = dice.pick(heads);
    twin.write(
      head,
      Array.from({ length: 1 + dice.below(3) }, () =>
        dice.perMille(100) ? shrunkTo(dice.below(pages.length)) : randomChange(dice, images),
      ),
    );
    if (heads.length < 4 && dice.perMille(200)) {
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
      fc.property(fc.nat(), (seed) => {
        const twin = grow(Prng.fromSeed(seed));
        everyPoint(twin, 0, (page, head, at) => expectSame(twin, page, head, at));
      }),
      { numRuns: 25 },
    );
  });

  it('is the same when frames are indexed in another order and more than once', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const dice = Prng.fromSeed(seed);
        const twin = grow(dice);
        const order = dice.shuffle([...twin.frames.keys(), ...twin.frames.keys()]);
        const before = pages.map((page) => twin.index.plan(page, epoch(1), endOfTime));
        twin.index.clear(lsn(0));
        expect(twin.index.recordCount).toBe(0);
        for (const at of order) twin.add(at);
        const after = pages.map((page) => twin.index.plan(page, epoch(1), endOfTime));
        const places = (plan: PagePlan | null) => plan?.records.map(({ frame, offset }) => [frame, offset]);
        expect(after.map(places)).toEqual(before.map(places));
        everyPoint(twin, 0, (page, head, at) => expectSame(twin, page, head, at));
      }),
      { numRuns: 20 },
    );
  });

  it('takes a hole that is filled below many newer records as quickly as records in order', () => {
    const frames = 30_000;
    const index = new PageIndex(new EpochTree([fork(1, 0, 0)]));
    const bytes: Uint8Array[] = [];
    const run = { offset: 0, bytes: new Uint8Array([7]) };
    const record = encoded({ kind: 'pageDelta', page: pageNo(1), runs: [run] });
    for (let at = 0; at < 2 * frames; at++) {
      const base = lsn(at * record.length);
      bytes.push(encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, [record]));
    }
    const held = bytes.map((frame) => heldOf(frame));
    const add = (at: number) => {
      const frame = held[at];
      if (frame !== undefined) index.add(frame, bytes[at] ?? new Uint8Array(0));
    };
    const took = (first: number): number => {
      const from = performance.now();
      for (let at = first; at < first + frames; at++) add(at);
      return performance.now() - from;
    };
    const inOrderMs = took(frames);
    // From newest to oldest it would be 900 million steps.
    expect(took(0)).toBeLessThan(20 * inOrderMs + 100);
    const lsns = index.plan(pageNo(1), epoch(1), endOfTime)?.records.map(({ frame }) => frame.end);
    expect(lsns).toEqual(held.map(({ end }) => end));
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
    expect(twin.index.recordCount).toBe(1);
  });

  it('is gone once the database ends before it, and begins anew when the database grows again', () => {
    const twin = new Twin();
    const filled = (fill: number): PageChange => ({
      kind: 'pageImage',
      page: pageNo(3),
      bytes: new Uint8Array(4096).fill(fill),
    });
    for (const change of [filled(1), shrunkTo(2), filled(2)]) twin.write(epoch(1), [change]);
    const [before, gone, again] = twin.written.map((one) => one.lsn);
    expect(twin.read(3, epoch(1), before ?? lsn(0))?.[0]).toBe(1);
    expect(twin.index.plan(pageNo(3), epoch(1), gone ?? lsn(0))).toEqual({ needsImage: false, records: [] });
    expect(twin.index.plan(pageNo(2), epoch(1), gone ?? lsn(0))).toBeNull();
    expect(twin.read(3, epoch(1), again ?? lsn(0))?.[0]).toBe(2);
    raise(twin.index, gone ?? lsn(0));
    expect(twin.read(3, epoch(1), again ?? lsn(0))?.[0]).toBe(2);
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
    expect(plan?.records).toHaveLength(1);
    expect(plan?.needsImage).toBe(false);
  });
});

describe('a floor', () => {
  it('leaves every page at and above it the same, given the page as it is at the floor', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (seed, share) => {
        const twin = grow(Prng.fromSeed(seed), 50);
        const head = epoch(1);
        const floor = lsn(Math.floor(twin.endOf(head) * share));
        raise(twin.index, floor);
        const bases = new Map(pages.map((page) => [page, twin.naive(page, head, floor)]));
        for (const page of pages) {
          for (const { lsn: at, epoch: of } of twin.written)
            if (of === head && at >= floor) expectSame(twin, page, head, at, bases.get(page) ?? null);
          expectSame(twin, page, head, endOfTime, bases.get(page) ?? null);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('makes room: nothing at or below it is kept, nor taken in again', () => {
    const twin = new Twin();
    const dice = Prng.fromSeed(11);
    for (let at = 0; at < 120; at++) twin.write(epoch(1), [randomChange(dice, 30)]);
    const middle = twin.written[60]?.lsn ?? lsn(0);
    const above = twin.written.filter((one) => one.lsn > middle).length;
    raise(twin.index, middle);
    expect(twin.index.recordCount).toBe(above);
    for (const at of twin.frames.keys()) twin.add(at);
    expect(twin.index.recordCount).toBe(above);
    raise(twin.index, twin.endOf(epoch(1)));
    expect(twin.index.recordCount).toBe(0);
  });

  it('gives the room of many records back in small steps, and hides them all at once', () => {
    const index = new PageIndex(new EpochTree([fork(1, 0, 0)]));
    const record = encoded({
      kind: 'pageDelta',
      page: pageNo(1),
      runs: [{ offset: 0, bytes: new Uint8Array(1) }],
    });
    const perFrame = 100;
    const ends: Lsn[] = [];
    for (let at = 0; at < 200; at++) {
      const base = ends.at(-1) ?? lsn(0);
      const bytes = encodeFrame(
        { epoch: epoch(1), pg: pgId(0), base, prevPg: base },
        repeated(record, perFrame),
      );
      const frame = heldOf(bytes, at);
      index.add(frame, bytes);
      ends.push(frame.end);
    }
    index.raise(ends[149] ?? lsn(0));
    const kept = 50 * perFrame;
    expect(index.plan(pageNo(1), epoch(1), endOfTime)?.records).toHaveLength(kept);
    const counts = [index.recordCount];
    for (let more = true; more; counts.push(index.recordCount)) more = index.forget();
    expect(counts[0]).toBe(200 * perFrame);
    expect(counts.at(-1)).toBe(kept);
    for (const [at, count] of counts.slice(1).entries())
      expect((counts[at] ?? 0) - count).toBeLessThan(5_000);
    expect(index.plan(pageNo(1), epoch(1), endOfTime)?.records).toHaveLength(kept);
  });
});
