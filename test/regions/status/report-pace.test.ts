import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Report } from '../../../regions/status/core/report.ts';
import { reportLimits } from '../../../regions/status/core/report-limits.ts';
import { ReportPace, toldLevelMs } from '../../../regions/status/core/report-pace.ts';
import { ReportReader } from '../../../regions/status/core/report-reader.ts';

const { reportMs, restingMs, exactLevelMs, levelStepMs } = reportLimits;

function gateway(vdl: number): Report {
  return {
    kind: 'gateway',
    v: 1,
    region: 'us-east-1',
    gateway: 'g1',
    address: '127.0.0.1:7011',
    pid: 1,
    phase: 'reading',
    epoch: null,
    ready: true,
    vdl,
  };
}

function region(vdl: number, sentAtMs: number): Report {
  return {
    kind: 'region',
    v: 1,
    region: 'us-east-1',
    agent: '127.0.0.1:7010',
    gateway: null,
    epoch: 1,
    vdl,
    following: false,
    primaryVdl: null,
    nodes: [],
    lag: [],
    lossEpochs: [],
    sentAtMs,
  };
}

describe('when a report leaves', () => {
  it('one that says something new leaves at once, one that does not at rest pace', () => {
    const pace = new ReportPace();
    const left: number[] = [];
    for (let nowMs = 0; nowMs < 2_500; nowMs += reportMs)
      if (pace.next(gateway(nowMs === 750 ? 9 : 1), nowMs) !== null) left.push(nowMs);
    expect(left).toEqual([0, 750, 1_000, 2_000]);
  });

  it('silence is never longer than the pace at rest, however looks are early or late by half a period', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 50 }), (offs) => {
        const pace = new ReportPace();
        let saidAtMs = 0;
        for (const [at, off] of offs.entries()) {
          const nowMs = at * reportMs + off;
          if (pace.next(region(1, 0), nowMs) !== null) saidAtMs = nowMs;
          expect(nowMs - saidAtMs).toBeLessThan(restingMs.region);
        }
      }),
    );
  });

  it('what is said again is the same to the letter, whenever it is sent', () => {
    const pace = new ReportPace();
    const first = pace.next(region(1, 1_000), 0);
    expect(first).not.toBeNull();
    expect(pace.next(region(1, 1_500), restingMs.region)).toBe(first);
    expect(pace.next(region(2, 1_600), restingMs.region + 1)).not.toBe(first);
  });

  it('somebody who comes is told at the next look', () => {
    const pace = new ReportPace();
    const text = pace.next(gateway(1), 0);
    expect(pace.next(gateway(1), reportMs)).toBeNull();
    pace.greet();
    expect(pace.next(gateway(1), reportMs)).toBe(text);
    expect(pace.next(gateway(1), 2 * reportMs)).toBeNull();
  });

  it('the time since a region was level is never told too short, and told exactly once it may bound a loss', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 60_000, noNaN: true }), (levelMs) => {
        const told = toldLevelMs(levelMs);
        expect(told).toBeGreaterThanOrEqual(levelMs > exactLevelMs ? Math.round(levelMs) : levelMs);
        expect(told).toBeLessThanOrEqual(
          levelMs > exactLevelMs ? Math.round(levelMs) : levelMs + levelStepMs,
        );
      }),
    );
    expect([0, 130, levelStepMs, levelStepMs + 1, exactLevelMs].map(toldLevelMs)).toEqual([
      levelStepMs,
      levelStepMs,
      levelStepMs,
      2 * levelStepMs,
      exactLevelMs,
    ]);
  });
});

describe('reading reports', () => {
  it('the same text is the same report, and what is none is none again', () => {
    const reader = new ReportReader();
    const text = JSON.stringify(gateway(1));
    const report = reader.read(text);
    expect(report).toEqual(gateway(1));
    expect(reader.read(text)).toBe(report);
    expect(reader.read('{"kind":"gateway"}')).toBeNull();
    expect(reader.read('{"kind":"gateway"}')).toBeNull();
  });

  it('remembers the newest, however many there were', () => {
    const reader = new ReportReader();
    const first = reader.read(JSON.stringify(gateway(0)));
    for (let vdl = 1; vdl <= 64; vdl++) reader.read(JSON.stringify(gateway(vdl)));
    const again = reader.read(JSON.stringify(gateway(0)));
    expect(again).toEqual(first);
    expect(again).not.toBe(first);
    expect(reader.read(JSON.stringify(gateway(64)))).toBe(reader.read(JSON.stringify(gateway(64))));
  });
});
