import { describe, expect, test } from 'vitest';
import { chooseLoss, unansweredOf, whoIsMissing } from '../../../regions/moves/core/loss-answers.ts';
import type { LossReport } from '../../../regions/moves/core/loss-report.ts';

const answer = (region: string, epoch: number, lookedUnder: number) => ({ region, epoch, lookedUnder });
const loss = (orphanEpoch: number, epoch: number): LossReport => ({
  v: 1,
  epoch,
  orphanEpoch,
  region: 'us-east-1',
  fromLsn: 0,
  toLsn: 10,
  lostBytes: 10,
  count: 1,
  firstCommitTimeUs: null,
  lastCommitTimeUs: null,
  truncated: false,
  commits: [],
  foundAtMs: 0,
});

describe('regions that have not said yet what was lost', () => {
  const cases: readonly (readonly [
    string,
    readonly ReturnType<typeof answer>[],
    number,
    readonly string[],
  ])[] = [
    ['are none when all have looked under the newest epoch', [answer('us', 3, 3), answer('eu', 3, 3)], 3, []],
    ['are those that know it and have not looked', [answer('us', 3, 0), answer('eu', 3, 3)], 3, ['us']],
    [
      'are those that have an old record and are content',
      [answer('us', 1, 1), answer('eu', 3, 3)],
      1,
      ['us'],
    ],
    [
      'are all when only the one who asks knows of the epoch',
      [answer('us', 2, 2), answer('eu', 2, 2)],
      3,
      ['eu', 'us'],
    ],
    ['are none before anybody has written', [answer('us', 0, 0)], 0, []],
  ];
  test.each(cases)('%s', (_name, answers, epoch, expected) => {
    const unanswered = unansweredOf(answers, epoch);
    expect(unanswered.map(({ region }) => region)).toEqual(expected);
    for (const each of unanswered) expect(each.epoch).toBe(3);
  });

  test('are named with the epoch they have to follow, and so are those that are silent', () => {
    expect(whoIsMissing(['ap'], [{ region: 'us', epoch: 3 }])).toEqual([
      'us has not looked yet: it answers once it follows epoch 3, and may know of more then',
      'ap did not answer and may know of more',
    ]);
    expect(whoIsMissing([], [])).toEqual([]);
  });
});

describe('losses of an epoch', () => {
  const reports = [loss(1, 2), loss(3, 5), loss(4, 5)];
  test.each<[string, number, number | null, RegExp]>([
    ['are found by the reign that was lost', 3, 3, /^$/],
    ['are found by the reign under which they were', 2, 1, /^$/],
    ['are asked for again when that reign found several', 5, null, /ask for one of the epochs 3, 4/],
    ['name what there is', 9, null, /There are lost writes of epoch 1 \(found under epoch 2\), of epoch 3/],
  ])('%s', (_name, epoch, found, says) => {
    const choice = chooseLoss(reports, epoch);
    expect(choice.kind === 'found' ? choice.report.orphanEpoch : null).toBe(found);
    expect(choice.kind === 'none' ? choice.reason : '').toMatch(says);
  });

  test('are said to be unknown when there are none at all', () => {
    expect(chooseLoss([], 2)).toEqual({
      kind: 'none',
      reason: 'No lost writes are known, of epoch 2 or of any other',
    });
  });
});

test('R93: a region that has looked at main and not at a branch is asked again, by the name of the branch', () => {
  const answers = [
    { ...answer('us', 3, 3), branchesToLook: ['dev'] },
    { ...answer('eu', 3, 0), branchesToLook: ['dev', 'stage'] },
    { ...answer('ap', 3, 3), branchesToLook: [] },
  ];
  const unanswered = unansweredOf(answers, 3);
  expect(unanswered).toEqual([
    { region: 'eu', epoch: 3 },
    { region: 'us', epoch: 3, branches: ['dev'] },
  ]);
  expect(whoIsMissing([], unanswered)).toEqual([
    'eu has not looked yet: it answers once it follows epoch 3, and may know of more then',
    'us has not looked yet at what it holds of branch dev: it answers once it follows the newest reign of each, and may know of more then',
  ]);
});
