import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextOnGrid, TickGrid } from '../../../storage/process/core/tick-grid.ts';
import { everyOnGrid } from '../../../storage/process/ticker.ts';

/** Runs the grid as a timer would, each wake-up late by what `lateMs` says. @returns the moments of the wake-ups. */
function drive(grid: TickGrid, fromMs: number, untilMs: number, lateMs: () => number): readonly number[] {
  const wakes: number[] = [];
  let nowMs = fromMs;
  for (;;) {
    const { dueMs } = grid;
    if (dueMs === null) return wakes;
    nowMs = Math.max(nowMs, dueMs) + lateMs();
    if (nowMs > untilMs) return wakes;
    wakes.push(nowMs);
    for (const job of grid.take(nowMs)) if (grid.has(job)) job.run();
  }
}

describe('what a process does again and again', () => {
  it('is due together: jobs of 50, 100 and 250 ms wake the process as often as that of 50 ms alone', () => {
    const grid = new TickGrid();
    const runs = new Map<number, number>();
    for (const [at, periodMs] of [50, 50, 100, 250, 250, 500].entries())
      grid.add(7 * at, periodMs, () => runs.set(periodMs, (runs.get(periodMs) ?? 0) + 1));
    const wakes = drive(grid, 35, 10_000, () => 0);
    expect(wakes.length).toBe(200);
    expect([...runs].sort(([a], [b]) => a - b)).toEqual([
      [50, 2 * 200],
      [100, 100],
      [250, 2 * 40],
      [500, 20],
    ]);
  });

  it('a job waits for half a period to one and a half, and keeps its pace however late wake-ups are', () => {
    const late = fc.integer({ min: 0, max: 400 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10_000 }),
        fc.constantFrom(2, 10, 50, 100, 250, 1_000),
        fc.array(late, { minLength: 200, maxLength: 200 }),
        (beginMs, periodMs, lates) => {
          const grid = new TickGrid();
          const at: number[] = [];
          let nowMs = beginMs;
          grid.add(beginMs, periodMs, () => at.push(nowMs));
          for (const lateMs of lates) {
            nowMs = Math.max(nowMs, grid.dueMs ?? Number.NaN) + lateMs;
            for (const job of grid.take(nowMs)) job.run();
          }
          const first = at[0] ?? Number.NaN;
          expect(first - beginMs).toBeGreaterThanOrEqual(periodMs / 2 - 1);
          expect(first - beginMs).toBeLessThanOrEqual(1.5 * periodMs + (lates[0] ?? 0));
          // Each wake-up runs it, once.
          expect(at).toHaveLength(lates.length);
          for (const [index, moment] of at.entries()) {
            const before = at[index - 1];
            if (before !== undefined) expect(moment - before).toBeGreaterThanOrEqual(periodMs / 2 - 1);
          }
          const last = at.at(-1) ?? 0;
          expect((grid.dueMs ?? 0) - last).toBeLessThanOrEqual(1.5 * periodMs);
        },
      ),
    );
  });

  it('a timer that fires a moment before the point of the grid counts for it, once', () => {
    const grid = new TickGrid();
    let runs = 0;
    grid.add(0, 50, () => runs++);
    for (const job of grid.take(49.3)) job.run();
    for (const job of grid.take(50.1)) job.run();
    expect(runs).toBe(1);
    expect(grid.dueMs).toBe(100);
    expect(nextOnGrid(49.3, 50)).toBe(100);
  });

  it('a job that another one removed does not run any more, and one that it added waits', () => {
    const grid = new TickGrid();
    const ran: string[] = [];
    grid.add(0, 50, () => {
      ran.push('first');
      grid.remove(second);
      grid.add(50, 50, () => ran.push('new'));
    });
    const second = grid.add(0, 50, () => ran.push('second'));
    drive(grid, 0, 50, () => 0);
    expect(ran).toEqual(['first']);
    drive(grid, 50, 100, () => 0);
    expect(ran).toEqual(['first', 'first', 'new']);
  });

  it('nothing is due once every job is removed', () => {
    const grid = new TickGrid();
    const job = grid.add(0, 50, () => undefined);
    grid.remove(job);
    grid.remove(job);
    expect([grid.dueMs, grid.has(job), grid.take(1_000)]).toEqual([null, false, []]);
  });

  it('on the machine: jobs run about as often as they ask for, and no more once stopped', async () => {
    let quick = 0;
    let slow = 0;
    const stops = [everyOnGrid(20, () => quick++, true), everyOnGrid(100, () => slow++, false)];
    const fromMs = performance.now();
    while (slow < 4) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const stop of stops) stop();
    const tookMs = performance.now() - fromMs;
    expect(tookMs).toBeGreaterThan(3 * 50);
    expect(quick).toBeGreaterThan(4);
    expect(quick).toBeLessThanOrEqual(tookMs / 10 + 1);
    const counted = [quick, slow];
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect([quick, slow]).toEqual(counted);
  });
});
