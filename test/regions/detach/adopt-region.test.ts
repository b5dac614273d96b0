import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { adoptRegion } from '../../../regions/detach/adopt-region.ts';
import { readDetachedMark, removeDetachedMark } from '../../../regions/membership/detached-mark.ts';
import { nodeDisk } from '../../../storage/log/disk.ts';
import { clusterOfData } from '../../../storage/node/adopt-node.ts';
import { loadNode, StartError } from '../../../storage/node/node-data.ts';
import type { StorageConfig } from '../../../storage/process/config.ts';
import { lockDirectory } from '../../../storage/process/directory-lock.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sx-adopt-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const configOf = (node: string, cluster: string): StorageConfig =>
  ({ cluster, region: 'eu-west-1', node, dataDir: join(root, node) }) as never;
const nodes = () => ['n1', 'n2'].map((node) => ({ node, dataDir: join(root, node) }));
const agentDataDir = () => join(root, 'agent');
const adopt = (change: object = {}) =>
  adoptRegion({
    region: 'eu-west-1',
    nodes: nodes(),
    agentDataDir: agentDataDir(),
    from: 'shop',
    to: 'shop-eu',
    ...change,
  });
const start = (node: string, cluster: string) => loadNode(configOf(node, cluster), nodeDisk);

test('data that was handed over is opened by its new cluster and by no process of the old one (R56)', async () => {
  for (const { node } of nodes()) await start(node, 'shop');
  mkdirSync(agentDataDir());
  for (const name of ['operations.json', 'lag.json']) writeFileSync(join(agentDataDir(), name), '{}');
  expect(await adopt()).toEqual({ kind: 'adopted', nodes: ['n1', 'n2'], absent: [] });
  await expect(start('n1', 'shop')).rejects.toThrow(StartError);
  expect((await start('n1', 'shop-eu')).node).toBeDefined();
  expect(await clusterOfData(join(root, 'n2'))).toBe('shop-eu');
  expect(readDetachedMark(agentDataDir())).toEqual({ from: 'shop' });
  expect(existsSync(join(agentDataDir(), 'operations.json'))).toBe(false);
});

test('what was interrupted goes on, and what was done and has run since is not marked again', async () => {
  for (const { node } of nodes()) await start(node, 'shop');
  expect(await adopt({ nodes: nodes().slice(0, 1) })).toMatchObject({ kind: 'adopted' });
  expect(await adopt()).toMatchObject({ nodes: ['n1', 'n2'] });
  removeDetachedMark(agentDataDir());
  expect(await adopt()).toMatchObject({ nodes: ['n1', 'n2'] });
  expect(readDetachedMark(agentDataDir())).toBeNull();
});

test('data of a third cluster, of another node, or that a process has open is left as it is', async () => {
  await start('n1', 'other');
  expect(await adopt()).toMatchObject({ kind: 'refused', reason: expect.stringContaining('cluster other') });
  expect(await clusterOfData(join(root, 'n1'))).toBe('other');
  await start('n2', 'shop');
  const swapped = [{ node: 'n9', dataDir: join(root, 'n2') }];
  expect(await adopt({ nodes: swapped })).toMatchObject({ reason: expect.stringContaining('eu-west-1/n2') });
  const lock = await lockDirectory(join(root, 'n2'), 'storage node n2');
  if (lock.kind !== 'locked') throw new Error('the directory is free');
  const mine = nodes().slice(1);
  expect(await adopt({ nodes: mine })).toMatchObject({ kind: 'refused' });
  lock.lock.release();
  expect(await adopt({ nodes: mine })).toMatchObject({ kind: 'adopted' });
});

test('a node of a replaced membership is handed over to a file that names those that count, and begins anew with it', async () => {
  const members = (joining: object | null) => ({
    current: {
      epoch: 2,
      members: ['n1', 'n7'].map((node) => ({ node, az: 'a', address: `10.0.0.1:${node.slice(1)}` })),
      joining,
    },
    promised: null,
    accepted: null,
  });
  const save = async (joining: object | null) => {
    const { node, stateFile } = await start('n1', 'shop');
    const state = { ...node.state, members: members(joining) };
    await stateFile.save({ cluster: 'shop', region: 'eu-west-1', node: 'n1', state } as never);
  };
  await start('n1', 'shop');
  await save({ out: 'n7', in: { node: 'n8', az: 'a', address: '10.0.0.1:8' } });
  expect(await adopt()).toMatchObject({ reason: expect.stringContaining('n7 is being replaced by n8') });
  await save(null);
  expect(await adopt()).toMatchObject({
    reason: expect.stringContaining('n1, n7, and the file names n1, n2'),
  });
  expect(await clusterOfData(join(root, 'n1'))).toBe('shop');
  const named = ['n7', 'n1'].map((node) => ({ node, dataDir: join(root, node) }));
  expect(await adopt({ nodes: named })).toMatchObject({ kind: 'adopted', nodes: ['n1'], absent: ['n7'] });
  expect((await start('n1', 'shop-eu')).node.state.members).toBeUndefined();
});

test('a directory without data is named, and one deployment cannot be called as the other', async () => {
  await start('n1', 'shop');
  expect(await adopt()).toEqual({ kind: 'adopted', nodes: ['n1'], absent: ['n2'] });
  expect(await adopt({ to: 'shop' })).toMatchObject({ kind: 'refused' });
});
