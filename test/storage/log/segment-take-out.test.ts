/** Entries taken out of a node's index because their bytes have rotted, and what comes back for them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import { epoch, lsn, pgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { fork } from '../samples.ts';

const reign = epoch(1);

/** Frames of ten LSNs, of group 0 but for every twentieth, side by side in files of thirty. */
function frames(count: number): readonly HeldFrame[] {
  const lastOf = new Map<number, number>();
  return Array.from({ length: count }, (_, at): HeldFrame => {
    const pg = at % 20 === 19 ? 1 : 0;
    const base = at * 10;
    const prevPg = lsn(lastOf.get(pg) ?? 0);
    lastOf.set(pg, base + 10);
    const position = { file: 1 + Math.floor(at / 30), offset: (at % 30) * 46, length: 46 };
    return {
      epoch: reign,
      pg: pgId(pg),
      base: lsn(base),
      end: lsn(base + 10),
      prevPg,
      lastCpl: lsn(base + 10),
      position,
    };
  });
}

function segmentOf(held: readonly HeldFrame[]): Segment {
  const segment = new Segment(new EpochTree([fork(1, 0, 0)]));
  for (const frame of held) segment.insert(frame);
  return segment;
}

const view = (segment: Segment) => ({
  end: segment.volumeEnd(reign),
  scls: [...segment.scls(reign)].sort(([a], [b]) => a - b),
  reach: segment.run(reign, zeroLsn, 1e9, endOfTime).end,
});

const moved = (frame: HeldFrame, at: number): HeldFrame => ({
  ...frame,
  position: { file: 99, offset: at * 46, length: 46 },
});

describe('an entry that is taken out', () => {
  it('is claimed no longer: the node ends before it, and so do its groups', () => {
    const all = frames(100);
    const segment = segmentOf(all);
    const [lost] = all.slice(50);
    expect(lost && segment.takeOut(lost)).toEqual(lost);
    expect(segment.volumeEnd(reign)).toBe(500);
    expect(segment.scl(reign, pgId(0))).toBe(500);
    expect(segment.scl(reign, pgId(1))).toBe(1000);
    expect(segment.run(reign, zeroLsn, 1e9, endOfTime).end).toBe(500);
    expect(lost && segment.has(lost)).toBe(false);
  });

  it('is the whole stretch that holds the frame', () => {
    const all = frames(100);
    const segment = segmentOf(all);
    segment.join(reign, lsn(1000));
    const [lost] = all.slice(45);
    const entry = lost && segment.takeOut(lost);
    expect([entry?.base, entry?.end]).toEqual([400, 590]);
    expect(segment.volumeEnd(reign)).toBe(400);
  });

  it('is not the one that came back for it: a reader that finds the old bytes rotten again takes nothing out', () => {
    const all = frames(100);
    const segment = segmentOf(all);
    const [lost] = all.slice(50);
    if (lost === undefined) throw new Error('there is a frame');
    segment.takeOut(lost);
    segment.insert(moved(lost, 0));
    expect(segment.takeOut(lost)).toBeNull();
    expect(view(segment)).toEqual(view(segmentOf(all)));
  });

  it('makes no difference once its frames are back, in whatever order and joined or not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(199), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 0, max: 2000 }),
        fc.nat(),
        (rotten, joinedTo, seed) => {
          const all = frames(200);
          const segment = segmentOf(all);
          segment.join(reign, lsn(joinedTo));
          const entries = rotten.flatMap((at) => segment.takeOut(all[at] as HeldFrame) ?? []);
          expect(segment.volumeEnd(reign)).toBe(Math.min(...entries.map(({ base }) => base)));
          for (const entry of entries) expect(segment.coverOf(entry)).toBe('none');
          const missing = all.filter(({ base, end }) =>
            entries.some((entry) => entry.base <= base && end <= entry.end),
          );
          const order = missing.map((frame, at) => ({ frame, rank: (at * 7919 + seed) % 1009 }));
          order.sort((a, b) => a.rank - b.rank);
          for (const [at, { frame }] of order.entries()) expect(segment.insert(moved(frame, at))).toBe(true);
          expect(view(segment)).toEqual(view(segmentOf(all)));
          for (const entry of entries) expect(segment.coverOf(entry)).toBe('whole');
        },
      ),
    );
  });
});

describe('what is held of a stretch', () => {
  const segment = segmentOf([...frames(10), ...frames(30).slice(20)]);
  it.each([
    [0, 100, 'whole'],
    [10, 30, 'whole'],
    [100, 200, 'none'],
    [90, 110, 'part'],
    [100, 210, 'part'],
    [190, 200, 'none'],
    [0, 300, 'part'],
    [290, 310, 'part'],
    [300, 310, 'none'],
  ] as const)('of [%i, %i) it is %s', (base, end, cover) => {
    expect(segment.coverOf({ epoch: reign, base: lsn(base), end: lsn(end) })).toBe(cover);
  });

  it('lists the entries of a file in the order of the file', () => {
    expect(segmentOf(frames(100).toReversed()).entriesIn(2)).toEqual(frames(60).slice(30));
    expect(segment.entriesIn(9)).toEqual([]);
  });
});
