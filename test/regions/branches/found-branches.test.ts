import { expect, test } from 'vitest';
import { foundBranches } from '../../../regions/branches/core/found-branches.ts';
import { checkControlRecord, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { branchName, epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const [dev, own, gone] = [branchName('dev'), branchName('own'), branchName('gone')];
const fork = (head: number, branch: typeof dev, parent: number, at: number) => ({
  epoch: epoch(head),
  branch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
const forks = [
  fork(1, mainBranch, 0, 0),
  fork(2, dev, 1, 100),
  fork(3, dev, 2, 100),
  fork(4, own, 3, 150),
  fork(5, gone, 1, 120),
  fork(6, gone, 5, 120),
  fork(9, dev, 3, 200),
];

test('branches are found with where they left and their newest epoch, those that were deleted left out', () => {
  const nodes = [
    { live: [{ branch: dev }], forks: forks.slice(0, 3) },
    { live: [{ branch: own }, { branch: dev }], forks },
    { live: [], forks: [] },
  ];
  const { branches, highestEpoch } = foundBranches(nodes, 7);
  expect(branches).toEqual([
    {
      name: dev,
      epoch: 9,
      origin: 2,
      parent: 1,
      forkLsn: 100,
      createdAtMs: 7,
      by: expect.objectContaining({ gateway: 'unknown' }),
    },
    { name: own, epoch: 4, origin: 4, parent: 3, forkLsn: 150, createdAtMs: 7, by: null },
  ]);
  expect(highestEpoch).toBe(9);
  expect(() => checkControlRecord(initialControlRecord(regionId('us'), epoch(25), branches))).not.toThrow();
});

test('a name that was used again means the branch that began last', () => {
  const again = [...forks, fork(10, gone, 1, 300), fork(11, gone, 10, 300)];
  const { branches } = foundBranches([{ live: [{ branch: gone }], forks: again }], 7);
  expect(branches).toMatchObject([{ name: gone, epoch: 11, origin: 10, parent: 1, forkLsn: 300 }]);
});

test('where there are none the record names none', () => {
  const { branches } = foundBranches([{ live: [], forks }], 7);
  expect(branches).toEqual([]);
  expect(initialControlRecord(regionId('us'), epoch(25), branches)).not.toHaveProperty('branches');
});
