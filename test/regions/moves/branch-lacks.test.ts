import { expect, test } from 'vitest';
import { branchLacks, lacksText } from '../../../regions/moves/core/branch-lacks.ts';
import { branchName, epoch, lsn } from '../../../storage/redo/ids.ts';

const dev = { name: branchName('dev'), origin: epoch(5), forkLsn: lsn(100) };
const at = (head: number, vdl: number) => [{ name: 'dev', epoch: head, vdl }];
const lack = (of: number | null, lastHeardLsn: number, atRiskBytes: number) => [
  { name: 'dev', lsn: of, lastHeardLsn, atRiskBytes },
];

test.each<[string, ReturnType<typeof at>, ReturnType<typeof at>, ReturnType<typeof lack>]>([
  ['more of the same reign', at(7, 300), at(7, 450), lack(300, 450, 150)],
  ['a reign that this region never heard of', at(5, 100), at(7, 450), lack(100, 450, 350)],
  ['a reign in which nothing was written', at(5, 100), at(7, 100), []],
  ['all of a branch that is not here', [], at(7, 450), lack(null, 450, 350)],
  ['a branch that is not here and was never written', [], at(5, 100), []],
  ['no more', at(7, 450), at(7, 450), []],
  ['an older reign', at(8, 300), at(7, 450), []],
  ['one of that name that was deleted', at(5, 100), at(4, 900), []],
  ['nothing that was heard', at(7, 450), [], []],
])('another region has %s', (_, mine, theirs, expected) => {
  expect(branchLacks([dev], mine, theirs)).toEqual(expected);
});

test('branches that the record does not name are passed over, and each is told with its bytes', () => {
  const theirs = [...at(7, 450), { name: 'gone', epoch: 9, vdl: 900 }];
  const found = branchLacks([dev, { ...dev, name: branchName('stage') }], at(7, 400), theirs);
  expect(lacksText(found, (bytes) => `${bytes} B`)).toBe('50 B of branch dev');
  const more = branchLacks([dev], at(5, 100), at(7, 101));
  expect(lacksText([...found, ...more], String)).toBe('50 of branch dev, 1 of branch dev');
});
