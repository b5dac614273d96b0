import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ResponseGate } from '../../../gateway/reign/core/gate.ts';
import { type Lsn, lsn } from '../../../storage/redo/ids.ts';

/** As without an RPO: what is durable is free. */
function advance(gate: ResponseGate<unknown>, vdl: Lsn): void {
  gate.advance(vdl);
  gate.permit(vdl);
}

describe('the response gate', () => {
  it('lets an answer out when the volume is durable at its LSN and the lease is valid, not before (G20)', () => {
    const gate = new ResponseGate<string>(lsn(10), lsn(10));
    gate.hold(lsn(20), 'write');
    expect(gate.release(true)).toEqual([]);
    advance(gate, lsn(19));
    expect(gate.release(true)).toEqual([]);
    advance(gate, lsn(20));
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
        const gate = new ResponseGate<{ lsn: number; at: number }>(lsn(0), lsn(0));
        let durable = 0;
        let left = 0;
        for (const [at, step] of steps.entries()) {
          gate.hold(lsn(step.lsn), { lsn: step.lsn, at });
          if (step.advanceTo === null) continue;
          durable = Math.max(durable, step.advanceTo);
          advance(gate, lsn(step.advanceTo));
          const out = gate.release(true);
          left += out.length;
          expect(out).toEqual([...out].sort((a, b) => a.lsn - b.lsn || a.at - b.at));
          expect(out.every((answer) => answer.lsn <= durable)).toBe(true);
        }
        expect(gate.size).toBe(steps.length - left);
      }),
    );
  });

  it('gives up what is asked for, and lets out nothing of it afterwards (G22)', () => {
    const gate = new ResponseGate<string>(lsn(10), lsn(10));
    gate.hold(lsn(12), 'b');
    gate.hold(lsn(11), 'a');
    gate.hold(lsn(13), 'c');
    advance(gate, lsn(12));
    const waits: string[] = [];
    const which = (item: string, waitsFor: string): boolean => {
      waits.push(`${item} ${waitsFor}`);
      return item !== 'c';
    };
    expect(gate.giveUp(which)).toEqual(['a', 'b']);
    expect(waits).toEqual(['a lease', 'b lease', 'c durability']);
    expect(gate.size).toBe(1);
    advance(gate, lsn(13));
    expect(gate.release(true)).toEqual(['c']);
  });

  it('under an RPO holds what is durable here until it is permitted, and gives that up alone (G36)', () => {
    const gate = new ResponseGate<string>(lsn(10), lsn(4));
    expect([gate.covers(lsn(4)), gate.covers(lsn(5))]).toEqual([true, false]);
    for (const at of [5, 12, 20, 30]) gate.hold(lsn(at), `${at}`);
    gate.advance(lsn(20));
    expect(gate.release(true)).toEqual([]);
    expect(gate.heldBack).toBe(3);
    gate.permit(lsn(15));
    expect(gate.release(true)).toEqual(['5', '12']);
    // What was within the RPO once may leave later, too.
    gate.permit(lsn(1));
    expect([gate.free, gate.heldBack]).toEqual([15, 1]);
    expect(gate.giveUp(() => false)).toEqual([]);
    expect(gate.giveUp((_, waitsFor) => waitsFor === 'regions')).toEqual(['20']);
    gate.permit(lsn(1_000));
    expect([gate.free, gate.size]).toEqual([20, 1]);
    gate.advance(lsn(30));
    gate.permit(lsn(1_000));
    expect(gate.release(true)).toEqual(['30']);
  });

  it('gives everything up when it is closed, and nothing out afterwards (G22)', () => {
    const gate = new ResponseGate<string>(lsn(10), lsn(10));
    gate.hold(lsn(12), 'b');
    gate.hold(lsn(11), 'a');
    advance(gate, lsn(12));
    expect(gate.close()).toEqual(['a', 'b']);
    expect(gate.release(true)).toEqual([]);
    expect(gate.covers(lsn(1))).toBe(false);
    expect(() => gate.hold(lsn(13), 'c')).toThrow(/G22/);
  });
});
