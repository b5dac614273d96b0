import { describe, expect, test } from 'vitest';
import { quorumlessMs } from '../../../../regions/control/writer/core/quorum-sight.ts';
import { Bench, bench, eu, failingOverTo } from './writer-role-bench.ts';

describe('R43: a region that cannot make a write quorum', () => {
  const three = { kind: 'nodes', up: 3 } as const;
  const four = { kind: 'nodes', up: 4 } as const;

  for (const phase of ['recovering', 'writing'] as const) {
    test(`gives the lease back from ${phase} once that has lasted, and claims it again with four nodes`, () => {
      const at = bench(phase);
      at.step(three);
      at.nowMs += quorumlessMs - 1;
      at.step(three);
      at.settle();
      expect(at.effects.map(({ kind }) => kind)).not.toContain('close');
      at.nowMs += 1;
      at.step(three);
      expect(at.effects).toContainEqual({ kind: 'close', epoch: 1, reason: 'quorum-lost' });
      at.settle();
      expect(at.record.holder).toBeNull();
      at.show();
      expect(at.tick(60_000)).not.toContain('write');
      expect(at.step(four)).toContain('write');
    });
  }

  test('keeps it over a restart of a node that is sooner over', () => {
    const at = bench('writing');
    at.step(three);
    at.nowMs += quorumlessMs - 1;
    at.step(four);
    at.nowMs += 1;
    expect(at.step(three)).not.toContain('close');
  });

  test('does not take over, however long the move that names it waits', () => {
    const at = new Bench(failingOverTo(bench('writing').record), eu);
    at.step(three);
    expect(at.show()).toEqual([]);
    expect(at.step(four)).toEqual(['write']);
  });
});
