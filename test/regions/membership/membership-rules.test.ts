import { describe, expect, test } from 'vitest';
import {
  acquire,
  initialControlRecord,
  setPolicy,
  setRegions,
} from '../../../regions/control/core/control-record.ts';
import { regionsAfter, regionsMax } from '../../../regions/membership/core/membership-rules.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const us = regionId('us-east-1');
const eu = regionId('eu-west-1');
const ap = regionId('ap-northeast-1');

const record = next(
  acquire(initialControlRecord(us), {
    region: us,
    holder: { gateway: 'g1', incarnation: 'a' },
    lapsed: false,
  }),
);

describe('regions come and go', () => {
  test('a new region stands last, and the order of the others stays', () => {
    expect(regionsAfter(record, [us, eu], { add: ap })).toEqual({ kind: 'regions', regions: [us, eu, ap] });
    const named = next(setRegions(record, [us, eu, ap]));
    expect(regionsAfter(named, [us], { remove: eu })).toEqual({ kind: 'regions', regions: [us, ap] });
  });

  test('what the record names counts, and not the file of whoever is asked', () => {
    const named = next(setRegions(record, [us, ap]));
    expect(regionsAfter(named, [us, eu], { remove: eu })).toMatchObject({ code: 'UNKNOWN_REGION' });
    expect(regionsAfter(named, [us, eu], { add: eu })).toEqual({ kind: 'regions', regions: [us, ap, eu] });
  });

  test('a region that is there already is taken in again without harm', () => {
    expect(regionsAfter(record, [us, eu], { add: eu })).toEqual({ kind: 'regions', regions: [us, eu] });
  });

  test('six regions are the most there may be, and the refusal says so', () => {
    const many = Array.from({ length: regionsMax }, (_, index) => regionId(index === 0 ? us : `r-${index}`));
    expect(regionsAfter(record, many, { add: 'one-more' })).toMatchObject({
      code: 'TOO_MANY_REGIONS',
      reason: expect.stringContaining('ships to 5 others at most'),
    });
  });

  test.each(['', 'EU West', '-x', 'a/b', 'x'.repeat(64)])('%j is no name of a region', (name) => {
    expect(regionsAfter(record, [us, eu], { add: name })).toMatchObject({ code: 'BAD_REQUEST' });
  });

  test('the primary stays, and the refusal names the way', () => {
    expect(regionsAfter(record, [us, eu], { remove: us })).toMatchObject({
      code: 'IS_PRIMARY',
      reason: expect.stringContaining('switchover --to eu-west-1'),
    });
    expect(regionsAfter(record, [us], { remove: us })).toMatchObject({
      reason: expect.stringContaining('the only one'),
    });
  });

  test('a region goes only when the policy can be kept without it', () => {
    const automatic = next(setPolicy(record, { automatic: true }));
    expect(regionsAfter(automatic, [us, eu, ap], { remove: ap })).toMatchObject({
      code: 'POLICY_IN_THE_WAY',
    });
    const held = next(setPolicy(record, { rpoMs: 0 }));
    expect(regionsAfter(held, [us, eu], { remove: eu })).toMatchObject({ code: 'POLICY_IN_THE_WAY' });
    expect(regionsAfter(held, [us, eu, ap], { remove: eu }).kind).toBe('regions');
    const preferred = next(setPolicy(record, { prefer: [eu] }));
    expect(regionsAfter(preferred, [us, eu, ap], { remove: eu })).toMatchObject({
      code: 'POLICY_IN_THE_WAY',
    });
  });
});
