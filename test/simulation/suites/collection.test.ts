/** Logs are collected while nodes and regions are away: what they lack comes to them in images, and nothing that is needed goes. */
import { describe, expect, it } from 'vitest';
import { collectedLogs, forksBelowFloors, regionsAway, regionsBehind } from '../deployment/scenarios.ts';
import { allWell, objectors, slow } from './running.ts';

describe('with logs that are collected', { retry: 0 }, () => {
  it('a node that is wiped, or away for long, is refilled from images (S19 to S26)', slow, async () => {
    const { dropped, refilled } = await allWell(collectedLogs, [0, 1, 2, 3]);
    expect(dropped).toBeGreaterThan(200);
    expect(refilled).toBeGreaterThan(8);
  });

  it('a region that is away for long, or comes back, is filled from images (R60 to R64)', slow, async () => {
    const { dropped, refilled, fillings } = await allWell(regionsAway, [0, 1]);
    expect(dropped).toBeGreaterThan(400);
    expect(refilled).toBeGreaterThan(8);
    expect(fillings).toBeGreaterThan(0);
  });

  it(
    'a region comes back whose nodes all have floors above the fork that left them (S18, R85)',
    slow,
    async () => {
      const { fillings } = await allWell(forksBelowFloors, [16]);
      expect(fillings).toBeGreaterThan(0);
    },
  );
});

describe('the judges object when', { retry: 0 }, () => {
  // It tells no page that it has no image of (S26), and four others have images (S19): what is left is that it asks nobody for what
  // it lacks. Its disk says so, whatever it counts.
  it(
    'a node counts what its peers have in images only as its own, and is refilled by nobody',
    slow,
    async () => {
      const planted = {
        defects: ['counts-without-floor'],
        scenario: collectedLogs,
        seeds: 6,
        first: 2,
        verdict: 'liveness',
      } as const;
      expect(await objectors(planted)).toContain('progress');
    },
  );

  it('log is collected above the low-water mark', slow, async () => {
    const planted = {
      defects: ['collects-readable'],
      scenario: collectedLogs,
      seeds: 60,
      first: 29,
    } as const;
    expect(await objectors(planted)).toContain('retention');
  });

  it('log is dropped before four nodes have images', slow, async () => {
    const planted = { defects: ['drops-before-four'], scenario: collectedLogs, seeds: 6 } as const;
    expect(await objectors(planted)).toContain('retention');
  });

  it('log is collected that a secondary lacks', slow, async () => {
    const planted = { defects: ['collects-needed'], scenario: regionsBehind, seeds: 3 } as const;
    expect(await objectors(planted)).toContain('retention');
  });
});
