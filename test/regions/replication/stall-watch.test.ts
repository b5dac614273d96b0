import { describe, expect, test } from 'vitest';
import { StallWatch } from '../../../regions/replication/core/stall-watch.ts';

const bounds = { stallAfterMs: 3_000, rebuildMsMax: 20_000 };

/** One look each 200 ms from `fromMs` up to `toMs`; @returns what was said, with its time. */
function watched(
  watch: StallWatch,
  fromMs: number,
  toMs: number,
  at: (nowMs: number) => { readonly isBehind: boolean; readonly progress: number },
): readonly string[] {
  const said: string[] = [];
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 200)
    for (const news of watch.look(at(nowMs), nowMs))
      said.push(`${nowMs} ${news.kind}${news.kind === 'rebuild' ? ` ${news.attempt}` : ''}`);
  return said;
}

describe('what stands still', () => {
  const cases: readonly {
    readonly what: string;
    readonly at: (nowMs: number) => { readonly isBehind: boolean; readonly progress: number };
    readonly said: readonly string[];
    readonly stalledMs: number;
  }[] = [
    {
      what: 'level and quiet, for however long',
      at: () => ({ isBehind: false, progress: 7 }),
      said: [],
      stalledMs: 0,
    },
    {
      what: 'behind for long and getting on, as within a large transaction',
      at: (nowMs) => ({ isBehind: true, progress: Math.floor(nowMs / 2_800) }),
      said: [],
      stalledMs: 0,
    },
    {
      what: 'behind and without progress: said once, begun anew with growing pauses',
      at: () => ({ isBehind: true, progress: 7 }),
      said: ['3000 stalled', '6000 rebuild 1', '12000 rebuild 2', '24000 rebuild 3'],
      stalledMs: 40_000,
    },
    {
      what: 'behind after it was level, counted from when it fell behind',
      at: (nowMs) => ({ isBehind: nowMs >= 30_000, progress: 7 }),
      said: ['33000 stalled', '36000 rebuild 1'],
      stalledMs: 10_000,
    },
    {
      what: 'one that gets on again says so once, and begins with short pauses the next time',
      at: (nowMs) => ({ isBehind: true, progress: nowMs < 20_000 ? 7 : 8 }),
      said: [
        '3000 stalled',
        '6000 rebuild 1',
        '12000 rebuild 2',
        '20000 recovered',
        '23000 stalled',
        '26000 rebuild 1',
        '32000 rebuild 2',
      ],
      stalledMs: 20_000,
    },
    {
      what: 'one that is level again',
      at: (nowMs) => ({ isBehind: nowMs < 5_000, progress: 7 }),
      said: ['3000 stalled', '5000 recovered'],
      stalledMs: 0,
    },
    {
      what: 'progress backwards is progress too: a secondary that joined anew begins lower',
      at: (nowMs) => ({ isBehind: true, progress: 1_000 - Math.floor(nowMs / 2_000) }),
      said: [],
      stalledMs: 0,
    },
  ];
  for (const { what, at, said, stalledMs } of cases) {
    test(what, () => {
      const watch = new StallWatch(bounds);
      expect(watched(watch, 0, 40_000, at)).toEqual(said);
      expect(watch.stalledMs(40_000)).toBe(stalledMs);
    });
  }

  test('the pauses end at the bound', () => {
    const rebuilds = watched(new StallWatch(bounds), 0, 120_000, () => ({ isBehind: true, progress: 7 }));
    expect(rebuilds.slice(-3)).toEqual(['64000 rebuild 5', '84000 rebuild 6', '104000 rebuild 7']);
  });

  test('a process that did not run blames nobody for that time', () => {
    const watch = new StallWatch(bounds);
    const still = () => ({ isBehind: true, progress: 7 });
    expect(watched(watch, 0, 2_000, still)).toEqual([]);
    expect(watched(watch, 60_000, 60_800, still)).toEqual([]);
    expect(watched(watch, 61_000, 62_000, still)).toEqual(['61000 stalled']);
  });
});
