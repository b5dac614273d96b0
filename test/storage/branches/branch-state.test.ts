import { expect, test } from 'vitest';
import { loadNode, nodeStateFile } from '../../../storage/node/node-data.ts';
import { epoch, nodeId, regionId } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from '../log/hot-log-memory-disk.ts';
import { fork } from '../samples.ts';
import { dev, OneNode } from './one-node.ts';

const config = {
  cluster: 'test',
  region: regionId('us-east-1'),
  node: nodeId('n1'),
  az: 'az1',
  listen: '127.0.0.1:0',
  dataDir: 'data',
  secret: 'a secret for tests',
  peers: [],
};
const identity = { cluster: 'test', region: 'us-east-1', node: 'n1' };

test('the state file brings back what was promised to each branch, and that of an older version none', async () => {
  const disk = new MemoryDisk();
  const { node: empty, stateFile } = await loadNode(config, disk);
  expect(empty.state).not.toHaveProperty('branches');
  const one = new OneNode(empty.state);
  one.fork(fork(1, 0, 0));
  one.fork(fork(1, 0, 0), fork(2, 1, 0, dev));
  one.seal('dev', 7);
  for (const peer of ['n2', 'n3', 'n4']) one.hear(peer, {});
  expect(one.node.state).toMatchObject({
    hydrated: false,
    knowsBranches: true,
    branches: [{ branch: dev, sealed: 7, durable: { head: 2, vdl: 0 }, hydrated: false }],
  });
  await stateFile.save({ ...identity, state: one.node.state });
  const again = await loadNode(config, disk);
  expect(again.node.state).toEqual(one.node.state);
  expect(again.node.branches.find(dev)?.sealed).toBe(7);
  // As older versions wrote it.
  const { branches, knowsBranches, ...old } = one.node.state;
  const older = nodeStateFile(disk, 'data');
  await older.load();
  await older.save({
    ...identity,
    state: { ...old, forks: [fork(1, 0, 0)], hydrated: true, sealed: epoch(1) },
  });
  const opened = await loadNode(config, disk);
  expect([opened.node.branches.all.length, opened.node.care.known.isWhole]).toEqual([1, true]);
});
