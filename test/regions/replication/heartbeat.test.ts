import { describe, expect, test } from 'vitest';
import { heartbeatLimits, heartbeatsOf, type LagSight } from '../../../regions/replication/core/heartbeat.ts';
import { epoch, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const { silentMs, aloneMs } = heartbeatLimits;
const lag = { lagBytes: 10, lagCommits: 2, stalledMs: 0 };

/** The primary as it sees itself. */
const primary: LagSight = {
  region: us,
  reign: { primary: us, epoch: epoch(3), ageMs: 0 },
  heardMsAgo: 100,
  heardEpoch: 3,
  toldMsAgo: 60_000,
  isFollowedElsewhere: true,
  lags: [
    { ...lag, region: eu, lagMs: 40 },
    { ...lag, region: ap, lagMs: 0, lagBytes: 0, lagCommits: 0 },
  ],
  ageMs: null,
};
/** A secondary whose primary tells its lag. */
const secondary: LagSight = {
  region: eu,
  reign: { primary: us, epoch: epoch(3), ageMs: 0 },
  heardMsAgo: 100,
  heardEpoch: 3,
  toldMsAgo: 200,
  isFollowedElsewhere: true,
  lags: null,
  ageMs: 180,
};
const alone: LagSight = { ...secondary, toldMsAgo: silentMs, isFollowedElsewhere: false, ageMs: 5_180 };

const pairs = (sight: LagSight): readonly string[] =>
  heartbeatsOf(sight).map(({ source, target, lagMs }) => `${source}→${target} ${lagMs}`);

describe('who tells how far a region lags (R41)', () => {
  const both = ['us-east-1→eu-west-1 40', 'us-east-1→ap-northeast-1 0'];
  const own = ['us-east-1→eu-west-1 5180'];
  const cases: readonly (readonly [string, LagSight, readonly string[]])[] = [
    ['the agent that ships tells every pair', primary, both],
    [
      'also when no other agent is heard, as long as it sees the record',
      { ...primary, heardMsAgo: 60_000 },
      both,
    ],
    [
      'also while the record cannot be read, as long as it hears another agent',
      { ...primary, reign: { primary: us, epoch: epoch(3), ageMs: 60_000 } },
      both,
    ],
    [
      'and not once it sees neither: others may reign by then',
      { ...primary, reign: { primary: us, epoch: epoch(3), ageMs: silentMs }, heardMsAgo: silentMs },
      [],
    ],
    [
      'nor when the record names another primary, though it ships still',
      { ...primary, reign: { primary: eu, epoch: epoch(4), ageMs: 0 }, toldMsAgo: 0 },
      [],
    ],
    [
      'a lag that is unknown is not told',
      { ...primary, lags: [{ ...lag, region: eu, lagMs: null }, ...(primary.lags ?? []).slice(1)] },
      ['us-east-1→ap-northeast-1 0'],
    ],
    ['a primary that does not ship yet has nothing to tell', { ...primary, lags: null }, []],
    ['nobody tells before a record was seen', { ...primary, reign: null }, []],
    ['a secondary says nothing while its primary tells', secondary, []],
    ['and its own age once nobody does', alone, own],
    [
      'though not while another region receives from the primary, which therefore lives',
      { ...alone, isFollowedElsewhere: true },
      [],
    ],
    ['nor while it knows nothing of its age', { ...alone, ageMs: null }, []],
    [
      'nor when it is cut off itself',
      { ...alone, reign: { primary: us, epoch: epoch(3), ageMs: silentMs }, heardMsAgo: silentMs },
      [],
    ],
    [
      'who hears nobody waits, since it may be cut off and not know yet',
      { ...alone, heardMsAgo: silentMs },
      [],
    ],
    [
      'and is believed once it can read the record all that time, as with two regions',
      { ...alone, toldMsAgo: aloneMs, heardMsAgo: aloneMs },
      own,
    ],
    ['a primary that hears of a newer reign has been deposed', { ...primary, heardEpoch: 4 }, []],
    ['nor does a secondary speak for a reign that is over', { ...alone, heardEpoch: 4 }, []],
  ];
  for (const [name, sight, expected] of cases)
    test(name, () => {
      expect(pairs(sight)).toEqual(expected);
    });
});

test('a heartbeat is an error while its target stands still, and when it is the word of the target itself', () => {
  const stalled = heartbeatsOf({
    ...primary,
    lags: [{ ...lag, region: eu, lagMs: 12_000, stalledMs: 11_800 }],
  });
  expect(stalled).toEqual([
    {
      source: us,
      target: eu,
      epoch: 3,
      lagMs: 12_000,
      lagBytes: 10,
      lagCommits: 2,
      trouble: {
        code: 'STALLED',
        message: 'has stored nothing for 12 s and lacks redo that is durable in the primary',
      },
    },
  ]);
  expect(heartbeatsOf(primary).map(({ trouble }) => trouble)).toEqual([null, null]);
  expect(heartbeatsOf(alone)).toMatchObject([
    { lagBytes: null, lagCommits: null, trouble: { code: 'PRIMARY_SILENT' } },
  ]);
});
