/** Runs of every profile keep every promise, and a seed is one run. */
import { describe, expect, it } from 'vitest';
import { simulate } from '../deployment/deployment.ts';
import { brokenSwitchovers, type Scenario } from '../deployment/scenarios.ts';
import { type ProfileName, profilesInTurn } from '../options.ts';
import { objections, slow } from './running.ts';

describe('a deployment', { retry: 0 }, () => {
  for (const profile of profilesInTurn) {
    it(`keeps every promise under ${profile}`, slow, async () => {
      for (const seed of [101, 102, 103]) {
        const result = await simulate(seed, profile);
        expect([seed, objections(result)]).toEqual([seed, []]);
        expect(result.stats).toMatchObject({ acked: expect.any(Number) });
        expect(result.stats.acked).toBeGreaterThan(0);
      }
    });
  }

  for (const profile of profilesInTurn) {
    it(`is the same run for the same seed under ${profile}, and another for another`, slow, async () => {
      const first = await simulate(7, profile);
      expect((await simulate(7, profile)).hash).toBe(first.hash);
      expect((await simulate(8, profile)).hash).not.toBe(first.hash);
    });
  }
});

/** Each was found by the simulator; the name says what went wrong. */
describe('what once went wrong', { retry: 0 }, () => {
  const cases: readonly {
    readonly what: string;
    readonly seed: number;
    readonly profile: ProfileName;
    readonly adjust?: Scenario;
  }[] = [
    {
      what: 'the judge of the RPO took a reign for another region’s that had forked, and never known it',
      seed: 5063,
      profile: 'region-loss',
    },
    { what: 'the judge of the RPO did not know that clocks run slow', seed: 5794, profile: 'swarm' },
    {
      what: 'a branch that was made as the clients stopped was wanted to have been written',
      seed: 300_018,
      profile: 'swarm',
    },
    {
      what: 'a snapshot was taken for young that a region heard of late, since all of it had stood still',
      seed: 310_012,
      profile: 'six-regions',
    },
    {
      what: 'a switchover whose target died with the agent that ran it was never given up, and nobody could write again',
      seed: 10,
      profile: 'swarm',
      adjust: brokenSwitchovers,
    },
  ];
  for (const { what, seed, profile, adjust } of cases) {
    it(what, slow, async () => {
      expect(objections(await simulate(seed, profile, { adjust }))).toEqual([]);
    });
  }
});
