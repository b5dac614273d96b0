/** Values as the literals that SQLite writes of them. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { compareValues, literalSql, plainOf, readLiteral } from '../../../regions/compare/core/literal.ts';
import { dumpValue } from '../../../regions/transfer/core/dump-value.ts';

/** SQL of values, in the order of SQLite's storage classes. */
const ordered = [
  'NULL',
  '-9e999',
  '(-9223372036854775807-1)',
  '-1.5',
  '0',
  '0.1',
  '1e-300+1',
  '9007199254740993',
  '9007199254740994.0',
  '9223372036854775807',
  '9e999',
  "''",
  "char(0)||'x'",
  "'-- it''s'",
  "'A'",
  "'a'",
  "CAST(X'C3' AS TEXT)",
  "'é'||char(10)",
  "'😀'",
  "CAST(X'FF41' AS TEXT)",
  "X''",
  "X'00FF'",
];

const db = new DatabaseSync(':memory:');
const literalOf = (sql: string): string =>
  String(db.prepare(`SELECT ${literalSql('x')} v FROM (SELECT ${sql} x)`).get()?.v);

describe('a literal', () => {
  for (const sql of ordered)
    test(`of ${sql} is read and written again as the same value`, () => {
      const again = dumpValue(readLiteral(literalOf(sql)));
      expect(
        db.prepare(`SELECT typeof(${sql}) IS typeof(${again}) AND ${sql} IS ${again} same`).get(),
      ).toEqual({ same: 1 });
      expect(literalOf(again)).toBe(literalOf(sql));
    });

  test('orders as SQLite does', () => {
    const values = ordered.map((sql) => readLiteral(literalOf(sql)));
    for (const [i, a] of values.entries())
      for (const [j, b] of values.entries())
        expect([ordered[i], ordered[j], Math.sign(compareValues(a, b))]).toEqual([
          ordered[i],
          ordered[j],
          Math.sign(i - j),
        ]);
    const sorted = db.prepare(
      `SELECT i FROM (${ordered.map((sql, i) => `SELECT ${i} i, ${sql} x`).join(' UNION ALL ')}) ORDER BY x COLLATE BINARY`,
    );
    expect(sorted.all().map(({ i }) => i)).toEqual(ordered.map((_, i) => i));
  });

  test('is plain in JSON where JSON can say it, and text where not', () => {
    expect(['NULL', '12', '9007199254740993', '0.5', '9.0e+999', "'it''s'", "X'00ff'"].map(plainOf)).toEqual([
      null,
      12,
      '9007199254740993',
      0.5,
      'Infinity',
      "it's",
      'AP8=',
    ]);
  });

  test('that is none is refused', () => {
    expect(() => readLiteral('random()')).toThrow('no literal of SQL: random()');
  });
});
