import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseGate } from '../../../gateway/reign/core/gate.ts';
import { lsn } from '../../../storage/redo/ids.ts';

describe('the response gate', () => {
  it('lets an answer out when the volume is durable at its LSN and the lease is valid, not before (G20)', () => {
    const gate = new ResponseGate<string>(lsn(10));
    gate.hold(lsn(20), 'write', 0);
    expect(gate.release(true)).toEqual([]);
    gate.advance(lsn(19));
    expect(gate.release(true)).toEqual([]);
    gate.advance(lsn(20));
    expect(gate.release(false)).toEqual([]);
    expect(gate.release(true)).toEqual(['write']);
    expect(gate.release(true)).toEqual([]);
  });

  it('lets answers out in the order of their LSNs, and those of one LSN as they came (G21)', () => {
    const arrivals = fc.array(
      fc.record({
        lsn: fc.integer({ min: 1, max: 30 }),
        advanceTo: fc.option(fc.integer({ min: 1, max: 30 })),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(arrivals, (steps) => {
        const gate = new ResponseGate<{ lsn: number; at: number }>(lsn(0));
        let durable = 0;
        let left = 0;
        for (const [at, step] of steps.entries()) {
          gate.hold(lsn(step.lsn), { lsn: step.lsn, at }, at);
          if (step.advanceTo === null) continue;
          durable = Math.max(durable, step.advanceTo);
          gate.advance(lsn(step.advanceTo));
          const out = gate.release(true);
          left += out.length;
          expect(out).toEqual([...out].sort((a, b) => a.lsn - b.lsn || a.at - b.at));
          expect(out.every((answer) => answer.lsn <= durable)).toBe(true);
        }
        expect(gate.size).toBe(steps.length - left);
      }),
    );
  });

  it('gives up what has waited for long enough, and lets out nothing of it afterwards (G22)', () => {
    const gate = new ResponseGate<string>(lsn(10));
    gate.hold(lsn(12), 'b', 100);
    gate.hold(lsn(11), 'a', 300);
    gate.hold(lsn(13), 'c', 301);
    gate.advance(lsn(13));
    expect(gate.giveUp(99)).toEqual([]);
    expect(gate.giveUp(300)).toEqual(['a', 'b']);
    expect(gate.size).toBe(1);
    expect(gate.release(true)).toEqual(['c']);
  });

  it('gives everything up when it is closed, and nothing out afterwards (G22)', () => {
    const gate = new ResponseGate<string>(lsn(10));
    gate.hold(lsn(12), 'b', 0);
    gate.hold(lsn(11), 'a', 0);
    gate.advance(lsn(12));
    expect(gate.close()).toEqual(['a', 'b']);
    expect(gate.release(true)).toEqual([]);
    expect(gate.covers(lsn(1))).toBe(false);
    expect(() => gate.hold(lsn(13), 'c', 0)).toThrow(/G22/);
  });
});
