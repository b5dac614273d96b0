import { expect, test } from 'vitest';
import { RegionNodes } from '../../../regions/status/region-nodes.ts';
import { configured } from '../../../storage/members/core/membership.ts';
import { epoch, lsn, nodeId } from '../../../storage/redo/ids.ts';
import type { RepairReport, StorageReply } from '../../../storage/wire/core/messages.ts';

test('a node that does not answer is down, and how much it holds is unknown, not nothing', async () => {
  const nodes = ['n1', 'n2', 'n3', 'n4'].map((name) => ({
    node: nodeId(name),
    az: 'a',
    address: `at ${name}`,
  }));
  const said = (name: string): StorageReply | { kind: 'unanswered'; reason: string } =>
    name === 'n4'
      ? { kind: 'unanswered', reason: 'dead' }
      : {
          kind: 'status',
          node: name,
          region: 'eu-west-1',
          az: 'a',
          pid: 7,
          sealed: epoch(2),
          head: epoch(2),
          scl: lsn(name === 'n3' ? 80 : 90),
          vdl: lsn(90),
          startedAtMs: 0,
          logBytes: 0,
        };
  const region = {
    membership: configured(nodes),
    nodes: nodes.map(({ node }) => node),
    request: async (node: string) => said(node),
  };
  const watched = new RegionNodes(region);
  expect(await watched.poll()).toEqual({ head: 2, vdl: 90 });
  expect(watched.reports.map(({ id, state, scl }) => [id, state, scl])).toEqual([
    ['n1', 'up', 90],
    ['n2', 'up', 90],
    ['n3', 'behind', 80],
    ['n4', 'down', null],
  ]);
});

test('a repair is told once, when it ends, and not when it is what an earlier start of the agent heard', async () => {
  const nodes = [{ node: nodeId('n1'), az: 'a', address: 'at n1' }];
  const repaired = (beganAtUs: number): RepairReport => ({
    fromLsn: lsn(10),
    toLsn: lsn(90),
    wasEmpty: false,
    beganAtUs,
    endedAtUs: beganAtUs + 5,
    bytes: 80,
  });
  let told: RepairReport | undefined = repaired(100);
  const region = {
    membership: configured(nodes),
    nodes: nodes.map(({ node }) => node),
    request: async (node: string): Promise<StorageReply> => ({
      kind: 'status',
      node,
      region: 'eu-west-1',
      az: 'a',
      pid: 7,
      sealed: epoch(2),
      head: epoch(2),
      scl: lsn(90),
      vdl: lsn(90),
      startedAtMs: 0,
      logBytes: 0,
      ...(told !== undefined && { repaired: told }),
    }),
  };
  const heard: (readonly [string, number])[] = [];
  const watched = new RegionNodes(region, ({ node }, report) => heard.push([node, report.beganAtUs]));
  await watched.poll();
  expect(heard).toEqual([]);
  told = repaired(200);
  await watched.poll();
  await watched.poll();
  expect(heard).toEqual([['n1', 200]]);
  // Its process starts again, and repairs something else.
  told = undefined;
  await watched.poll();
  told = repaired(300);
  await watched.poll();
  expect(heard).toEqual([
    ['n1', 200],
    ['n1', 300],
  ]);
});
