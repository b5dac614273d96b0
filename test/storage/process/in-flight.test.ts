import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InFlight } from '../../../storage/process/core/in-flight.ts';

interface Thing {
  readonly number: number;
}

describe('what is under way', () => {
  it('is found, counted and taken out as in a Map, whatever stays behind', () => {
    // Each step sends one and answers some of those under way, by their age; a few are never answered.
    const steps = fc.array(fc.array(fc.nat(2_000), { maxLength: 3 }), { minLength: 1, maxLength: 1_500 });
    fc.assert(
      fc.property(steps, fc.boolean(), (answered, stays) => {
        const table = new InFlight<Thing>();
        const model = new Map<number, Thing>();
        for (const [number, ages] of answered.entries()) {
          const thing = { number };
          table.set(number, thing);
          model.set(number, thing);
          for (const age of ages) {
            const other = number - age;
            if (stays && other % 7 === 0) continue;
            expect(table.take(other)).toBe(model.get(other));
            model.delete(other);
          }
          expect(table.size).toBe(model.size);
          expect(table.get(number)).toBe(model.get(number));
        }
        const byNumber = (a: Thing, b: Thing): number => a.number - b.number;
        expect([...table].sort(byNumber)).toEqual([...model.values()].sort(byNumber));
        expect(new Map(table.drain())).toEqual(model);
        expect([table.size, [...table]]).toEqual([0, []]);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps one that lasts while a hundred thousand pass by', () => {
    const table = new InFlight<Thing>();
    const first = { number: 0 };
    table.set(0, first);
    for (let number = 1; number <= 100_000; number++) {
      table.set(number, { number });
      expect(table.take(number)?.number).toBe(number);
    }
    expect([table.get(0), table.size]).toEqual([first, 1]);
  });
});
