import { expect, test } from 'vitest';
import { branchesToLook } from '../../../regions/moves/core/branches-to-look.ts';
import { branchName, epoch } from '../../../storage/redo/ids.ts';

const dev = { name: branchName('dev'), origin: epoch(5) };
const sight = (head: number) => [{ ...dev, head: epoch(head) }];
const told = (head: number) => [{ name: 'dev', epoch: head }];

test.each<
  [string, ReturnType<typeof sight> | null, number | null, ReturnType<typeof told>, readonly string[]]
>([
  ['nobody has asked the nodes', null, null, [], ['dev']],
  ['the nodes do not have it', [], null, told(7), []],
  ['it has not been looked at', sight(7), null, told(7), ['dev']],
  ['it has been looked at under its newest reign', sight(7), 7, told(7), []],
  ['the primary has a newer reign than these nodes', sight(7), 7, told(9), ['dev']],
  ['the nodes have a newer reign than was looked under', sight(9), 7, told(7), ['dev']],
  ['the primary has yet to hear of the reign here', sight(7), 7, told(5), []],
  ['the primary is not heard', sight(7), 7, [], []],
  ['the primary tells of one of the same name that was deleted', sight(5), 5, told(3), []],
])('R93: whether a branch has yet to be looked at: %s', (_, sights, looked, ofPrimary, expected) => {
  const lookedUnder = () => (looked === null ? null : epoch(looked));
  expect(branchesToLook({ branches: [dev], sights, lookedUnder, ofPrimary })).toEqual(expected);
});
