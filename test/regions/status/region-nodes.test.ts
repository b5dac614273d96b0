import { expect, test } from 'vitest';
import { RegionNodes } from '../../../regions/status/region-nodes.ts';
import { epoch, lsn, nodeId } from '../../../storage/redo/ids.ts';
import type { StorageReply } from '../../../storage/wire/core/messages.ts';

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
    nodes: nodes.map(({ node }) => node),
    request: async (node: string) => said(node),
  };
  const watched = new RegionNodes(nodes, region);
  expect(await watched.poll()).toEqual({ head: 2, vdl: 90 });
  expect(watched.reports.map(({ id, state, scl }) => [id, state, scl])).toEqual([
    ['n1', 'up', 90],
    ['n2', 'up', 90],
    ['n3', 'behind', 80],
    ['n4', 'down', null],
  ]);
});
