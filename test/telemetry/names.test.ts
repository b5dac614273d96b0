import { describe, expect, it } from 'vitest';
import {
  queryText,
  queryTextMax,
  replicateSpanName,
  serverSpanName,
  serviceName,
} from '../../telemetry/index.ts';

describe('names', () => {
  it('of server spans are SQL verbs or sql.execute, whatever a client sends', () => {
    expect(serverSpanName('insert')).toBe('INSERT');
    expect(serverSpanName('SELECT')).toBe('SELECT');
    for (const other of [null, '', 'x'.repeat(1000), 'constructor'])
      expect(serverSpanName(other)).toBe('sql.execute');
  });

  it('separate regions', () => {
    expect(replicateSpanName('us-east-1', 'eu-west-1')).toBe('replicate us-east-1→eu-west-1');
    expect(serviceName('us-east-1')).toBe('sextant-us-east-1');
  });
});

describe('query text', () => {
  it.each([
    [`SELECT * FROM t WHERE a = 'it''s' AND b=42`, 'SELECT * FROM t WHERE a = ? AND b=?'],
    [`insert into t1 values (x'00ff', -1.5e3, .5, 0xFF, NULL)`, 'insert into t1 values (?, -?, ?, ?, NULL)'],
    [
      'SELECT ?1, :name, @p2, $v3, col2 FROM "table 1" -- secret\n, `b 2`, [c 3]',
      'SELECT ?1, :name, @p2, $v3, col2 FROM "table 1" , `b 2`, [c 3]',
    ],
    ['SELECT /* hint 5 */\n\t 1', 'SELECT ?'],
    [`SELECT 'not closed`, 'SELECT ?'],
    [`SELECT 1 /* not closed`, 'SELECT ?'],
    [`SELECT '--', "it's"`, `SELECT ?, "it's"`],
    ['', ''],
  ])('of %s', (sql, expected) => {
    expect(queryText(sql, 'sqlite')).toBe(expected);
    expect(queryText(sql, 'sqlite')).toBe(expected);
  });

  it.each([
    [`SELECT $1, $tag$secret 'x'$tag$, $$more$$, E'it\\'s', U&'x', B'01'`, 'SELECT $1, ?, ?, ?, ?, ?'],
    [
      'SELECT ARRAY[1, 2][1], "Ünïcode 1", größe2 FROM t2',
      'SELECT ARRAY[?, ?][?], "Ünïcode 1", größe2 FROM t2',
    ],
    ['SELECT 1_000, 0x1F::int -- secret', 'SELECT ?, ?::int'],
    [`DO $body$ begin perform 'secret'; end`, 'DO ?'],
  ])('of PostgreSQL, %s', (sql, expected) => {
    expect(queryText(sql, 'postgresql')).toBe(expected);
  });

  it('is capped, and never shows the part of a literal that was cut', () => {
    expect(queryText(`SELECT ${'a, '.repeat(5000)} b`, 'sqlite')).toHaveLength(queryTextMax);
    expect(queryText(`SELECT '${'s'.repeat(20_000)}', 'more'`, 'sqlite')).toBe('SELECT ?');
  });
});
