import { expect, test } from 'vitest';
import { bucketsOf, quantileBetween } from './buckets.ts';

const page = (one: number, two: number, all: number): string =>
  ['0.1', '0.2', '+Inf']
    .map((le, at) => `lag_bucket{target="b",le="${le}"} ${[one, two, all][at]}`)
    .concat([
      'lag_bucket{target="c",le="0.1"} 5',
      'lag_bucket{target="c",le="0.2"} 5',
      'lag_bucket{target="c",le="+Inf"} 5',
    ])
    .join('\n');

test('a quantile of a Prometheus histogram is of what came between two looks, over all its series', () => {
  const [before, after] = [bucketsOf(page(10, 10, 10), 'lag'), bucketsOf(page(10, 110, 110), 'lag')];
  expect(before.get(0.1)).toBe(15);
  expect(quantileBetween(before, after, 0.5)).toBeCloseTo(0.15);
  expect(quantileBetween(before, before, 0.5)).toBeNull();
  expect(quantileBetween(before, bucketsOf(page(10, 10, 30), 'lag'), 0.99)).toBe(0.2);
});
