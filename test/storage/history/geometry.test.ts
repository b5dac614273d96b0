import { describe, expect, it, test } from 'vitest';
import { EpochTree, type Fork, forkSchema } from '../../../storage/history/epoch-tree.ts';
import { defaultGeometry, type Geometry, geometryOf } from '../../../storage/history/geometry.ts';
import { runRecovery } from '../../../storage/index.ts';
import { epoch, mainBranch, zeroLsn } from '../../../storage/redo/ids.ts';
import { eventually, startRegion } from '../region-harness.ts';

const small: Geometry = { pageBytes: 4096, pgBytes: 1024 * 1024 };
const fork = (number: number, parent: number, geometry?: Geometry): Fork => ({
  epoch: epoch(number),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: zeroLsn,
  ...(geometry !== undefined && { geometry }),
});

describe('the geometry of a volume (S44)', () => {
  it('is what its first fork says, and the default where that says nothing', () => {
    expect(geometryOf([])).toEqual(defaultGeometry);
    expect(geometryOf([fork(1, 0), fork(2, 1)])).toEqual(defaultGeometry);
    expect(geometryOf([fork(1, 0, small), fork(2, 1)])).toEqual(small);
  });

  it('is part of the history: the same epoch with another one contradicts the tree', () => {
    const tree = new EpochTree([fork(1, 0, small)]);
    expect(tree.add(fork(1, 0, small))).toBe('known');
    expect(tree.add(fork(1, 0))).toBe('conflict');
    expect(tree.add(fork(1, 0, { ...small, pgBytes: 2 * small.pgBytes }))).toBe('conflict');
    expect(new EpochTree([fork(1, 0, defaultGeometry)]).add(fork(1, 0))).toBe('known');
  });

  it.each([
    ['groups that no page fits evenly', { pageBytes: 4096, pgBytes: 1024 * 1024 + 1 }],
    ['groups below 1 MiB', { pageBytes: 4096, pgBytes: 4096 }],
    ['what is no geometry', { pageBytes: 4096 }],
  ])('is not read where it says %s', (_what, geometry) => {
    expect(forkSchema.safeParse({ ...fork(1, 0), geometry }).success).toBe(false);
  });
});

test('six nodes keep the geometry that the first reign chose, whatever later ones would choose, and tell it', async () => {
  const region = await startRegion();
  try {
    const client = region.client();
    await eventually('all six are up', () => client.upNodes.length === 6);
    const found: Geometry[] = [];
    for (const [reign, geometry] of [
      [1, small],
      [2, defaultGeometry],
      [3, undefined],
    ] as const) {
      const goal = {
        kind: 'fork',
        branch: mainBranch,
        epoch: epoch(reign),
        ...(geometry && { geometry }),
      } as const;
      const result = await runRecovery(client, goal, { timeoutMs: 15_000 });
      if (result.kind !== 'recovered') throw new Error(JSON.stringify(result));
      found.push(geometryOf(result.outcome.forks));
      for (const node of region.nodes) await node.kill();
      for (const node of region.nodes) await node.start();
      await eventually('all six are up again', () => client.upNodes.length === 6);
    }
    expect(found).toEqual([small, small, small]);
  } finally {
    await region.close();
  }
});

test('a volume whose pages this version cannot read is refused in words', async () => {
  const region = await startRegion();
  try {
    const client = region.client();
    await eventually('all six are up', () => client.upNodes.length === 6);
    const strange = { pageBytes: 8192, pgBytes: 1024 * 1024 };
    const forks = [fork(1, 0, strange)];
    const told = region.nodes.map(
      ({ config }) =>
        new Promise<string>((resolve) =>
          client.ask(config.node, { kind: 'fork', authority: epoch(1), forks }, 5_000, ({ kind }) =>
            resolve(kind),
          ),
        ),
    );
    expect(await Promise.all(told)).toEqual(Array(6).fill('forked'));
    const goal = { kind: 'fork', branch: mainBranch, epoch: epoch(2) } as const;
    const again = await runRecovery(client, goal, { timeoutMs: 15_000 });
    expect(again).toMatchObject({ kind: 'failed', reason: expect.stringContaining('pages of 8192 bytes') });
  } finally {
    await region.close();
  }
});
