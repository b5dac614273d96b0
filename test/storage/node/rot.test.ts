import { afterEach, describe, expect, it, test } from 'vitest';
import { Prng } from '../../simulation/world/prng.ts';
import { eventually } from '../region-harness.ts';
import { RottingNode } from './rotting-node.ts';

const nodes: RottingNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

async function filledNode(): Promise<{
  node: RottingNode;
  pages: readonly (Uint8Array | null)[];
  log: Buffer;
}> {
  const node = new RottingNode();
  nodes.push(node);
  await node.fill();
  const pages = await node.readPages();
  if (pages === null) throw new Error('a healthy node serves');
  return { node, pages, log: Buffer.concat(node.frames) };
}

/** A byte of each file, somewhere in it. */
function places(node: RottingNode, ending: string, dice: Prng): readonly (readonly [string, number])[] {
  return node.files(ending).map((path) => [path, dice.below(node.disk.contents(path).length)]);
}

describe('a byte of the log that changes while the node runs', () => {
  it('is found, counted and brought back, never served, and the node goes on (S15)', async () => {
    const { node, pages, log } = await filledNode();
    const dice = Prng.fromSeed(7);
    const first = node.parts;
    for (let round = 0; round < 3; round++) {
      const foundBefore = first?.rot.counters.found ?? 0;
      const passesBefore = first?.scrubber.counters.passes ?? 0;
      const sealed = node.files('.idx').map((path) => path.replace('.idx', '.log'));
      const rotten = places(node, '.log', dice).filter(([path]) => sealed.includes(path));
      expect(rotten.length).toBeGreaterThan(2);
      for (const [path, at] of rotten) node.disk.rot(path, at, 1 << dice.below(8));
      await eventually('all files were read again', async () => {
        const served = await node.readPages();
        if (served !== null) expect(served).toEqual(pages);
        const fetched = await node.fetch();
        if (fetched !== null) expect(log.subarray(0, fetched.length).equals(fetched)).toBe(true);
        // The pass under way may have been past them.
        return (first?.scrubber.counters.passes ?? 0) >= passesBefore + 2;
      });
      // Some may lie in bytes that are not held any more, which nobody reads.
      expect(first?.rot.counters.found).toBeGreaterThan(foundBefore);
      await node.settled();
      expect(await node.readPages()).toEqual(pages);
      expect(log.equals((await node.fetch()) ?? Buffer.alloc(0))).toBe(true);
    }
    expect(node.parts).toBe(first);
    expect(node.fatal).toEqual([]);
    expect(first?.rot.counters.healed).toBe(first?.rot.counters.found);
  });

  it('leaves the node behind while no peer can bring it back', async () => {
    const { node } = await filledNode();
    node.peerIsUp = false;
    const [path] = node.files('.log');
    node.disk.rot(path ?? '', 1_000);
    await eventually('it is found', () => node.parts?.rot.counters.found === 1);
    expect(node.parts?.node.segment.volumeEnd(node.parts.node.head)).toBeLessThan(2_000);
    expect(await node.readPages()).toBeNull();
    expect(node.parts?.rot.counters.healed).toBe(0);
    await eventually(
      'its file is sealed again, without what is lost',
      () => node.files('.idx').length === node.files('.log').length - 1,
    );
    node.peerIsUp = true;
    await node.settled();
    expect(await node.readPages()).not.toBeNull();
  });

  test('the next start knows what is left of such a file, also when the process dies at once (S16)', async () => {
    const { node, pages } = await filledNode();
    const [path] = node.files('.log');
    node.disk.rot(path ?? '', 1_000);
    node.peerIsUp = false;
    await eventually('it is found', () => node.parts?.rot.counters.found === 1);
    node.disk.crash();
    await node.stop();
    node.peerIsUp = true;
    await node.start();
    await node.settled();
    expect(await node.readPages()).toEqual(pages);
    expect(node.fatal.length).toBeLessThanOrEqual(1);
  });
});

describe('bytes that change while the node is stopped', () => {
  test.each([1, 2, 3, 4])(
    'one of every log file: all come back, after few restarts (S15, S16), case %i',
    async (seed) => {
      const { node, pages, log } = await filledNode();
      await node.stop();
      const dice = Prng.fromSeed(seed);
      const rotten = places(node, '.log', dice);
      for (const [path, at] of rotten) node.disk.rot(path, at, 1 << dice.below(8));
      await node.start();
      await node.settled();
      expect(await node.readPages()).toEqual(pages);
      expect(log.equals((await node.fetch()) ?? Buffer.alloc(0))).toBe(true);
      // Each restart has read the file that ended the one before, and never ends there again.
      expect(node.fatal.length).toBeLessThanOrEqual(rotten.length);
      await node.stop();
      expect(node.rot.found + node.rot.atStart + node.fatal.length).toBeGreaterThan(0);
      const restarts = node.fatal.length;
      await node.start();
      await node.settled();
      expect(node.fatal.length).toBe(restarts);
    },
  );

  test('one of every index file: the log files are read, and sealed again', async () => {
    const { node, pages } = await filledNode();
    await node.stop();
    const dice = Prng.fromSeed(11);
    const rotten = places(node, '.idx', dice);
    for (const [path, at] of rotten) node.disk.rot(path, at, 1 << dice.below(8));
    const parts = await node.start();
    expect(parts.recovery.unbelieved).toHaveLength(rotten.length);
    await node.settled();
    expect(await node.readPages()).toEqual(pages);
    expect(node.fatal).toEqual([]);
    await node.stop();
    expect((await node.start()).recovery).toMatchObject({ unbelieved: [], sealed: rotten.length });
  });
});
