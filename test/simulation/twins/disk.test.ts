import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeWorld } from '../testing.ts';
import { Disk, type DiskCompletion } from './disk.ts';

const options = { syncUs: { min: 100, max: 400 }, stallPerMille: 0, capacityBytes: 10_000 };

const setUp = (seed: number) => {
  const world = makeWorld(seed);
  const completions: DiskCompletion[] = [];
  const disk = new Disk(world, 'us-east-1/n1', options, (completion) => completions.push(completion));
  return { world, disk, completions };
};

/** Entry number `index`, no byte of which is zero, so that a hole can be told from it. */
const entry = (index: number, length: number): Uint8Array => new Uint8Array(length).fill(1 + (index % 250));

describe('disk', () => {
  it('promises nothing before the sync completes and everything appended before its request after', () => {
    const { world, disk, completions } = setUp(1);
    disk.append('log', entry(0, 10));
    disk.sync('log', 'first');
    disk.append('log', entry(1, 10));
    expect(disk.durableBytes('log')).toBe(0);
    world.runToIdle();
    expect(completions).toEqual([{ kind: 'synced', file: 'log', token: 'first', throughBytes: 10 }]);
    expect(disk.durableBytes('log')).toBe(10);
    expect(disk.read('log')).toHaveLength(20);
  });

  it('keeps every synced byte over a loss of power, and of the rest only bytes that were written, in place, or zeros', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.nat(1_000_000), lengths, fc.nat(20), (seed, sizes, syncedCount) => {
        const { world, disk } = setUp(seed);
        for (const [index, length] of sizes.entries()) {
          if (index === syncedCount) {
            disk.sync('log', 's');
            world.runToIdle();
          }
          disk.append('log', entry(index, length));
        }
        const before = disk.read('log');
        const durable = disk.durableBytes('log');
        disk.crash('power');
        const after = disk.read('log');
        expect(after.length).toBeLessThanOrEqual(before.length);
        expect(after.length).toBeGreaterThanOrEqual(durable);
        expect(after.subarray(0, durable)).toEqual(before.subarray(0, durable));
        for (const [position, byte] of after.entries()) expect([0, before[position]]).toContain(byte);
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('tears in the middle of an entry and keeps a later entry without an earlier one, in some runs', () => {
    let torn = 0;
    let holes = 0;
    let nothingLost = 0;
    for (let seed = 0; seed < 200; seed += 1) {
      const { disk } = setUp(seed);
      for (let index = 0; index < 3; index += 1) disk.append('log', entry(index, 10));
      disk.crash('power');
      const kept = [0, 1, 2].map(
        (index) => disk.readAt('log', index * 10, 10).filter((byte) => byte === 1 + index).length,
      );
      if (kept.some((count) => count > 0 && count < 10)) torn += 1;
      if (kept[0] === 0 && kept[1] === 10) holes += 1;
      if (kept.every((count) => count === 10)) nothingLost += 1;
    }
    expect(torn).toBeGreaterThan(20);
    expect(holes).toBeGreaterThan(5);
    expect(nothingLost).toBeGreaterThan(0);
  });

  it('loses nothing when only the process dies, and makes nothing durable by it either', () => {
    let lostLater = 0;
    for (let seed = 0; seed < 50; seed += 1) {
      const { disk } = setUp(seed);
      disk.append('log', entry(0, 30));
      disk.crash('process');
      expect(disk.read('log')).toEqual(entry(0, 30));
      expect(disk.durableBytes('log')).toBe(0);
      disk.crash('power');
      if (disk.read('log').length < 30) lostLater += 1;
    }
    expect(lostLater).toBeGreaterThan(10);
  });

  it('never reports to the next process what the dead one asked for', () => {
    const { world, disk, completions } = setUp(1);
    disk.append('log', entry(0, 10));
    disk.sync('log', 'lost');
    disk.crash('power');
    world.runToIdle();
    expect(completions).toEqual([]);
  });

  it('replaces a file whole or not at all', () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 40; seed += 1) {
      const { world, disk } = setUp(seed);
      disk.replace('state', entry(0, 5), 'a');
      world.runToIdle();
      disk.replace('state', entry(1, 7), 'b');
      expect(disk.read('state')).toEqual(entry(0, 5));
      disk.crash('power');
      outcomes.add(disk.read('state').join());
    }
    expect(outcomes).toEqual(new Set([entry(0, 5).join(), entry(1, 7).join()]));
  });

  it('refuses appends as a value when full, at the limit or by a fault, and goes on afterwards', () => {
    const { disk } = setUp(1);
    expect(disk.append('log', entry(0, 9_990)).kind).toBe('appended');
    expect(disk.append('log', entry(0, 11))).toEqual({ kind: 'disk-full' });
    expect(disk.append('log', entry(0, 10))).toEqual({ kind: 'appended', offset: 9_990 });
    disk.truncate('log', 0);
    disk.setFull(true);
    expect(disk.append('log', entry(0, 1))).toEqual({ kind: 'disk-full' });
    expect(disk.replace('state', entry(0, 1), 't')).toEqual({ kind: 'disk-full' });
    disk.setFull(false);
    expect(disk.append('log', entry(0, 1)).kind).toBe('appended');
  });

  it('completes in the order of requests, later when slow', () => {
    const { world, disk, completions } = setUp(1);
    disk.append('log', entry(0, 1));
    disk.setSlow(100);
    disk.sync('log', 'slow');
    disk.setSlow(1);
    disk.sync('log', 'fast');
    world.runToIdle();
    expect(world.nowUs).toBeGreaterThanOrEqual(10_000);
    expect(completions.map((completion) => completion.token)).toEqual(['slow', 'fast']);
  });

  it('flips one durable bit by rot', () => {
    const { world, disk } = setUp(1);
    expect(disk.rot('log')).toBe(false);
    disk.append('log', entry(0, 50));
    disk.sync('log', 's');
    world.runToIdle();
    expect(disk.rot('log')).toBe(true);
    expect(disk.read('log').filter((byte) => byte !== 1)).toHaveLength(1);
  });
});
