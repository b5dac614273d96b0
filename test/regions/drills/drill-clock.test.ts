import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { DrillClock } from '../../../regions/drills/core/drill-clock.ts';
import { drillClock } from '../../../regions/drills/load/machine-clock.ts';

/** A machine whose wall clock is `aheadMs` ahead of the monotonic one, and tells whole milliseconds. */
class Machine {
  nowMs = 5_000.4;
  aheadMs = 1_800_000_000_000.3;
  readonly clock = new DrillClock({
    monotonicMs: () => this.nowMs,
    wallMs: () => Math.floor(this.nowMs + this.aheadMs),
  });
}

describe("a drill's clock", () => {
  it('gives lengths that nobody changes by setting the wall clock', () => {
    const machine = new Machine();
    const began = machine.clock.now();
    machine.nowMs += 1_500;
    machine.aheadMs -= 60_000;
    expect(machine.clock.now() - began).toBe(1_500);
  });

  it('tells its moments by the wall clock as it is when they are told, not as it was when the process began', () => {
    const machine = new Machine();
    const began = machine.clock.now();
    machine.aheadMs += 7_000;
    machine.nowMs += 1_500;
    const toldMs = machine.clock.wallOf(began);
    expect(Math.abs(toldMs - (began + machine.aheadMs))).toBeLessThan(1);
    expect(Math.abs(machine.clock.ofWall(toldMs) - began)).toBeLessThan(0.01);
  });

  it('is told the same in every process of a machine', () => {
    const told = execFileSync(process.execPath, ['-p', 'Number(process.hrtime.bigint()) / 1e6']);
    const afterMs = drillClock.now();
    const thereMs = Number(told.toString());
    expect(thereMs).toBeLessThan(afterMs);
    expect(afterMs - thereMs).toBeLessThan(60_000);
  });
});
