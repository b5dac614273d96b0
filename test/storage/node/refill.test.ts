import { afterEach, describe, expect, it } from 'vitest';
import { runRecovery } from '../../../storage/quorum/recovery-driver.ts';
import { epoch, lsn, mainBranch, nodeId, zeroLsn } from '../../../storage/redo/ids.ts';
import { eventually } from '../region-harness.ts';
import { ids, reign, SixNodes } from './refilled-nodes.ts';

const [n1, n2, n3, n4] = ['n1', 'n2', 'n3', 'n4'].map(nodeId) as [
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
];

let region: SixNodes;
afterEach(() => region.close());

async function collected(options: ConstructorParameters<typeof SixNodes>[0] = {}): Promise<SixNodes> {
  region = new SixNodes(options);
  await region.start(...ids);
  await region.write(600);
  await region.collect();
  return region;
}

describe('a node whose peers have dropped the log that it lacks', () => {
  it('is refilled from their images, and has what they have; a restart finds it complete', async () => {
    await collected();
    await region.wipe(n1);
    await region.start(n1);
    await region.settled(n1);
    const whole = await region.read(n2);
    expect(whole).toHaveLength(40);
    expect(await region.read(n1)).toEqual(whole);
    expect(region.imageBytes).toBe(40 * 4096);
    expect(region.node(n1).runtime.counters).toMatchObject({ refills: 1, refilledBytes: 40 * 4096 });
    await region.kill(n1);
    await region.start(n1);
    expect(region.isComplete(n1)).toBe(true);
    expect(await region.read(n1)).toEqual(whole);
  });

  it('S25: while it is refilled it takes appends, vouches for nothing and is no witness; pages are of many places in the end (S24)', async () => {
    await collected();
    await region.wipe(n1);
    const claims: (number | boolean)[] = [];
    let batches = 0;
    let places = 0;
    region.onImages = () => {
      batches += 1;
      const { node, pages } = region.node(n1);
      places = pages.images.filling?.places.length ?? 0;
      claims.push(node.segment.volumeEnd(reign), node.segment.scl(reign, 0 as never), node.state.hydrated);
    };
    await region.start(n1);
    while (batches < 8) {
      const before = batches;
      await region.write(20);
      await region.collect(n2, n3, n4, nodeId('n5'), nodeId('n6'));
      await eventually('a batch is asked for', () => batches > before || region.isComplete(n1));
      if (region.isComplete(n1)) break;
    }
    await region.settled(n1);
    expect(claims.length).toBeGreaterThan(9);
    expect(places).toBeGreaterThan(1);
    expect(new Set(claims)).toEqual(new Set([0, false]));
    expect(await region.differing(n1, n2)).toEqual([]);
  });

  it('goes on where it stood after kill -9, and when its donor dies', async () => {
    await collected();
    await region.wipe(n1);
    await region.start(n1);
    for (const death of ['node', 'donor'] as const) {
      const { pages } = region.node(n1);
      const before = pages.images.filling?.pages ?? 0;
      let donor = n2;
      region.onImages = (from) => {
        donor = from;
      };
      await eventually('more pages are there', () => (pages.images.filling?.pages ?? 0) > before + 3);
      if (death === 'donor') await region.kill(donor);
      else {
        await region.kill(n1);
        await region.start(n1);
        expect(region.node(n1).pages.images.filling?.pages).toBeGreaterThan(before);
      }
    }
    await region.settled(n1);
    expect(await region.differing(n1, n4)).toEqual([]);
    // One batch at most came twice.
    expect(region.imageBytes).toBeLessThanOrEqual(40 * 4096 + 16 * 1024);
  });

  it('two wiped together are refilled, and then any other two may be wiped', async () => {
    await collected();
    const whole = await region.read(n3);
    for (const pair of [
      [n1, n2],
      [n3, n4],
    ] as const) {
      await region.wipe(...pair);
      await region.start(...pair);
      for (const id of pair) expect(region.node(id).node.state.hydrated).toBe(false);
      await region.settled(...pair);
      await region.write(50);
      await region.settled(...ids);
    }
    await region.wipe(nodeId('n5'), nodeId('n6'));
    const now = await region.read(n1);
    expect(now).toHaveLength(40);
    expect(now).not.toEqual(whole);
    for (const id of [n2, n3, n4]) expect(await region.differing(n1, id)).toEqual([]);
  });

  it('begins anew when the log beside the pages it has got is collected, too', async () => {
    await collected();
    await region.wipe(n1);
    await region.start(n1);
    await eventually('some pages are there', () => (region.node(n1).pages.images.filling?.pages ?? 0) > 3);
    await region.kill(n1);
    await region.write(900);
    await region.collect();
    await region.start(n1);
    await region.settled(n1);
    expect(await region.differing(n1, n2)).toEqual([]);
  });

  it('a node that was away for too long keeps what it has until the new images are complete', async () => {
    await collected();
    await region.kill(n1);
    await region.write(900);
    await region.collect();
    await region.start(n1);
    await region.settled(n1);
    expect(await region.differing(n1, n2)).toEqual([]);
  });
});

describe('a node whose images do not bear out its floor', () => {
  it('S26: has no copy and is no witness, and is refilled', async () => {
    await collected();
    const whole = await region.read(n2);
    await region.kill(n1);
    for (const path of region
      .disk(n1)
      .paths()
      .filter((name) => name.includes('/images/')))
      region.disk(n1).remove(path, () => undefined);
    const asked: (number | boolean)[] = [];
    region.onImages = () => {
      const { node } = region.node(n1);
      asked.push(node.state.floor.lsn, node.segment.volumeEnd(reign), node.state.hydrated);
    };
    await region.start(n1);
    expect(await region.readOnce(n1)).toBe('NOT_COMPLETE');
    await region.settled(n1);
    expect(asked.slice(0, 3)).toEqual([zeroLsn, zeroLsn, false]);
    expect(await region.read(n1)).toEqual(whole);
    expect(region.node(n1).node.segment.floor.lsn).toBeGreaterThan(lsn(0));
  });
});

describe('a recovery that too few nodes are complete for', () => {
  const fork = { kind: 'fork', branch: mainBranch, epoch: epoch(2) } as const;

  it('asks those below the log of all others to refill themselves, says so, and waits', async () => {
    await collected();
    const whole = await region.read(n4);
    await region.wipe(n1, n2, n3);
    // The writer is gone: nobody has told them anything.
    await region.startSilently(n1, n2, n3);
    const said: string[] = [];
    const result = await runRecovery(region.links, fork, {
      timeoutMs: 5_000,
      onWaiting: (what) => said.push(what),
    });
    expect(result).toMatchObject({ kind: 'recovered', outcome: { vdl: region.end } });
    expect(said).toHaveLength(1);
    expect(said[0]).toContain('3 of six storage nodes are complete');
    const complete = [n1, n2, n3].filter((id) => region.isComplete(id));
    expect(complete.length).toBeGreaterThan(0);
    for (const id of complete) expect(await region.read(id)).toEqual(whole);
  });

  it('names them when nothing gets on', async () => {
    await collected();
    await region.wipe(n1, n2, n3);
    await region.startSilently(n1, n2, n3);
    region.hasNoImages = true;
    const result = await runRecovery(region.links, fork, { timeoutMs: 1_500 });
    expect(result).toMatchObject({ kind: 'timeout' });
    expect(JSON.stringify(result)).toContain('others need images');
  });
});
