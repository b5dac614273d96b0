import { describe, expect, it } from 'vitest';
import { isForeign, sqliteText } from '../../../gateway/sql/dialect.ts';
import { isReadonlyBegin } from '../../../gateway/sql/statement-facts.ts';

function taken(sql: string, kind: 'statement' | 'script' = 'statement'): string {
  if (!isForeign(sql, kind)) return sql;
  const text = sqliteText(sql);
  return text.ok ? text.value : text.error.message;
}

describe('the words of libSQL that SQLite does not know', () => {
  it('begin a transaction that only reads', () => {
    for (const [sql, text] of [
      ['BEGIN READONLY', 'BEGIN TRANSACTION READONLY'],
      ['begin readonly;', 'BEGIN TRANSACTION readonly;'],
      ['/* a */ Begin /* b */ ReadOnly -- c', '/* a */ BEGIN TRANSACTION ReadOnly -- c'],
      [' ;\n-- x\nBEGIN\nREADONLY', ' ;\n-- x\nBEGIN TRANSACTION READONLY'],
    ] as const) {
      expect(taken(sql), sql).toBe(text);
      expect(isReadonlyBegin(taken(sql).replace(/^[ ;]+/, '')), sql).toBe(true);
    }
  });

  it('are found in the middle of a script, and not in its literals, names, comments and triggers', () => {
    const trigger = 'CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT readonly FROM t; END';
    const kept = [
      "SELECT 'x; BEGIN READONLY'",
      'SELECT "a;""BEGIN READONLY"',
      'SELECT [;BEGIN READONLY], `;BEGIN READONLY`',
      '-- ;BEGIN READONLY\nSELECT 1',
      '/* ;BEGIN READONLY */ SELECT 1',
      'BEGIN READONLYS',
      'BEGIN TRANSACTION READONLY',
      trigger,
      "SELECT 'ALTER TABLE t ALTER COLUMN a TO b'",
      "SELECT 'not closed READONLY",
    ];
    for (const sql of kept) expect(taken(sql, 'script'), sql).toBe(sql);
    expect(taken([...kept.slice(0, 9), 'BEGIN READONLY'].join(';\n'), 'script')).toBe(
      [...kept.slice(0, 9), 'BEGIN TRANSACTION READONLY'].join(';\n'),
    );
  });

  it('are refused where they change a column, with what to do instead', () => {
    for (const sql of [
      'ALTER TABLE users ALTER COLUMN name TO name TEXT NOT NULL',
      'ALTER TABLE `users` ALTER COLUMN "name" TO "name" text DEFAULT 1;',
      'alter table main . [a b] alter /* x */ column x to x int',
      'ALTER TABLE t ALTER c TO c INTEGER',
    ])
      expect(taken(sql), sql).toContain('Build the table again');
    for (const sql of [
      'ALTER TABLE t RENAME COLUMN alter_column TO b',
      'ALTER TABLE t ADD COLUMN c DEFAULT ALTER',
    ])
      expect(taken(sql), sql).toBe(sql);
  });

  it('cost a long script no more than one pass', () => {
    const script = `${"INSERT INTO t VALUES ('readonly ; begin', 1);\n".repeat(20_000)}BEGIN READONLY`;
    expect(taken(script, 'script')).toBe(script.replace('BEGIN READONLY', 'BEGIN TRANSACTION READONLY'));
  });
});
