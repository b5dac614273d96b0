/** Lines between regions that take seconds for a window of redo. */
import { describe, expect, it } from 'vitest';
import { narrowLines } from '../deployment/scenarios.ts';
import { allWell, objectors, slow } from './running.ts';

describe('over narrow lines', { retry: 0 }, () => {
  it(
    'the fate of every forwarded write is known, and large transactions arrive all the same (R98)',
    slow,
    async () => {
      const { unknown, acked, pages } = await allWell(narrowLines, [0, 1, 2]);
      expect(unknown).toBe(0);
      expect(acked).toBeGreaterThan(100);
      expect(pages).toBeGreaterThan(2_000);
    },
  );

  it('the judges object when a lane fills the line, however long redo waits for it', slow, async () => {
    const planted = {
      defects: ['fills-the-line'],
      scenario: narrowLines,
      seeds: 3,
      verdict: 'liveness',
    } as const;
    expect(await objectors(planted)).toContain('convergence');
  });
});
