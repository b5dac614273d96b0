import { describe, expect, it } from 'vitest';
import { seeded } from '../load/workload.ts';
import { Histogram } from './histogram.ts';
import { quantile } from './stats.ts';

const quantiles = [0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1];

function filled(values: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe('the latency histogram', () => {
  const random = seeded(7);
  const shapes: Readonly<Record<string, readonly number[]>> = {
    uniform: Array.from({ length: 20_000 }, () => Math.floor(random() * 5_000)),
    // Over six decades, as latencies with stalls are.
    wide: Array.from({ length: 20_000 }, () => Math.floor(10 ** (6 * random()))),
    // Nearly all in one place and a few far away.
    spiked: Array.from({ length: 20_000 }, (_, at) => (at % 500 === 0 ? 2_000_000 : 130 + (at % 7))),
  };

  for (const [name, values] of Object.entries(shapes)) {
    it(`gives the percentiles of ${name} values to better than 1 %`, () => {
      const histogram = filled(values);
      for (const wanted of quantiles) {
        const exact = quantile(values, wanted) ?? Number.NaN;
        const given = histogram.quantileUs(wanted);
        expect(Math.abs(given - exact)).toBeLessThanOrEqual(Math.max(0.5, exact * 0.01));
      }
    });
  }

  it('keeps small values exactly', () => {
    for (const value of [0, 1, 2, 100, 127, 128, 255]) expect(filled([value]).quantileUs(0.5)).toBe(value);
  });

  it('never gives more than the largest value', () => {
    const histogram = filled([1_000_003]);
    expect(histogram.quantileUs(1)).toBeLessThanOrEqual(1_000_003);
    expect(histogram.maxUs).toBe(1_000_003);
  });

  it('counts what is beyond its range at the end of it', () => {
    const histogram = filled([1e12]);
    expect(histogram.count).toBe(1);
    expect(histogram.maxUs).toBe(2 ** 31 - 1);
  });

  it('is the same after it has travelled, and adds up', () => {
    const [a, b] = [filled([1, 5, 900, 70_000]), filled([3, 3, 1_234_567])];
    const both = Histogram.of([a.data(), b.data()]);
    const direct = filled([1, 5, 900, 70_000, 3, 3, 1_234_567]);
    expect(both.data()).toEqual(direct.data());
    expect(both.count).toBe(7);
  });

  it('gives 0 when it is empty', () => {
    expect(new Histogram().quantileUs(0.99)).toBe(0);
  });
});
