import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionSlots } from '../../../gateway/access/core/connection-slots.ts';

const limits = { connections: 6, healthConnections: 2, unprovenConnectionsPerAddress: 3 };
const health = (bound: string, evicted: number | null = null) => ({ kind: 'health', bound, evicted });

describe('seats of connections', () => {
  it('are bounded for an address that shows nothing, and free again when it shows something or leaves', () => {
    const slots = new ConnectionSlots<number>(limits);
    for (const id of [1, 2, 3]) expect(slots.take(id, 'a')).toEqual({ kind: 'seated' });
    expect(slots.take(4, 'a')).toEqual(health('unprovenConnectionsPerAddress'));
    expect(slots.take(5, 'b')).toEqual({ kind: 'seated' });
    slots.prove(1);
    slots.prove(1);
    expect(slots.take(6, 'a')).toEqual({ kind: 'seated' });
    expect(slots.take(7, 'a')).toEqual(health('unprovenConnectionsPerAddress'));
    slots.leave(2);
    expect(slots.take(8, 'a')).toEqual({ kind: 'seated' });
    expect([slots.boundOf(7), slots.boundOf(8), slots.boundOf(99)]).toEqual([
      'unprovenConnectionsPerAddress',
      null,
      null,
    ]);
  });

  it('beyond all bounds are for health, and the oldest of those gives way', () => {
    const slots = new ConnectionSlots<number>(limits);
    for (const id of [1, 2, 3, 4, 5, 6]) {
      slots.take(id, `address ${id}`);
      slots.prove(id);
    }
    expect(slots.take(7, 'x')).toEqual(health('connections'));
    expect(slots.take(8, 'y')).toEqual(health('connections'));
    expect(slots.take(9, 'z')).toEqual(health('connections', 7));
    slots.leave(7);
    slots.leave(1);
    expect(slots.take(10, 'z')).toEqual({ kind: 'seated' });
    expect(slots.size).toBe(8);
  });

  it('never are more than the bounds allow, whatever comes and goes (G44)', () => {
    const step = fc.record({
      act: fc.constantFrom('take', 'prove', 'leave'),
      id: fc.nat({ max: 40 }),
      address: fc.constantFrom('a', 'b', 'c'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const slots = new ConnectionSlots<number>(limits);
        const open = new Map<number, { address: string; health: boolean; proven: boolean }>();
        for (const { act, id, address } of steps) {
          if (act === 'take' && !open.has(id)) {
            const seating = slots.take(id, address);
            if (seating.kind === 'health' && seating.evicted !== null) open.delete(seating.evicted);
            open.set(id, { address, health: seating.kind === 'health', proven: false });
          } else if (act === 'prove') {
            slots.prove(id);
            const known = open.get(id);
            if (known !== undefined) known.proven = true;
          } else if (act === 'leave') {
            slots.leave(id);
            open.delete(id);
          }
          const all = [...open.values()];
          expect(slots.size).toBe(all.length);
          expect(all.filter((seat) => seat.health).length).toBeLessThanOrEqual(limits.healthConnections);
          expect(all.filter((seat) => !seat.health).length).toBeLessThanOrEqual(limits.connections);
          for (const name of ['a', 'b', 'c']) {
            const unproven = all.filter((seat) => !seat.health && !seat.proven && seat.address === name);
            expect(unproven.length).toBeLessThanOrEqual(limits.unprovenConnectionsPerAddress);
          }
        }
      }),
    );
  });
});
