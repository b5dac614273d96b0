/** Regions that are lost, left, cut off and taken in again. */
import { describe, expect, it } from 'vitest';
import { comingAndGoing, doubtedWriters, isolation, isolationUnderRpo } from '../deployment/scenarios.ts';
import { allWell, slow } from './running.ts';

describe('a deployment of regions', { retry: 0 }, () => {
  it('keeps every promise while regions leave and come back under faults (R54, R55)', slow, async () => {
    const { departures, arrivals, switchovers } = await allWell(comingAndGoing, [0, 1, 2]);
    expect(departures).toBeGreaterThan(5);
    expect(arrivals).toBeGreaterThan(5);
    expect(switchovers).toBeGreaterThan(2);
  });

  it(
    'sees writers that live taken over from within their region, and no promise broken (R78)',
    slow,
    async () => {
      const { fences } = await allWell(doubtedWriters, [3, 12, 14, 19, 27, 31]);
      expect(fences).toBeGreaterThan(10);
    },
  );

  it('sees leases taken, regions left and writes reported lost', slow, async () => {
    const { forks, failovers, orphans } = await allWell(isolation, [2, 5, 6]);
    expect(forks).toBeGreaterThan(3);
    expect(failovers).toBeGreaterThan(0);
    expect(orphans).toBeGreaterThan(0);
  });

  it(
    'loses no answered write under an RPO of 0, although regions are cut off and failed away from',
    slow,
    async () => {
      const { failovers, heldToRpo } = await allWell(isolationUnderRpo, [2, 5, 6]);
      expect(failovers).toBeGreaterThan(0);
      expect(heldToRpo).toBeGreaterThan(20);
    },
  );
});
