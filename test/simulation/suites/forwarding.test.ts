/** Writes that are forwarded run at most once, whatever becomes of the messages between gateways (G30, G31). */
import { describe, expect, it } from 'vitest';
import { brokenForwards } from '../deployment/scenarios.ts';
import { allWell, objectors, slow } from './running.ts';

describe('writes for a writer elsewhere', { retry: 0 }, () => {
  it(
    'are there once when acknowledged, and not at all when refused, while NATS breaks all the time',
    slow,
    async () => {
      const { forwards, askedAgain } = await allWell(brokenForwards, [0, 1, 2, 3]);
      expect(forwards).toBeGreaterThan(100);
      expect(askedAgain).toBeGreaterThan(20);
    },
  );
});

describe('the judges object when', { retry: 0 }, () => {
  it('a writer does not know a forwarded call again that it has run', slow, async () => {
    const planted = { defects: ['forgets-calls'], scenario: brokenForwards, seeds: 10 } as const;
    expect(await objectors(planted)).toContain('durability');
  });
});
