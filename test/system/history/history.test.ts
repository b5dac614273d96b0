/** The judge of histories objects to each thing that no correct deployment shows, and to nothing else. */
import { describe, expect, it } from 'vitest';
import { balanceAtStart, type Histories, judge, type Read, type Write } from './history.ts';

const list = 'main/0';
const journal = 'main/transfers';
const write = (id: number, more: Partial<Write> = {}): Write => ({
  id,
  history: list,
  gateway: 'a',
  client: 0,
  endedMs: id * 10,
  fate: 'acknowledged',
  ...more,
});
const read = (ids: readonly number[], more: Partial<Read> = {}): Read => ({
  history: list,
  gateway: 'a',
  client: 0,
  level: 'eventual',
  beganMs: 1_000,
  ids,
  ...more,
});
const transfer = (id: number, from: number, to: number, amount: number): Write =>
  write(id, { history: journal, transfer: { from, to, amount } });
const rest = [balanceAtStart, balanceAtStart, balanceAtStart, balanceAtStart];

const well: Histories = {
  writes: [
    write(1),
    write(2, { client: 1, gateway: 'b' }),
    write(3, { fate: 'unknown', endedMs: Number.POSITIVE_INFINITY }),
    write(4, { fate: 'failed' }),
    transfer(5, 0, 1, 7),
    transfer(6, 1, 0, 2),
  ],
  reads: [
    read([]),
    read([1], { level: 'session' }),
    read([1, 2, 3], { level: 'global', register: { version: 3, value: 3 } }),
    read([1], { level: 'bookmark' }),
    read([1, 2], { level: 'bookmark' }),
    read([], { level: 'global', beganMs: 5 }),
    read([5], { history: journal, balances: [balanceAtStart - 7, balanceAtStart + 7, ...rest] }),
    read([5, 6], { history: journal, balances: [balanceAtStart - 5, balanceAtStart + 5, ...rest] }),
  ],
  final: new Map([
    [list, [1, 2, 3]],
    [journal, [5, 6]],
  ]),
};

describe('histories of clients', () => {
  it('are well when every level keeps its promise', () => {
    expect(judge(well)).toEqual([]);
  });

  const broken: readonly (readonly [string, Partial<Histories>, RegExp])[] = [
    ['an acknowledged write is gone', { final: new Map([[list, [1, 3]]]) }, /write 2 was acknowledged/],
    [
      'a failed write is there',
      { writes: [...well.writes, write(3, { fate: 'failed' })] },
      /write 3 failed, and is/,
    ],
    ['a write is there twice', { final: new Map([...well.final, [list, [1, 2, 2]]]) }, /twice/],
    ['a read shows another order', { reads: [read([2, 1])] }, /what it never was/],
    [
      'a global read is behind',
      { reads: [read([1], { level: 'global' })] },
      /\(global\) did not see write 2/,
    ],
    [
      'a session is behind its gateway',
      { reads: [read([], { level: 'session' })] },
      /\(session\) did not see write 1/,
    ],
    [
      'a bookmark is not heeded',
      { reads: [read([], { level: 'bookmark' })] },
      /\(bookmark\) did not see write 1/,
    ],
    [
      'a client goes back',
      { reads: [read([1, 2], { level: 'bookmark' }), read([1], { level: 'bookmark' })] },
      /went back on main\/0/,
    ],
    ['half a write is shown', { reads: [read([1], { register: { version: 2, value: 1 } })] }, /half a write/],
    [
      'a register has two values for one version',
      {
        reads: [
          read([1], { register: { version: 1, value: 1 } }),
          read([2], { register: { version: 1, value: 2 } }),
        ],
      },
      /version 1 of the register main\/0 is 1 and 2/,
    ],
    [
      'half a transfer is shown',
      { reads: [read([5], { history: journal, balances: [balanceAtStart - 7, balanceAtStart, ...rest] })] },
      /read balances/,
    ],
  ];
  for (const [what, change, objection] of broken)
    it(`are broken when ${what}`, () => {
      expect(judge({ ...well, ...change })).toContainEqual(expect.stringMatching(objection));
    });
});
