import { describe, expect, it } from 'vitest';
import { readTravel, travels, travelWish } from '../../../gateway/travel/core/travel-words.ts';

const statement = (sql: string) => ({ sql, args: [], namedArgs: [], wantRows: true });
const batch = (...texts: string[]) =>
  ({ kind: 'batch', steps: texts.map((sql) => ({ condition: null, statement: statement(sql) })) }) as const;

describe('PRAGMA sextant_at', () => {
  it.each([
    ["PRAGMA sextant_at = '4711'", { kind: 'to', place: { kind: 'lsn', lsn: 4711 } }],
    ['pragma Sextant_At=4711;', { kind: 'to', place: { kind: 'lsn', lsn: 4711 } }],
    ["-- then\n PRAGMA sextant_at('7:4711')", { kind: 'to', place: { kind: 'path', epoch: 7, lsn: 4711 } }],
    ['PRAGMA /* x */ sextant_at = "7:0"', { kind: 'to', place: { kind: 'path', epoch: 7, lsn: 0 } }],
    [
      "PRAGMA sextant_at = '2026-11-29T12:00:00.5Z'",
      { kind: 'to', place: { kind: 'time', us: 1_795_953_600_500_000 } },
    ],
    ["PRAGMA sextant_at = 'NOW'", { kind: 'now' }],
    ['PRAGMA sextant_at', { kind: 'ask' }],
    ["SELECT 'sextant_at'", null],
    ['SELECT 1', null],
  ])('%s', (sql, wish) => {
    expect(travelWish(sql)).toEqual(wish);
  });

  it.each([
    "PRAGMA sextant_at = 'yesterday'",
    "PRAGMA sextant_at = '2026-11-29T12:00:00'",
    "PRAGMA sextant_at = '9007199254740993'",
    "PRAGMA sextant_at = '4294967296:1'",
    "PRAGMA sextant_at = 'a' OR 1",
  ])('%s is told what it takes', (sql) => {
    expect(travelWish(sql)).toMatchObject({ kind: 'bad', error: { code: 'SQLITE_ERROR' } });
    expect(JSON.stringify(travelWish(sql))).toContain('EPOCH:LSN');
  });

  it('stands first in a batch, behind a BEGIN at most, and once', () => {
    const set = "PRAGMA sextant_at = '5'";
    expect(readTravel(batch(set, 'SELECT 1'))).toMatchObject({ kind: 'travel' });
    expect(readTravel(batch('BEGIN TRANSACTION READONLY', set, 'SELECT 1', 'COMMIT'))).toMatchObject({
      kind: 'travel',
    });
    expect(readTravel(batch('SELECT 1', 'PRAGMA sextant_at'))).toMatchObject({ kind: 'travel' });
    for (const wrong of [batch('SELECT 1', set), batch(set, 'SELECT 1', set)])
      expect(readTravel(wrong)).toMatchObject({
        kind: 'refused',
        error: { code: 'SEXTANT_POINT_UNAVAILABLE' },
      });
    expect(readTravel({ kind: 'sequence', sql: `SELECT 1; ${set}` })).toMatchObject({ kind: 'refused' });
    expect(readTravel({ kind: 'sequence', sql: "INSERT INTO t VALUES ('sextant_at')" })).toEqual({
      kind: 'stay',
    });
    expect(travels(batch('SELECT 1', 'SELECT 2'))).toBe(false);
  });

  it('is answered in its place of the batch by a statement that says where the stream reads', () => {
    const reading = readTravel(batch("PRAGMA sextant_at = '5'", 'SELECT 1'));
    if (reading.kind !== 'travel' || reading.rest === null) throw new Error(reading.kind);
    expect(reading.rest('3:5')).toMatchObject({
      steps: [
        { statement: { sql: 'SELECT ? AS sextant_at', args: ['3:5'] } },
        { statement: { sql: 'SELECT 1' } },
      ],
    });
  });
});
