import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parsePlace } from '../../../regions/place/core/place.ts';
import { timeText } from '../../../regions/place/time-text.ts';

describe('a place in history as people name it', () => {
  it.each([
    ['0', { kind: 'lsn', lsn: 0 }],
    ['4711', { kind: 'lsn', lsn: 4711 }],
    ['7:4711', { kind: 'path', epoch: 7, lsn: 4711 }],
    ['4294967295:0', { kind: 'path', epoch: 4_294_967_295, lsn: 0 }],
    ['1970-01-01Z', { kind: 'time', us: 0 }],
    ['1970-01-01T00:00:00.5+01:00', { kind: 'time', us: -3_599_500_000 }],
  ])('%s', (text, place) => {
    expect(parsePlace(text)).toEqual(place);
  });

  it.each([
    '',
    'now',
    '-1',
    '1.5',
    '9007199254740992',
    '4294967296:1',
    '1:',
    ':1',
    '2026-11-29T12:00:00',
    '2026-02-29Z',
    '2260-01-01Z',
    '2026-13-01Z',
    '2026-11-29T24:01:00Z',
    '2026-11-29T12:60Z',
    '2026-11-29T12:00:00+24:00',
  ])('%j is none', (text) => {
    expect(parsePlace(text)).toBeNull();
  });

  it('is the time that the platform reads there too, and is shown as it was given', () => {
    fc.assert(
      fc.property(fc.integer({ min: -9e12, max: 9e12 }), fc.nat({ max: 999 }), (ms, micros) => {
        const us = ms * 1_000 + micros;
        expect(parsePlace(timeText(us))).toEqual({ kind: 'time', us });
      }),
    );
    fc.assert(
      fc.property(fc.nat({ max: 2.5e9 }), fc.constantFrom('Z', '+05:30', '-1100'), (second, zone) => {
        const text = new Date(second * 1_000).toISOString().slice(0, 19) + zone;
        const platform = Date.parse(zone === '-1100' ? text.replace(zone, '-11:00') : text);
        expect(parsePlace(text)).toEqual({ kind: 'time', us: platform * 1_000 });
      }),
    );
  });
});
