import { describe, expect, it } from 'vitest';
import { type AwakeView, chooseToRest, roomForOneMore } from '../../../gateway/database/core/rest.ts';
import { branchName } from '../../../storage/redo/ids.ts';

const limits = { openBranches: 2, branchIdleMs: 60_000 };
const view = (name: string, lastUsedMs: number, change: Partial<AwakeView> = {}): AwakeView => ({
  name: branchName(name),
  uses: 0,
  mayRest: true,
  lastUsedMs,
  ...change,
});

describe('a branch', () => {
  it('rests once it has had nothing to do for branchIdleMs', () => {
    expect(chooseToRest([view('a', 0), view('b', 1)], limits, 60_000)).toEqual(['a']);
    expect(chooseToRest([view('a', 0), view('b', 1)], limits, 60_001)).toEqual(['a', 'b']);
  });

  it('never rests with an operation under way, or with something that would be lost (G52)', () => {
    const busy = [view('a', 0, { uses: 1 }), view('b', 0, { mayRest: false })];
    expect(chooseToRest(busy, limits, 1e9)).toEqual([]);
    expect(roomForOneMore(busy, limits)).toEqual({ kind: 'full' });
  });

  it('that has been idle longest makes room for another one', () => {
    expect(roomForOneMore([view('a', 5)], limits)).toEqual({ kind: 'room' });
    expect(roomForOneMore([view('a', 5), view('b', 4)], limits)).toEqual({ kind: 'instead', name: 'b' });
    const one = [view('a', 5), view('b', 4, { uses: 1 })];
    expect(roomForOneMore(one, limits)).toEqual({ kind: 'instead', name: 'a' });
  });
});
