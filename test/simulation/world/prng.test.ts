import { describe, expect, it } from 'vitest';
import { Prng } from './prng.ts';

const draw = (prng: Prng, count: number): number[] => Array.from({ length: count }, () => prng.uint32());

describe('prng', () => {
  it('is xoshiro128** as published', () => {
    expect(draw(Prng.fromState([1, 2, 3, 4]), 8)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849,
    ]);
  });

  it('gives the same numbers for a seed and name for ever', () => {
    expect(draw(Prng.fromSeed(42).stream('network'), 4)).toEqual([
      487862334, 3159296295, 2871760023, 3924316062,
    ]);
  });

  it('keeps a stream as it is whatever was drawn from others or from its parent', () => {
    const quiet = Prng.fromSeed(7);
    const busy = Prng.fromSeed(7);
    draw(busy, 100);
    draw(busy.stream('newcomer'), 100);
    expect(draw(busy.stream('disk'), 5)).toEqual(draw(quiet.stream('disk'), 5));
  });

  it('tells streams apart by seed, name and nesting', () => {
    const streams = [
      Prng.fromSeed(1).stream('ab'),
      Prng.fromSeed(2).stream('ab'),
      Prng.fromSeed(1).stream('a').stream('b'),
      Prng.fromSeed(1).stream('a/1:b'),
      Prng.fromSeed(11).stream('ab'),
    ];
    expect(new Set(streams.map((stream) => draw(stream, 2).join())).size).toBe(streams.length);
  });

  it('stays within bounds, reaches both ends and has no favourite', () => {
    const prng = Prng.fromSeed(3);
    const seen = new Map<number, number>();
    for (let round = 0; round < 6000; round += 1) {
      const value = prng.between(-2, 3);
      seen.set(value, (seen.get(value) ?? 0) + 1);
    }
    expect([...seen.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3]);
    for (const count of seen.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('answers rates per mille, and never or always at the ends', () => {
    const prng = Prng.fromSeed(4);
    const hits = (rate: number): number =>
      Array.from({ length: 2000 }, () => prng.perMille(rate)).filter(Boolean).length;
    expect(hits(0)).toBe(0);
    expect(hits(1000)).toBe(2000);
    expect(Math.abs(hits(250) - 500)).toBeLessThan(100);
  });

  it('shuffles without losing or doubling anything and leaves the original alone', () => {
    const items = [1, 2, 3, 4, 5, 6, 7];
    const shuffled = Prng.fromSeed(5).shuffle(items);
    expect([...shuffled].sort((a, b) => a - b)).toEqual(items);
    expect(shuffled).not.toEqual(items);
  });

  it('refuses what it cannot do', () => {
    const prng = Prng.fromSeed(6);
    expect(() => prng.below(0)).toThrow('bad bound');
    expect(() => prng.between(2, 1)).toThrow('bad range');
    expect(() => prng.pick([])).toThrow('nothing to pick');
    expect(() => Prng.fromSeed(-1)).toThrow('a seed is');
  });
});
