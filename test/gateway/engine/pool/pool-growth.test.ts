import { describe, expect, it } from 'vitest';
import { BusyShare, chooseToEnd, PoolLoad } from '../../../../gateway/engine/core/pool-growth.ts';
import type { ReaderView } from '../../../../gateway/engine/core/reader-choice.ts';

const slowMs = 15;
const thread = (queuedUs: number, change: Partial<ReaderView> = {}): ReaderView => ({
  id: 1,
  queuedUs,
  pinned: 0,
  runningMs: 0,
  fetchingMs: 0,
  busyShare: 1,
  ...change,
});

/** How many looks, five milliseconds apart, it takes until the pool should grow; null when it never should. */
function looksUntilGrowth(views: (look: number) => readonly ReaderView[]): number | null {
  const load = new PoolLoad();
  for (let look = 0; look < 200; look++) if (load.look(views(look), slowMs, look * 5)) return look;
  return null;
}

describe('a pool of reading threads', () => {
  const crowded = thread(1_200);
  const cases: [string, (look: number) => readonly ReaderView[], number | null][] = [
    ['grows once its only thread has had too much to do for a quarter of a second', () => [crowded], 50],
    ['does not while its thread rests half of its time', () => [thread(1_200, { busyShare: 0.5 })], null],
    ['does not while what waits is soon done', () => [thread(900)], null],
    ['does not while one of its threads has room', () => [crowded, thread(0)], null],
    ['grows when only the thread of a transaction has room', () => [crowded, thread(0, { pinned: 1 })], 50],
    [
      'grows when only a thread with a slow statement seems to have room',
      () => [crowded, thread(0, { runningMs: 99 })],
      50,
    ],
    [
      'does not for a crowd that is gone half of the time',
      (look) => [look % 2 === 0 ? crowded : thread(0)],
      null,
    ],
    [
      'leaves slow statements to those who start a thread for them at once',
      () => [thread(9_000, { runningMs: 99 })],
      null,
    ],
  ];
  it.each(cases)('%s', (_what, views, looks) => {
    expect(looksUntilGrowth(views)).toBe(looks);
  });

  it('does not take the time for which nobody looked for a crowd', () => {
    const load = new PoolLoad();
    expect([0, 10_000, 20_000].map((nowMs) => load.look([crowded], slowMs, nowMs))).toEqual([
      false,
      false,
      false,
    ]);
  });

  it('does without the last thread that nobody has needed for long, and never without its only one', () => {
    const idle = (...idleMs: number[]) => idleMs.map((ms, at) => ({ id: at + 1, idleMs: ms }));
    expect(chooseToEnd(idle(90_000), 30_000)).toBe(null);
    expect(chooseToEnd(idle(0, 29_999), 30_000)).toBe(null);
    expect(chooseToEnd(idle(0, 30_000, 0), 30_000)).toBe(2);
    expect(chooseToEnd(idle(90_000, 90_000), 30_000)).toBe(2);
  });
});

describe('the share of its time for which a thread works', () => {
  it('is that of the last tenth of a second that was looked at, and nothing when nobody looked for long', () => {
    const busy = new BusyShare();
    const share = (us: number, nowMs: number) => {
      busy.add(us);
      busy.look(nowMs);
      return busy.share;
    };
    expect(share(0, 0)).toBe(0);
    expect(share(30_000, 50)).toBe(0);
    expect(share(30_000, 100)).toBe(0.6);
    expect(share(90_000, 150)).toBe(0.6);
    expect(share(90_000, 200)).toBe(1);
    expect(share(10_000, 700)).toBe(0);
    expect(share(10_000, 800)).toBe(0.1);
  });
});
