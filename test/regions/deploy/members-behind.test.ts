import { expect, test } from 'vitest';
import { membersBehind } from '../../../regions/deploy/core/members-behind.ts';
import type { Members } from '../../../regions/members/core/members-request.ts';

const at = (id: string, az: string, role: 'member' | 'leaving' | 'joining' = 'member') => ({
  id,
  az,
  address: `${id}:1`,
  role,
});
const members = (...nodes: Members['nodes']): Members => ({
  region: 'us',
  epoch: 2,
  nodes,
  joining: null,
  change: null,
  ended: null,
});
const file = (...names: readonly (readonly [string, string])[]) =>
  names.map(([node, az]) => ({ node, az, address: `${node}:1` }));

test('a file that names the nodes that there are is not behind', () => {
  expect(membersBehind(file(['n1', 'a'], ['n7', 'b']), members(at('n7', 'b'), at('n1', 'a')))).toEqual([]);
});

test('a node that was replaced is told at its line, with the one that took its place', () => {
  const behind = membersBehind(
    file(['n1', 'a'], ['n5', 'b'], ['n6', 'c']),
    members(at('n1', 'a'), at('n8', 'c'), at('n7', 'b')),
  );
  expect(behind).toEqual([
    {
      path: ['nodes', 1],
      message: 'n5 was replaced (membership epoch 2): write node n7, az b, address n7:1 here',
    },
    {
      path: ['nodes', 2],
      message: 'n6 was replaced (membership epoch 2): write node n8, az c, address n8:1 here',
    },
  ]);
});

test('so is one that listens elsewhere', () => {
  const moved = { ...at('n1', 'a'), address: 'elsewhere:1' };
  expect(membersBehind(file(['n1', 'a']), members(moved))).toEqual([
    { path: ['nodes', 0, 'address'], message: expect.stringContaining('n1 listens at elsewhere:1') },
  ]);
});

test('the file of a machine that is about to join may name its node', () => {
  const joining: Members = {
    ...members(at('n1', 'a'), at('n6', 'c', 'leaving'), at('n7', 'c', 'joining')),
    joining: { out: 'n6', in: 'n7' },
  };
  expect(membersBehind(file(['n1', 'a'], ['n7', 'c']), joining)).toEqual([]);
  expect(membersBehind(file(['n1', 'a'], ['n6', 'c']), joining)).toEqual([]);
});
