import { expect, test } from 'vitest';
import { AppendTimes, isFarSlower, slowLimits } from '../../../storage/quorum/core/append-times.ts';

const six = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'];

/** A region for some time: each node acknowledges ten times a second. */
function run(times: AppendTimes, fromMs: number, forMs: number, tookMs: (node: string) => number) {
  let last = times.look(six, fromMs);
  for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs += 100) {
    for (const node of six) times.acked(node, tookMs(node), nowMs);
    if (nowMs % 1_000 === 0) last = times.look(six, nowMs);
  }
  return last;
}

test('percentiles are those of the last acknowledgements of each node', () => {
  const times = new AppendTimes();
  for (let ms = 1; ms <= 100; ms++) times.acked('n1', ms, 0);
  expect(times.look(['n1', 'n2'], 1)).toEqual([{ node: 'n1', p50Ms: 51, p99Ms: 100, slowMs: 0 }]);
  expect(times.look(['n1'], slowLimits.windowMs)).toEqual([]);
});

test('S31: a node far slower than the others is slow for as long as it is, and no longer', () => {
  const times = new AppendTimes();
  const slow = run(times, 0, 100_000, (node) => (node === 'n3' ? 90 : 2));
  expect(slow.filter(({ slowMs }) => slowMs >= slowLimits.afterMs).map(({ node }) => node)).toEqual(['n3']);
  const well = run(times, 100_000, 70_000, () => 2);
  expect(well.every(({ slowMs }) => slowMs === 0)).toBe(true);
});

test('S31: where all are slow, or the difference is small, none is', () => {
  const slowOnes = (tookMs: (node: string) => number) =>
    run(new AppendTimes(), 0, 100_000, tookMs).filter(({ slowMs }) => slowMs > 0);
  expect(slowOnes(() => 400)).toEqual([]);
  expect(slowOnes((node) => (node === 'n3' ? 19 : 1))).toEqual([]);
  expect(slowOnes((node) => (node === 'n3' ? 300 : 100))).toEqual([]);
});

test('a node that is gone is forgotten', () => {
  const times = new AppendTimes();
  run(times, 0, 10_000, (node) => (node === 'n3' ? 90 : 2));
  expect(times.look(['n1', 'n2'], 10_000).map(({ node }) => node)).toEqual(['n1', 'n2']);
  expect(times.look(six, 10_000).map(({ node }) => node)).toEqual(['n1', 'n2']);
});

test.each([
  [90, [2, 2, 2, 2, 2], true],
  [90, [30, 30, 30, 30, 30], false],
  [90, [2, 2], false],
  [90, [2, 2, 2, 80, 80], true],
])('a median of %d ms beside %j stands out: %s', (p50Ms, others, expected) => {
  expect(isFarSlower(p50Ms, others)).toBe(expected);
});
