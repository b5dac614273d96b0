import { expect, test } from 'vitest';
import {
  branchFloor,
  parentAt,
  placeProblem,
  type Source,
  sourceOfMain,
  wishOf,
} from '../../../regions/branches/core/branch-place.ts';
import {
  branchCreateSchema,
  branchStatus,
  postgresBase,
  withUrls,
} from '../../../regions/branches/core/branch-request.ts';
import { sightsOf } from '../../../regions/branches/core/branch-sight.ts';
import type { Branch } from '../../../regions/control/core/branch-list.ts';
import { initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { branchStatuses, mainStatus } from '../../../regions/status/core/branch-status.ts';
import type { RegionReport } from '../../../regions/status/core/report.ts';
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import { branchName, epoch, lsn, mainBranch, nodeId, regionId } from '../../../storage/redo/ids.ts';

test.each([
  ['from where five of six nodes can tell pages', [10, 20, 30, 40, 50, 60], 50],
  ['from where all can that answered, where fewer than five did', [30, 10, 20], 30],
  ['anywhere, where nobody has let anything go', [0, 0, 0, 0, 0, 9], 0],
  ['anywhere, while nobody has answered', [], 0],
])('a branch may leave %s', (_, floors, from) => expect(branchFloor(floors)).toBe(from));

const dev = branchName('dev');
const fork = (head: number, parent: number, at: number) => ({
  epoch: epoch(head),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
const source: Source = {
  head: epoch(4),
  forks: [fork(1, 0, 0), fork(2, 1, 500), fork(4, 2, 500)],
  vdl: lsn(900),
  floor: lsn(200),
};

test.each<[number, number]>([
  [0, 0],
  [1, 1],
  [500, 1],
  [501, 4],
  [900, 4],
])('a branch at %i has as its parent the epoch whose record is the last one there', (at, parent) => {
  expect(parentAt(lsn(at), dev, source)).toBe(parent);
});

test('a branch does not leave an epoch of its own name, which is that of one that was deleted, but the next above', () => {
  const forks = [
    fork(1, 0, 0),
    { ...fork(2, 1, 300), branch: dev },
    { ...fork(3, 2, 500), branch: dev },
    { ...fork(4, 3, 600), branch: branchName('qa') },
  ];
  const held: Source = { head: epoch(4), forks, vdl: lsn(900), floor: lsn(0) };
  const parents = [300, 301, 500, 600, 601].map((at) => parentAt(lsn(at), dev, held));
  expect(parents).toEqual([1, 4, 4, 4, 4]);
  expect(parentAt(lsn(600), branchName('other'), held)).toBe(3);
  const tree = new EpochTree([...forks, { ...fork(5, 4, 400), branch: dev }]);
  expect(tree.originOf(epoch(5))).toBe(5);
  expect(tree.path(epoch(5)).map(({ epoch: step, until }) => [step, until])).toEqual([
    [1, 300],
    [2, 400],
    [5, endOfTime],
  ]);
});

test.each<[number, string | null]>([
  [900, null],
  [901, 'BEYOND_DURABLE'],
  [200, null],
  [199, 'BELOW_FLOOR'],
])('a branch at %i is refused beyond what is durable and below the floor, with both named', (at, code) => {
  expect(placeProblem(lsn(at), 'main', source)?.code ?? null).toBe(code);
});

test('a place is an LSN or a time with its zone, and not one of a path that was left', () => {
  expect(wishOf('4711')).toEqual({ kind: 'lsn', lsn: 4711 });
  expect(wishOf(4711)).toEqual({ kind: 'lsn', lsn: 4711 });
  expect(wishOf('2026-11-29T12:00:00Z')).toMatchObject({ kind: 'time' });
  for (const at of ['yesterday', '2026-11-29T12:00:00', '7:4711', '-1', 1.5])
    expect(wishOf(at)).toMatchObject({ kind: 'refused', code: 'BAD_REQUEST' });
});

test.each<[string, boolean]>([
  ['dev', true],
  ['a', true],
  ['pr-1234', true],
  ['a'.repeat(63), true],
  ['a'.repeat(64), false],
  ['-dev', false],
  ['dev-', false],
  ['Dev', false],
  ['my_dev', false],
  ['a.b', false],
  ['', false],
])('the name %j is a label of a host name or refused', (name, isGood) => {
  expect(branchCreateSchema.safeParse({ name }).success).toBe(isGood);
});

const branch: Branch = {
  name: dev,
  epoch: epoch(7),
  origin: epoch(5),
  parent: epoch(4),
  forkLsn: lsn(600),
  createdAtMs: 1,
  by: { gateway: 'g1', incarnation: 'a' },
};

test('where main stands is a place to leave only once the path to it is known', () => {
  const forks = [fork(1, 0, 0)];
  const held = { epoch: epoch(1), vdl: lsn(70) };
  expect(sourceOfMain(null, lsn(5))).toBeNull();
  expect(sourceOfMain({ ...held, forks: [] }, lsn(5))).toBeNull();
  expect(sourceOfMain({ ...held, forks }, lsn(5))).toEqual({ head: 1, forks, vdl: 70, floor: 5 });
  expect(sourceOfMain({ epoch: epoch(0), vdl: lsn(0), forks: [] }, lsn(0))).toMatchObject({ head: 0 });
});

test('a branch is seen by its newest epoch on any node, and not under the name of one that was deleted', () => {
  const told = new Map([
    [nodeId('n1'), [{ branch: dev, head: epoch(7), vdl: lsn(650) }]],
    [nodeId('n2'), [{ branch: dev, head: epoch(7), vdl: lsn(700) }]],
    [nodeId('n3'), [{ branch: dev, head: epoch(5), vdl: lsn(990) }]],
    [nodeId('n4'), [{ branch: dev, head: epoch(3), vdl: lsn(999) }]],
    [nodeId('n5'), []],
  ]);
  expect(sightsOf([branch], told)).toEqual([
    { name: dev, origin: 5, head: 7, vdl: 700, nodes: ['n1', 'n2', 'n3'] },
  ]);
  expect(sightsOf([branch], new Map())).toEqual([]);
});

test('the status of a branch is what regions say of it, and its lag what the primary says', () => {
  const record = {
    ...initialControlRecord(regionId('us')),
    epoch: epoch(4),
    allotted: epoch(7),
    branches: [branch],
  };
  const report = (region: string, at: number, lag: object[] = []) =>
    ({ region, branches: [{ name: 'dev', epoch: 7, vdl: at, lag }] }) as unknown as RegionReport;
  const old = {
    region: 'sa',
    branches: [{ name: 'dev', epoch: 3, vdl: 9, lag: [] }],
  } as unknown as RegionReport;
  const silent = { region: 'ap' } as RegionReport;
  const reports = [
    report('us', 700, [{ region: 'eu', lagBytes: 50, lagMs: 12 }]),
    report('eu', 650),
    old,
    silent,
  ];
  expect(branchStatuses(record, reports)).toEqual([
    {
      name: 'dev',
      epoch: 7,
      lsn: 700,
      parent: 4,
      forkLsn: 600,
      createdAtMs: 1,
      regions: [
        { region: 'us', epoch: 7, lsn: 700, lagBytes: 0, lagMs: 0 },
        { region: 'eu', epoch: 7, lsn: 650, lagBytes: 50, lagMs: 12 },
      ],
    },
  ]);
  expect(branchStatuses(record, [report('eu', 650)])).toMatchObject([
    { lsn: null, regions: [{ region: 'eu', lagBytes: null, lagMs: null }] },
  ]);
  expect(branchStatuses(null, reports)).toEqual([]);
});

test('every branch has an address for stock clients, and main that of the gateway', () => {
  const main = mainStatus(null, []);
  const named = { ...main, name: 'dev' };
  const urls = (base: string | null) => withUrls([main, named], base).branches.map(({ url }) => url);
  expect(urls('http://g:1')).toEqual(['http://g:1', 'http://g:1/branch/dev/']);
  expect(urls(postgresBase('g:5432'))).toEqual(['postgres://g:5432/main', 'postgres://g:5432/dev']);
  expect(urls(null)).toEqual([null, null]);
  expect(['BAD_REQUEST', 'NO_BRANCH', 'NO_CONTROL_RECORD', 'BRANCH_EXISTS'].map(branchStatus)).toEqual([
    400, 404, 503, 409,
  ]);
});
