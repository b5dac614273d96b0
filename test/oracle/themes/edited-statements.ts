/**
 * Statements by theme: a schema that is edited as text, through the table that keeps it. Migrations do so where ALTER TABLE does not
 * reach. Pure.
 */
import { amount, bound, type Make, say, varied, word } from './make.ts';

export const editedThemes = ['edited schema'] as const;
export type EditedTheme = (typeof editedThemes)[number];

/**
 * None of them leaves a schema that does not parse, sets a version or tells a row number of the schema: those are everybody's, and
 * other scripts run beside this one.
 */
const edits: Make = varied(
  "UPDATE {main.|}{sqlite_schema|sqlite_master} SET sql = replace(sql, 'n INTEGER', 'n {BLOB|INTEGER CHECK (n < 50)|INTEGER NOT NULL DEFAULT 3}') WHERE name = '{zz_a|zz_n1}'",
  "UPDATE sqlite_schema SET sql = replace(sql, ', n INTEGER', ', extra{| DEFAULT 8}, n INTEGER') WHERE type = 'table' AND name {= 'zz_a'|= 'zz_n1'|IN ('zz_a', 'zz_n1')} AND instr(sql, 'extra') = 0 RETURNING name",
  "UPDATE sqlite_schema SET sql = replace(sql, 'v TEXT', '{w TEXT|v TEXT COLLATE NOCASE|v}') WHERE type = 'table' AND name = 'zz_n1' AND instr(sql, 'w') = 0",
  "UPDATE sqlite_schema SET sql = replace(sql, 'CREATE TABLE', 'CREATE /* said */ TABLE') WHERE type = 'table' AND name {= 'zz_b'|= 'zz_c'}",
  "DELETE FROM {sqlite_schema|sqlite_master} WHERE name = '{zz_v|zz_g}' RETURNING type, name",
  "UPDATE sqlite_schema SET sql = 'CREATE VIEW zz_v AS SELECT id, v FROM zz_a' WHERE name = 'zz_v'",
);

export const byEditedTheme: Readonly<Record<EditedTheme, readonly Make[]>> = {
  'edited schema': [
    say('PRAGMA writable_schema = ON', 'PRAGMA writable_schema = 1'),
    edits,
    edits,
    edits,
    say(
      'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)',
      'CREATE INDEX zz_i ON zz_a (n)',
      'CREATE VIEW zz_v AS SELECT id FROM zz_a',
      'CREATE TEMP TABLE zz_t1 (id INTEGER PRIMARY KEY, v TEXT)',
      'DROP TABLE zz_n1',
      'DROP VIEW zz_v',
      'DROP TRIGGER zz_g',
      'ALTER TABLE zz_a ADD COLUMN later',
      'ALTER TABLE zz_n1 RENAME TO zz_n2',
      'PRAGMA writable_schema = OFF',
      'PRAGMA writable_schema = RESET',
      'PRAGMA writable_schema',
    ),
    say(
      'BEGIN',
      'BEGIN IMMEDIATE',
      'COMMIT',
      'ROLLBACK',
      'SAVEPOINT zz_s',
      'ROLLBACK TO zz_s',
      'RELEASE zz_s',
    ),
    say(
      'SELECT * FROM zz_a ORDER BY 1',
      'SELECT * FROM zz_b ORDER BY 1',
      'SELECT * FROM zz_n1 ORDER BY 1',
      'SELECT * FROM zz_v ORDER BY 1',
      'SELECT * FROM zz_t1 ORDER BY 1',
      "SELECT type, name, sql FROM sqlite_schema WHERE instr(name, 'zz_') = 1 ORDER BY name",
      'PRAGMA table_info(zz_a)',
      'SELECT extra FROM zz_a',
      'PRAGMA foreign_key_check',
      'SELECT what, x FROM zz_log ORDER BY seq',
    ),
    bound('INSERT INTO zz_a (v, n) VALUES (?, ?)', word, amount),
    bound('INSERT INTO zz_n1 (v, n) VALUES (?, ?) RETURNING *', word, amount),
    say(
      'UPDATE zz_a SET n = n + 40 WHERE id > 1 RETURNING n',
      'DELETE FROM zz_n1',
      "INSERT INTO zz_t1 (v) VALUES ('here')",
    ),
  ],
};
