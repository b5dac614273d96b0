import { describe, expect, test } from 'vitest';
import {
  defaultPolicy,
  type Policy,
  policyLimits,
  policyProblem,
} from '../../../regions/control/core/policy.ts';
import { regionId } from '../../../storage/redo/ids.ts';

const us = regionId('us-east-1');
const eu = regionId('eu-west-1');
const ap = regionId('ap-northeast-1');
const three = [us, eu, ap];
const problem = (change: Partial<Policy>, regions = three) =>
  policyProblem({ ...defaultPolicy, ...change }, regions);

describe('policy', () => {
  test('the default and everything within its limits can be kept', () => {
    expect(problem({}, [us])).toBeNull();
    expect(problem({ automatic: true, maxLossMs: 0, rpoMs: 0, prefer: [ap, eu] })).toBeNull();
    expect(problem({ maxLossMs: policyLimits.lossMsMax, rpoMs: policyLimits.rpoMsMax })).toBeNull();
    expect(problem({ rpoMs: 0 }, [us, eu])).toBeNull();
  });

  test.each<[string, Partial<Policy>, readonly string[]]>([
    ['a negative bound', { maxLossMs: -1 }, ['maxLossMs', '-1', '86400000', '--max-loss-ms none']],
    ['half a millisecond', { rpoMs: 0.5 }, ['rpoMs', '0.5', '3600000', '--rpo-ms off']],
    ['a bound beyond the limit', { rpoMs: 3_600_001 }, ['rpoMs', '3600001', '3600000', '--rpo-ms off']],
    ['an unknown region', { prefer: [regionId('mars')] }, ['prefer', 'mars', 'ap-northeast-1']],
    ['a region named twice', { prefer: [eu, eu] }, ['prefer', 'eu-west-1', 'once']],
  ])('%s is refused with the field, its limit and the way out', (_, change, words) => {
    for (const word of words) expect(problem(change)).toContain(word);
  });

  test('no failover is automatic with two regions, and the refusal says why and what to do', () => {
    for (const word of [
      'two regions',
      'never automatic without a witness',
      'third region',
      'sextant failover',
    ])
      expect(problem({ automatic: true }, [us, eu])).toContain(word);
  });

  test('a region that is alone cannot wait for another', () => {
    expect(problem({ rpoMs: 0 }, [us])).toContain('--rpo-ms off');
  });
});
