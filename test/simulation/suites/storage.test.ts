/** One region whose nodes and writers die, whose recoveries are given up, and whose disks rot. */
import { describe, expect, it } from 'vitest';
import { hastyRecoveries, rottingLogs } from '../deployment/scenarios.ts';
import { allWell, slow } from './running.ts';

const seedsTo = (count: number): readonly number[] => Array.from({ length: count }, (_, seed) => seed);

describe('a region', { retry: 0 }, () => {
  it(
    'sees recoveries that take too long tried again with their epoch, and given up once it may be forked',
    slow,
    async () => {
      const { retries, spent } = await allWell(hastyRecoveries, seedsTo(10));
      expect(retries).toBeGreaterThan(50);
      expect(spent).toBeGreaterThan(5);
    },
  );

  it('sees log files sealed, and what rots in them found and brought back', slow, async () => {
    const { sealed, rotFound, rotHealed } = await allWell(rottingLogs, [...seedsTo(6), 10]);
    expect(sealed).toBeGreaterThan(20);
    expect(rotFound).toBeGreaterThan(2);
    expect(rotHealed).toBeGreaterThan(2);
  });
});
