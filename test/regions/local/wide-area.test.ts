import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cityRoundTripMs, knownCities } from '../../../regions/local/cables/core/city-round-trips.ts';
import { DelayLine } from '../../../regions/local/cables/core/delay-line.ts';
import { roundTripOf, wideAreaOf } from '../../../regions/local/cables/core/wide-area.ts';

describe('round trips between cities', () => {
  // Average round trips that IBM Cloud published for 17 August to 15 September 2024, between the same cities: Washington and
  // N. Virginia, London, Frankfurt, Sydney, Tokyo, São Paulo.
  const published: readonly (readonly [string, string, number])[] = [
    ['us-east-1', 'eu-west-2', 76],
    ['us-east-1', 'eu-central-1', 91],
    ['us-east-1', 'ap-northeast-1', 166],
    ['us-east-1', 'ap-southeast-2', 215],
    ['us-east-1', 'sa-east-1', 119],
    ['eu-west-2', 'eu-central-1', 13],
    ['eu-west-2', 'ap-northeast-1', 243],
    ['eu-west-2', 'ap-southeast-2', 261],
    ['eu-west-2', 'sa-east-1', 187],
    ['eu-central-1', 'sa-east-1', 198],
    ['ap-southeast-2', 'ap-northeast-1', 115],
    ['ap-northeast-1', 'sa-east-1', 284],
  ];
  for (const [a, b, ms] of published) {
    test(`${a} to ${b} is within a sixth of what was measured, ${ms} ms`, () => {
      expect(Math.abs((cityRoundTripMs(a, b) ?? 0) - ms)).toBeLessThanOrEqual(ms / 6);
    });
  }

  test('are the same both ways, between any two known names, and never longer than by way of a third', () => {
    const matrix = knownCities.map((a) => knownCities.map((b) => cityRoundTripMs(a, b) ?? Number.NaN));
    for (const [a, row] of matrix.entries()) {
      for (const [b, ms] of row.entries()) {
        expect(ms).toBe(matrix[b]?.[a]);
        if (a === b) {
          expect(ms).toBe(0);
          continue;
        }
        expect(ms).toBeGreaterThan(2);
        expect(ms).toBeLessThan(400);
        const detours = row.map((half, c) => half + (matrix[c]?.[b] ?? 0));
        expect(ms).toBeLessThanOrEqual(Math.min(...detours));
      }
    }
  });

  test('are unknown of a name without a place', () => {
    expect(cityRoundTripMs('us-east-1', 'mars')).toBeNull();
    expect(cityRoundTripMs('mars', 'mars')).toBeNull();
    expect(knownCities).not.toContain('suez');
  });
});

describe('the distances of a deployment', () => {
  test('are those of the cities its regions are named after, each pair once', () => {
    expect(wideAreaOf(['us-east-1', 'eu-west-1', 'ap-northeast-1'], { kind: 'cities' }, true)).toEqual({
      kind: 'known',
      pairs: [
        { a: 'us-east-1', b: 'eu-west-1', rttMs: 76 },
        { a: 'us-east-1', b: 'ap-northeast-1', rttMs: 157 },
        { a: 'eu-west-1', b: 'ap-northeast-1', rttMs: 228 },
      ],
    });
  });

  test('are one figure where that was asked, whatever the names', () => {
    const area = wideAreaOf(['a', 'b', 'c'], { kind: 'equal', rttMs: 80 }, true);
    expect(area.kind === 'known' && area.pairs.map(({ rttMs }) => rttMs)).toEqual([80, 80, 80]);
    expect(wideAreaOf(['a'], undefined, true)).toEqual({ kind: 'known', pairs: [] });
  });

  const refusals = [
    [
      'of a name without a place',
      ['us-east-1', 'mars'],
      { kind: 'cities' },
      true,
      /no place for mars.*--wan-rtt-ms/,
    ],
    ['of a single region', ['us-east-1'], { kind: 'cities' }, true, /two or more/],
    ['between servers of somebody else', ['us-east-1', 'eu-west-1'], { kind: 'cities' }, false, /--nats/],
    ['of no number', ['a', 'b'], { kind: 'equal', rttMs: Number.NaN }, true, /from 0 to 10000/],
    ['below nothing', ['a', 'b'], { kind: 'equal', rttMs: -1 }, true, /from 0 to 10000/],
    ['beyond reason', ['a', 'b'], { kind: 'equal', rttMs: 10_001 }, true, /from 0 to 10000/],
  ] as const;
  for (const [name, regions, distances, isOurs, why] of refusals) {
    test(`are refused ${name}, with the way out`, () => {
      expect(wideAreaOf(regions, distances, isOurs)).toMatchObject({
        kind: 'refused',
        reason: expect.stringMatching(why),
      });
    });
  }

  test('put the witness of two regions halfway between them', () => {
    const pairs = [{ a: 'a', b: 'b', rttMs: 80 }];
    expect([roundTripOf(pairs, 'b', 'a'), roundTripOf(pairs, 'witness', 'a')]).toEqual([80, 40]);
    expect([roundTripOf(pairs, 'b', 'witness'), roundTripOf([], 'a', 'witness')]).toEqual([40, 0]);
  });
});

describe('a delay line', () => {
  const bytes = (value: number) => new Uint8Array([value]);

  test('gives out what went in after its delay, and not before', () => {
    const line = new DelayLine(40);
    line.push(bytes(1), 1_000);
    line.push(bytes(2), 1_010);
    expect([line.take(1_039), line.nextMs, line.heldBytes]).toEqual([null, 1_040, 2]);
    expect(line.take(1_045)).toEqual(bytes(1));
    expect([line.take(1_045), line.nextMs, line.heldBytes]).toEqual([null, 1_050, 1]);
    expect([line.take(1_050), line.nextMs, line.heldBytes]).toEqual([bytes(2), null, 0]);
  });

  test('lets nothing overtake what is under way when it becomes shorter', () => {
    const line = new DelayLine(500);
    line.push(bytes(1), 0);
    line.delayMs = 10;
    line.push(bytes(2), 100);
    expect(line.take(499)).toBeNull();
    expect([line.take(500), line.take(500)]).toEqual([bytes(1), bytes(2)]);
    line.push(bytes(3), 600);
    expect(line.nextMs).toBe(610);
  });

  test('loses nothing and keeps the order, whatever the delays', () => {
    const step = fc.record({
      delayMs: fc.integer({ min: 0, max: 50 }),
      passMs: fc.integer({ min: 0, max: 30 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 700 }), (steps) => {
        const line = new DelayLine(0);
        const out: number[] = [];
        let nowMs = 0;
        const drain = () => {
          for (let next = line.take(nowMs); next !== null; next = line.take(nowMs))
            out.push((next[0] ?? 0) + 256 * (next[1] ?? 0));
        };
        for (const [index, { delayMs, passMs }] of steps.entries()) {
          line.delayMs = delayMs;
          line.push(new Uint8Array([index % 256, Math.floor(index / 256)]), nowMs);
          expect(line.nextMs).toBeLessThanOrEqual(nowMs + 50);
          nowMs += passMs;
          drain();
        }
        nowMs += 50;
        drain();
        expect(out).toEqual(steps.map((_, index) => index));
        expect([line.heldBytes, line.nextMs]).toEqual([0, null]);
      }),
    );
  });
});
