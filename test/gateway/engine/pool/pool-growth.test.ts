import { describe, expect, it } from 'vitest';
import { chooseToEnd, PoolLoad } from '../../../../gateway/engine/core/pool-growth.ts';
import type { ReaderView } from '../../../../gateway/engine/core/reader-choice.ts';

const slowMs = 15;
const thread = (queuedUs: number, change: Partial<ReaderView> = {}): ReaderView => ({
  id: 1,
  queuedUs,
  pinned: 0,
  runningMs: 0,
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
    ['grows once its only thread has had too much to do for a tenth of a second', () => [crowded], 20],
    ['does not while what waits is soon done', () => [thread(900)], null],
    ['does not while one of its threads has room', () => [crowded, thread(0)], null],
    ['grows when only the thread of a transaction has room', () => [crowded, thread(0, { pinned: 1 })], 20],
    [
      'grows when only a thread with a slow statement seems to have room',
      () => [crowded, thread(0, { runningMs: 99 })],
      20,
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
