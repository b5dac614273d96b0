import { describe, expect, it } from 'vitest';
import { pauseOf } from '../../../regions/agent/agent-metrics.ts';
import type { KeptOperation } from '../../../regions/moves/core/operation-log.ts';
import type { Operation } from '../../../regions/moves/core/operations.ts';
import { EndedMoves } from '../../../regions/moves/ended-moves.ts';

const running: Operation = {
  id: 'eu-west-1.1',
  kind: 'switchover',
  target: 'eu-west-1',
  from: 'us-east-1',
  state: 'running',
  phases: [],
};
const done: Operation = { ...running, state: 'done', result: { epoch: 2, pauseMs: 80 } };
const kept = (...operations: readonly Operation[]): readonly KeptOperation[] =>
  operations.map((operation) => ({ operation, wish: null }));

function watched(before: readonly KeptOperation[] = []) {
  const stored: (readonly KeptOperation[])[] = [];
  const ended: Operation[] = [];
  const moves = new EndedMoves({ kept: before, keep: (operations) => void stored.push(operations) });
  moves.watch((operation) => ended.push(operation));
  return { moves, stored, ended };
}

describe('moves that end', () => {
  it('are told once, and kept as before', () => {
    const { moves, stored, ended } = watched();
    moves.keep(kept(running));
    expect(ended).toEqual([]);
    moves.keep(kept(done));
    moves.keep(kept(done));
    expect(ended).toEqual([done]);
    expect(stored).toHaveLength(3);
  });

  it('are told of one that ran when the agent before this one died', () => {
    const { moves, ended } = watched(kept(running));
    moves.keep(kept({ ...running, state: 'failed' }));
    expect(ended.map(({ state }) => state)).toEqual(['failed']);
  });

  it('are not told again of those that had ended before', () => {
    const { moves, ended } = watched(kept(done));
    moves.keep(kept(done));
    expect(ended).toEqual([]);
  });

  it.each([
    ['a switchover', { epoch: 2, pauseMs: 80 }, 80],
    ['a failover, from the last write', { epoch: 2, rtoMs: 113, rtoFromLastWriteMs: 100_000 }, 100_000],
    ['a failover whose last write nobody knows', { epoch: 2, rtoMs: 113 }, 113],
    ['a move that failed', undefined, null],
  ])('paused writes for as long as clients waited: %s', (_name, result, pauseMs) => {
    const { result: _, ...without } = done;
    expect(pauseOf(result === undefined ? without : { ...done, result })).toBe(pauseMs);
  });
});
