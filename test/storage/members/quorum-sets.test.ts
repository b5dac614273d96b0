import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  committed,
  configured,
  isSame,
  type Joining,
  type Membership,
  membersAfter,
  nodesOf,
  proposed,
  reverted,
  whyNot,
} from '../../../storage/members/core/membership.ts';
import {
  areWitnesses,
  isFence,
  isReadQuorum,
  isWriteQuorum,
  missingForWrite,
  nodesIn,
  pgclOf,
  setsOf,
} from '../../../storage/members/core/quorum-sets.ts';
import { lsn, type NodeId, nodeId } from '../../../storage/redo/ids.ts';

const member = (name: string, az = 'a') => ({ node: nodeId(name), az, address: `${name}:1` });
const six = configured(['n1', 'n2', 'n3', 'n4', 'n5', 'n6'].map((name) => member(name)));
const swap: Joining = { out: nodeId('n6'), in: member('n7') };
const joining = proposed(six, swap);
const after = committed(joining);

/** All that can be in use beside each other: a membership, and any that may follow it. */
const neighbours: readonly (readonly [string, Membership, Membership])[] = [
  ['before and during', six, joining],
  ['during and after', joining, after],
  ['during and given up', joining, reverted(joining)],
  ['the same, during', joining, joining],
  ['the same, without a replacement', six, six],
];

/** Every choice of nodes among seven. */
const choices: readonly ReadonlySet<NodeId>[] = Array.from(
  { length: 2 ** 7 },
  (_, bits) => new Set(nodesOf(joining).flatMap(({ node }, at) => ((bits >> at) & 1 ? [node] : []))),
);
type Rule = (membership: Membership, nodes: ReadonlySet<NodeId>) => boolean;
const writes: Rule = (membership, nodes) => isWriteQuorum(setsOf(membership), (node) => nodes.has(node));
const fences: Rule = (membership, nodes) => isFence(setsOf(membership), (node) => nodes.has(node));
const witnesses: Rule = (membership, nodes) => areWitnesses(setsOf(membership), (node) => nodes.has(node));

const shared = (nodes: ReadonlySet<NodeId>, others: ReadonlySet<NodeId>): number =>
  [...nodes].filter((node) => others.has(node)).length;

function pairsApart(one: Rule, a: Membership, other: Rule, b: Membership): readonly string[] {
  const left = choices.filter((nodes) => one(a, nodes));
  const right = choices.filter((nodes) => other(b, nodes));
  expect(left.length * right.length).toBeGreaterThan(0);
  return left.flatMap((nodes) =>
    right.flatMap((others) => (shared(nodes, others) === 0 ? [`${[...nodes]} | ${[...others]}`] : [])),
  );
}

describe('S27: quorums across two neighbouring memberships', () => {
  test.each(neighbours)('%s: every write or seal meets every write or seal, by two nodes', (_, a, b) => {
    for (const nodes of choices.filter((some) => writes(a, some)))
      for (const others of choices.filter((some) => writes(b, some)))
        expect(shared(nodes, others)).toBeGreaterThanOrEqual(2);
  });

  test.each(neighbours)('%s: every fence meets every write, whichever was first', (_, a, b) => {
    expect(pairsApart(fences, a, writes, b)).toEqual([]);
    expect(pairsApart(writes, a, fences, b)).toEqual([]);
  });

  test('the witnesses during a replacement know of every write before it and during it', () => {
    expect(pairsApart(witnesses, joining, writes, six)).toEqual([]);
    expect(pairsApart(witnesses, joining, writes, joining)).toEqual([]);
    expect(pairsApart(witnesses, six, writes, six)).toEqual([]);
  });

  test('three of the new set alone would miss a write before the replacement', () => {
    const threeOfNew: Rule = (_, nodes) => ['n1', 'n2', 'n7'].every((name) => nodes.has(nodeId(name)));
    expect(pairsApart(threeOfNew, joining, writes, six).length).toBeGreaterThan(0);
  });

  test('four of the new set alone would not meet four of a set two replacements before', () => {
    const later = committed(proposed(after, { out: nodeId('n5'), in: member('n8') }));
    const old = new Set(['n3', 'n4', 'n5', 'n6'].map(nodeId));
    const young = new Set(['n1', 'n2', 'n7', 'n8'].map(nodeId));
    expect(writes(six, old) && writes(later, young)).toBe(true);
    expect(shared(old, young)).toBe(0);
  });

  test('what is durable during a replacement is durable in both sets', () => {
    for (const nodes of choices.filter((some) => writes(joining, some)))
      expect(writes(six, nodes) && writes(after, nodes)).toBe(true);
  });

  test('three of either set may be asked what is known', () => {
    const asks = (...names: readonly string[]) =>
      isReadQuorum(setsOf(joining), (node) => names.includes(node));
    expect([
      asks('n1', 'n6', 'n5'),
      asks('n1', 'n2', 'n7'),
      asks('n1', 'n6', 'n7'),
      asks('n1', 'n2'),
    ]).toEqual([true, true, false, false]);
  });

  test('how many nodes a write quorum lacks', () => {
    const lacks = (membership: Membership, ...names: readonly string[]) =>
      missingForWrite(setsOf(membership), (node) => names.includes(node));
    expect(lacks(six, 'n1', 'n2', 'n3')).toBe(1);
    expect(lacks(six, 'n1', 'n2', 'n3', 'n4', 'n5')).toBe(0);
    expect(lacks(joining, 'n1', 'n2', 'n3', 'n7')).toBe(1);
    expect(lacks(joining)).toBe(4);
  });
});

describe('PGCL', () => {
  const scls = fc.record(
    Object.fromEntries(nodesIn(setsOf(joining)).map((node) => [node, fc.nat(5)])),
  ) as fc.Arbitrary<Record<string, number>>;

  test('is the highest point to which a write quorum is complete', () => {
    fc.assert(
      fc.property(scls, fc.constantFrom(six, joining, after), (of, membership) => {
        const sets = setsOf(membership);
        const at = (node: NodeId) => lsn(of[node] ?? 0);
        const best = [5, 4, 3, 2, 1, 0].find((point) => isWriteQuorum(sets, (node) => at(node) >= point));
        expect(pgclOf(sets, at)).toBe(best);
      }),
    );
  });
});

describe('a membership', () => {
  test('goes from six over seven to six, by one epoch a step', () => {
    expect([six, joining, after, reverted(joining)].map(({ epoch }) => epoch)).toEqual([0, 1, 2, 2]);
    expect(nodesOf(joining).map(({ node }) => node)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7']);
    expect(after.members.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3', 'n4', 'n5', 'n7']);
    expect(membersAfter(six)).toEqual(six.members);
    expect(isSame(reverted(joining), { ...six, epoch: 2, members: six.members.toReversed() })).toBe(true);
    expect(isSame(reverted(joining), after)).toBe(false);
  });

  test.each([
    [joining, swap, 'n6 is being replaced by n7 already'],
    [six, { ...swap, out: nodeId('n9') }, 'n9 is not a storage node of this region, which has n1, n2'],
    [six, { ...swap, in: member('n2') }, 'n2 is a storage node of this region already'],
    [six, { ...swap, in: { ...member('n7'), address: 'n3:1' } }, 'n3:1 is the address of n3'],
    [six, { ...swap, in: member('n7', 'b') }, 'n6 is in zone a, and n7 would be in b: two nodes belong'],
  ])('does not take %#', (from, to, why) => {
    expect(whyNot(from, to)).toContain(why);
  });

  test('takes a new node at the address of the old one', () => {
    expect(whyNot(six, { ...swap, in: { ...member('n7'), address: 'n6:1' } })).toBeNull();
  });
});
