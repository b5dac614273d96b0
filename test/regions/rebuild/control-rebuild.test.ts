import { describe, expect, test } from 'vitest';
import {
  epochsSkipped,
  planRebuild,
  type RegionFinding,
} from '../../../regions/rebuild/core/control-rebuild.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const forks = [
  { epoch: epoch(1), branch: mainBranch, parent: epoch(0), forkLsn: lsn(0) },
  { epoch: epoch(2), branch: mainBranch, parent: epoch(1), forkLsn: lsn(500) },
];
const finding = (region: typeof us, reign: number, vdl: number, highestEpoch = reign): RegionFinding => ({
  region,
  held: { epoch: epoch(reign), vdl: lsn(vdl), forks: forks.slice(0, reign) },
  highestEpoch: epoch(highestEpoch),
});
const silent = (region: typeof us, highestEpoch = 0): RegionFinding => ({
  region,
  held: null,
  highestEpoch: epoch(highestEpoch),
});

describe('a lost control record', () => {
  const cases: readonly (readonly [
    string,
    readonly RegionFinding[],
    Partial<Parameters<typeof planRebuild>[0]>,
    { readonly primary: string; readonly epoch: number } | string,
  ])[] = [
    [
      'is made for the region that holds most',
      [finding(us, 1, 700), finding(eu, 2, 600), finding(ap, 2, 590)],
      {},
      { primary: eu, epoch: 2 + epochsSkipped },
    ],
    [
      'is made for the first of those that hold as much',
      [finding(ap, 2, 600), finding(us, 2, 600)],
      {},
      { primary: ap, epoch: 2 + epochsSkipped },
    ],
    [
      'is made for the one that is asked for, when it lacks nothing',
      [finding(us, 2, 600), finding(eu, 2, 600)],
      { primary: eu },
      { primary: eu, epoch: 2 + epochsSkipped },
    ],
    [
      'goes on above every epoch that any node has sealed for',
      [finding(us, 2, 600, 9), finding(eu, 2, 600, 7)],
      {},
      { primary: us, epoch: 9 + epochsSkipped },
    ],
    [
      'counts what a region that is left out had said',
      [finding(us, 2, 600), silent(eu, 12)],
      { without: [eu] },
      { primary: us, epoch: 12 + epochsSkipped },
    ],
    [
      'is not made for one that lacks redo',
      [finding(us, 1, 700), finding(eu, 2, 600)],
      { primary: us },
      'TARGET_BEHIND',
    ],
    ['is not made while a region is silent', [finding(us, 2, 600), silent(eu)], {}, 'REGION_SILENT'],
    [
      'is not made while a gateway may still write under it',
      [finding(us, 2, 600)],
      { lostForMs: 16_999 },
      'WAIT_FOR_LEASE',
    ],
    [
      'is not made without a branch that another region has',
      [finding(us, 2, 600), finding(eu, 2, 600)],
      { told: [{ region: eu, branch: 'dev' }] },
      'BRANCH_ELSEWHERE',
    ],
    [
      'is made without a branch of a region that is given up',
      [finding(us, 2, 600), silent(eu)],
      { told: [{ region: eu, branch: 'dev' }], without: [eu] },
      { primary: us, epoch: 2 + epochsSkipped },
    ],
    ['is not made where nothing was ever written', [finding(us, 0, 0)], {}, 'NOTHING_FOUND'],
    [
      'is not made for a region that says nothing',
      [finding(us, 2, 600), silent(eu)],
      { primary: eu, without: [eu] },
      'UNKNOWN_REGION',
    ],
  ];
  test.each(cases)('%s', (_name, findings, change, expected) => {
    const plan = planRebuild({
      findings,
      primary: null,
      without: [],
      lostForMs: 17_000,
      leaseMs: 17_000,
      ...change,
    });
    if (typeof expected === 'string') {
      expect(plan).toMatchObject({ kind: 'refused', code: expected });
      return;
    }
    expect(plan).toMatchObject({
      kind: 'plan',
      record: { ...expected, holder: null, state: 'stable', n: 0 },
    });
  });

  test('says how long to wait for the lease, and what it found', () => {
    const question = { findings: [finding(us, 2, 600)], primary: null, without: [], leaseMs: 17_000 };
    expect(planRebuild({ ...question, lostForMs: 5_000 })).toMatchObject({ waitMs: 12_000 });
    expect(planRebuild({ ...question, lostForMs: 17_000 })).toMatchObject({
      found: 'us-east-1 holds LSN 600 of epoch 2',
    });
  });
});
