import { describe, expect, it } from 'vitest';
import { checkGoals } from '../check.ts';
import { goalHolds } from '../report/report.ts';
import type { Usage } from './accounting.ts';
import { type Cell, type Round, summarize, total } from './cell.ts';
import { Histogram } from './histogram.ts';

function round(transactions: number, us: number, cpuMs: number): Round {
  const latency = new Histogram();
  for (let at = 0; at < transactions; at++) latency.record(us);
  const usage: Usage = {
    cpuMs,
    residentBytes: 1_000,
    writtenBytes: 200 * transactions,
    readBytes: 0,
    readCalls: 0,
    writeCalls: transactions,
  };
  return {
    perSecond: transactions,
    acknowledged: transactions,
    counters: { redoBytes: 150 },
    result: {
      transactions,
      elapsedMs: 1_000,
      latency: latency.data(),
      errors: 0,
      firstError: null,
      longestGapMs: 1,
      acknowledged: transactions,
      cpuMs: 1,
    },
    usage: {
      roles: { gateway: usage, load: usage },
      machine: { loopbackBytes: 500 * transactions, diskWrites: 0, diskBytes: 0, diskFlushes: 0 },
      sentBytes: null,
    },
  };
}

const cellOf = (rounds: readonly Round[]): Cell => {
  const cell = summarize(rounds);
  if (cell === null) throw new Error('no rounds');
  return cell;
};

describe('a cell of the matrix', () => {
  it('is the median of its rounds, per transaction', () => {
    const cell = cellOf([round(100, 40, 10), round(400, 10, 10), round(200, 20, 10)]);
    expect(cell).toMatchObject({ perSecond: 200, p50Us: 20, rounds: 3, loopbackBytes: 500 });
    expect(cell.cpuUs.gateway).toBe(50);
    expect(cell.writtenBytes.gateway).toBe(200);
    expect(cell.spread).toBeCloseTo(1.5);
    expect(cell.sentBytes).toEqual({});
  });

  it('does not count the generator to the system', () => {
    expect(total({ gateway: 30, storage: 12, load: 100 })).toBe(42);
  });

  it('is nothing without a round', () => {
    expect(summarize([])).toBeNull();
  });
});

describe('the check for continuous integration', () => {
  const figures = (sextantBusy: number, us: number) =>
    checkGoals({
      fdatasyncP50Us: 150,
      baseline: { 1: cellOf([round(1_000, 300, 1)]), 64: cellOf([round(20_000, 3_000, 1)]) },
      sextant: { 1: cellOf([round(800, us, 1)]), 64: cellOf([round(sextantBusy, 8_000, 1)]) },
    });

  it('passes what is in the order of the baseline', () => {
    expect(figures(8_000, 1_200).map(goalHolds)).not.toContain(false);
  });

  it('fails a collapse of throughput, of latency, and a figure that is missing', () => {
    expect(figures(900, 1_200).map(goalHolds)).toContain(false);
    expect(figures(8_000, 40_000).map(goalHolds)).toContain(false);
    const without = checkGoals({ fdatasyncP50Us: 150, baseline: {}, sextant: {} });
    expect(without.map(goalHolds)).toContain(null);
  });
});
