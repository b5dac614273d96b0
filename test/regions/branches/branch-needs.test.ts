import { describe, expect, test } from 'vitest';
import { type NeedsQuestion, needsOf } from '../../../regions/branches/core/branch-needs.ts';
import type { BranchSight } from '../../../regions/branches/core/branch-sight.ts';
import type { Branch } from '../../../regions/control/core/branch-list.ts';
import { branchName, epoch, lsn, nodeId } from '../../../storage/redo/ids.ts';

const branch = (name: string, origin: number): Branch => ({
  name: branchName(name),
  epoch: epoch(origin),
  origin: epoch(origin),
  parent: epoch(1),
  forkLsn: lsn(100 * origin),
  createdAtMs: 0,
  by: null,
});
const [dev, other] = [branch('dev', 2), branch('other', 5)];
const sight = ({ name, origin }: Branch, head: number = origin): BranchSight => ({
  name,
  origin,
  head: epoch(head),
  vdl: lsn(0),
  nodes: [nodeId('n1')],
});
const needs = (question: Partial<NeedsQuestion>) =>
  needsOf({
    branches: [dev, other],
    allotted: epoch(9),
    sights: [],
    pathTo: () => undefined,
    cannotBegin: () => false,
    ...question,
  });

describe('R73: what the branches of the record need', () => {
  test('all that were seen are told, and every other that was allotted is known to be gone', () => {
    expect(needs({ sights: [sight(dev, 4), sight(other)] })).toEqual({
      knownTo: 9,
      live: [
        { name: 'dev', head: 4, forks: [], keepFrom: 200 },
        { name: 'other', head: 5, forks: [], keepFrom: 500 },
      ],
      awaited: [],
    });
  });

  test('of one that the nodes may have by now, and of younger ones, nothing is said', () => {
    expect(needs({ sights: [sight(dev)] })).toMatchObject({ knownTo: 4, awaited: ['other'] });
    expect(needs({ sights: [sight(other)] })).toMatchObject({ knownTo: 1, awaited: ['dev'] });
  });

  test('what was seen under the name of one that was deleted is none of the new one', () => {
    const before = { ...sight(dev), origin: epoch(1), head: epoch(1) };
    expect(needs({ branches: [dev], sights: [before] })).toEqual({
      knownTo: 1,
      live: [],
      awaited: ['dev'],
    });
  });

  test('one that can never be here holds nothing up', () => {
    expect(needs({ sights: [sight(dev)], cannotBegin: ({ name }) => name === 'other' })).toMatchObject({
      knownTo: 9,
      awaited: [],
    });
  });
});
