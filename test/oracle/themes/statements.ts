/** Statements by theme: what a client may do with one stream that leaves something in it. Pure. */
import type { Prng } from '../../simulation/world/prng.ts';
import { byEditedTheme, type EditedTheme, editedThemes } from './edited-statements.ts';
import { amount, bound, key, type Make, odd, say, word } from './make.ts';
import { byMixedTheme, type MixedTheme, mixedThemes } from './mixed-statements.ts';
import { byTableTheme, type TableTheme, tableThemes } from './table-statements.ts';

const streamThemes = [
  'temporary',
  'attached',
  'counters',
  'pragmas',
  'transactions',
  'savepoints',
  'foreign keys',
  'upserts',
  'schema',
  'failures',
  'settings',
  'hidden counters',
  'virtual tables',
  'values',
] as const;
type StreamTheme = (typeof streamThemes)[number];

export const themes = [...streamThemes, ...tableThemes, ...mixedThemes, ...editedThemes] as const;
export type Theme = StreamTheme | TableTheme | MixedTheme | EditedTheme;

/** A table that real, temporary and attached databases have in turn. */
const somewhere = (chance: Prng): string =>
  chance.pick([
    'zz_a',
    'zz_a',
    'zz_a',
    'zz_b',
    'zz_n1',
    'zz_t1',
    'main.zz_a',
    'temp.zz_a',
    'zz_m.zz_a',
    '"zz_a"',
  ]);
const filled =
  (...texts: readonly string[]): Make =>
  (chance) => ({ sql: chance.pick(texts).replaceAll('{t}', () => somewhere(chance)), args: [] });

/** What every script does some of. */
export const plain: readonly Make[] = [
  say(
    'SELECT * FROM zz_a ORDER BY id',
    'SELECT count(*), max(id) FROM zz_b',
    'SELECT * FROM zz_c ORDER BY k',
  ),
  say('SELECT a.v, b.v AS "child" FROM zz_a a LEFT JOIN zz_b b ON b.a = a.id ORDER BY a.id, b.id'),
  bound('INSERT INTO zz_a (v, n) VALUES (?, ?)', word, amount),
  bound('UPDATE zz_a SET n = n + 1 WHERE id <= ?', key),
  bound('DELETE FROM zz_b WHERE id = ? RETURNING id, v', key),
  bound('SELECT v, n, typeof(n) FROM zz_a WHERE id = ?', key),
  say("INSERT INTO zz_a (v) VALUES ('x' || (SELECT count(*) FROM zz_a)) RETURNING *"),
  filled('SELECT count(*) FROM {t}', 'SELECT max(id) FROM {t}'),
];

const byStreamTheme: Readonly<Record<StreamTheme, readonly Make[]>> = {
  temporary: [
    say(
      'CREATE TEMP TABLE zz_a (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)',
      'CREATE TEMPORARY TABLE zz_b (id INTEGER PRIMARY KEY, a, v)',
      'CREATE TABLE temp.zz_t1 (id INTEGER PRIMARY KEY, v TEXT, n)',
      'CREATE TEMP TABLE zz_t1 AS SELECT id, v, n FROM zz_a WHERE id > 1',
      'CREATE TEMP TABLE IF NOT EXISTS zz_t1 (id INTEGER PRIMARY KEY, v TEXT, n)',
      'CREATE /* here */ TEMP TABLE "zz_t1" (id INTEGER PRIMARY KEY, v TEXT, n)',
    ),
    say(
      'CREATE TEMP VIEW zz_tv AS SELECT id, v FROM zz_a WHERE n > 5',
      'CREATE TEMP VIEW zz_a AS SELECT 1 AS id, 2 AS v, 3 AS n',
      'SELECT * FROM zz_tv ORDER BY id',
      'DROP VIEW zz_tv',
    ),
    say(
      "CREATE TEMP TRIGGER zz_tt AFTER INSERT ON zz_a BEGIN INSERT INTO zz_log (what, x) VALUES ('trigger', new.id); END",
      "CREATE TEMP TRIGGER zz_tu BEFORE UPDATE ON main.zz_a BEGIN SELECT raise(ABORT, 'not today'); END",
      'DROP TRIGGER zz_tt',
      'DROP TRIGGER IF EXISTS zz_tu',
    ),
    filled(
      "INSERT INTO {t} (v) VALUES ('new')",
      "UPDATE {t} SET v = v || '!'",
      "UPDATE {t} SET v = 'overwritten' WHERE id = 1",
      'DELETE FROM {t} WHERE id = 2',
      'DELETE FROM {t}',
      'INSERT INTO {t} (id, v) SELECT id + 100, v FROM {t} ORDER BY id LIMIT 2',
      'SELECT id, v FROM {t} ORDER BY id',
      'DELETE FROM {t} WHERE id IN (SELECT id FROM zz_t1)',
      "REPLACE INTO {t} (id, v) VALUES (1, 'replaced')",
      "INSERT INTO {t} (id, v) VALUES (2, 'again') ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING id, v",
    ),
    say('DROP TABLE zz_t1', 'DROP TABLE IF EXISTS temp.zz_a', 'DROP TABLE zz_a', 'DROP TABLE temp.zz_b'),
    say(
      'ALTER TABLE zz_t1 ADD COLUMN extra DEFAULT 9',
      'CREATE INDEX temp.zz_ti ON zz_t1 (v)',
      "SELECT type, name FROM temp.sqlite_schema WHERE instr(name, 'zz_') = 1 ORDER BY name",
      'ALTER TABLE zz_t1 RENAME TO zz_t2',
      'SELECT count(*) FROM zz_t2',
    ),
    say(
      'INSERT INTO zz_log (what, x) SELECT v, id FROM zz_t1 ORDER BY id',
      'SELECT * FROM main.zz_a ORDER BY id',
    ),
  ],
  attached: [
    say(
      "ATTACH ':memory:' AS zz_m",
      "ATTACH DATABASE ':memory:' AS zz_m",
      "ATTACH '' AS zz_m",
      'DETACH zz_m',
      "ATTACH ':memory:' AS zz_m2",
    ),
    say(
      'CREATE TABLE zz_m.zz_a (id INTEGER PRIMARY KEY, v TEXT, n)',
      'CREATE TABLE zz_m.zz_q (id INTEGER PRIMARY KEY, v TEXT, n)',
      'CREATE TABLE zz_m.zz_q AS SELECT id, v, n FROM zz_a',
    ),
    say(
      "INSERT INTO zz_m.zz_a (v) VALUES ('there')",
      'INSERT INTO zz_m.zz_q (v) SELECT v FROM main.zz_a',
      'INSERT INTO zz_a (v) SELECT v || id FROM zz_m.zz_q ORDER BY id',
      "UPDATE zz_q SET v = 'only there'",
      'SELECT id, v FROM zz_m.zz_a ORDER BY id',
      'SELECT id, v FROM zz_q ORDER BY id',
      'DELETE FROM zz_q WHERE id = 1',
      'DROP TABLE zz_q',
      "SELECT name FROM pragma_database_list WHERE instr(name, 'zz_') = 1 ORDER BY seq",
    ),
  ],
  counters: [
    say(
      'SELECT last_insert_rowid(), changes(), total_changes()',
      'SELECT changes()',
      'SELECT last_insert_rowid() AS "id"',
      'SELECT total_changes()',
      'VALUES (last_insert_rowid())',
    ),
    say(
      "INSERT INTO zz_b (a, v) VALUES (last_insert_rowid(), 'child')",
      "INSERT INTO zz_log (what, x, y) VALUES ('counted', changes(), total_changes())",
      "INSERT INTO zz_log (what, x) SELECT 'rowid', last_insert_rowid()",
      'UPDATE zz_a SET n = changes() WHERE id = 1',
      'UPDATE zz_a SET n = LAST_INSERT_ROWID () WHERE id = 2',
      'UPDATE zz_a SET n = "total_changes"() WHERE id = 3',
      'DELETE FROM zz_log WHERE seq = last_insert_rowid()',
      'INSERT INTO zz_a (id, v) VALUES (last_insert_rowid() + 10, total_changes()) RETURNING id, v, changes()',
    ),
    bound('INSERT INTO zz_a (id, v) VALUES (? + 40, ?)', key, word),
    bound('UPDATE zz_a SET n = 1 WHERE id >= ?', key),
    say('DELETE FROM zz_log', "SELECT seq FROM sqlite_sequence WHERE name = 'zz_log'"),
    say(
      "CREATE TRIGGER zz_g AFTER UPDATE ON zz_a BEGIN INSERT INTO zz_log (what, x) VALUES ('g', changes()); END",
    ),
  ],
  pragmas: [
    say(
      'PRAGMA foreign_keys = OFF',
      'PRAGMA foreign_keys = ON',
      'PRAGMA foreign_keys(0)',
      'PRAGMA "foreign_keys" = OFF',
      'PRAGMA main.foreign_keys = off',
      'pragma [foreign_keys] = 1',
      '/* quietly */ PRAGMA foreign_keys = 0',
      'PRAGMA /* in between */ foreign_keys = OFF',
      'PRAGMA `foreign_keys` = yes',
      "PRAGMA foreign_keys = 'off'",
    ),
    say(
      'PRAGMA foreign_keys',
      'PRAGMA recursive_triggers',
      'PRAGMA defer_foreign_keys',
      'PRAGMA ignore_check_constraints',
    ),
    say(
      'PRAGMA recursive_triggers = ON',
      'PRAGMA case_sensitive_like = ON',
      'PRAGMA case_sensitive_like = OFF',
      'PRAGMA defer_foreign_keys = ON',
      'PRAGMA ignore_check_constraints = ON',
      'PRAGMA "ignore_check_constraints" = OFF',
      'PRAGMA query_only = ON',
      'PRAGMA query_only = OFF',
      'PRAGMA reverse_unordered_selects = ON',
      'PRAGMA full_column_names = ON',
      'PRAGMA short_column_names = OFF',
      'PRAGMA legacy_alter_table = ON',
    ),
    say(
      "SELECT 'ABC' LIKE 'abc', (SELECT count(*) FROM zz_a WHERE v LIKE 'ONE')",
      'SELECT id FROM zz_a',
      'SELECT zz_a.id, v FROM zz_a ORDER BY id',
      "INSERT INTO zz_c VALUES ('neg', -5, NULL)",
      'SELECT foreign_keys FROM pragma_foreign_keys',
      'PRAGMA table_info(zz_a)',
      'PRAGMA foreign_key_list(zz_b)',
      'PRAGMA foreign_key_check(zz_b)',
      "SELECT name, type FROM pragma_table_info('zz_c')",
    ),
    bound("INSERT INTO zz_b (a, v) VALUES (? + 50, 'orphan')", key),
    bound('DELETE FROM zz_a WHERE id = ?', key),
  ],
  transactions: [
    say(
      'BEGIN',
      'BEGIN IMMEDIATE',
      'BEGIN DEFERRED',
      'BEGIN EXCLUSIVE',
      '/* tx */ BEGIN TRANSACTION',
      'BEGIN',
    ),
    say('BEGIN TRANSACTION READONLY', 'BEGIN READONLY'),
    say('COMMIT', 'COMMIT', 'END', 'ROLLBACK', 'COMMIT TRANSACTION', '-- done\nCOMMIT'),
    bound('INSERT INTO zz_a (v) VALUES (?)', word),
    bound("INSERT OR ROLLBACK INTO zz_a (id, v) VALUES (?, 'rolled')", key),
    bound("INSERT OR FAIL INTO zz_a (id, v) VALUES (77, 'kept'), (?, 'not')", key),
    bound('UPDATE OR IGNORE zz_a SET id = ?', key),
    say('SELECT count(*) FROM zz_a', 'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v)', 'DROP TABLE zz_n1'),
  ],
  savepoints: [
    say('SAVEPOINT zz_s', 'SAVEPOINT zz_s', 'SAVEPOINT zz_s2', 'RELEASE zz_s', 'RELEASE SAVEPOINT zz_s2'),
    say('ROLLBACK TO zz_s', 'ROLLBACK TRANSACTION TO SAVEPOINT zz_s2', 'ROLLBACK', 'COMMIT', 'BEGIN'),
    bound('INSERT INTO zz_a (v) VALUES (?)', word),
    say('DELETE FROM zz_b', 'SELECT count(*) FROM zz_b', 'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v)'),
  ],
  'foreign keys': [
    bound('DELETE FROM zz_a WHERE id = ?', key),
    bound('UPDATE zz_a SET id = id + 20 WHERE id = ?', key),
    bound("INSERT INTO zz_b (a, v) VALUES (?, 'maybe')", key),
    bound("INSERT INTO zz_c VALUES ('k' || ?, 1, 99)", key),
    bound("REPLACE INTO zz_a (id, v) VALUES (?, 'replaced')", key),
    say('DELETE FROM zz_b WHERE id = 1', 'SELECT * FROM zz_c ORDER BY k', 'SELECT * FROM zz_b ORDER BY id'),
    say('DROP TABLE zz_b', 'DROP TABLE zz_a', 'BEGIN', 'COMMIT', 'ROLLBACK', 'PRAGMA foreign_keys'),
    say('DELETE FROM zz_a', 'SELECT changes(), total_changes()'),
  ],
  upserts: [
    bound(
      'INSERT INTO zz_a (id, v) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET n = n + 1 RETURNING id, n',
      key,
      word,
    ),
    bound('INSERT INTO zz_a (v, n) VALUES (?, 1) ON CONFLICT (v) DO UPDATE SET n = excluded.n + n', word),
    bound('INSERT OR IGNORE INTO zz_a (id, v) VALUES (?, ?)', key, word),
    bound('INSERT INTO zz_a (v) VALUES (?) ON CONFLICT DO NOTHING RETURNING *', word),
    bound(
      "INSERT INTO zz_c (k, n) VALUES ('k' || ?, ?) ON CONFLICT (k) DO UPDATE SET n = excluded.n",
      key,
      amount,
    ),
    bound(
      'WITH w (x) AS (VALUES (?)) INSERT INTO zz_log (what, x) SELECT ?, x FROM w RETURNING seq, x',
      amount,
      word,
    ),
    say('UPDATE zz_a SET n = b.id FROM zz_b b WHERE b.a = zz_a.id RETURNING zz_a.id, n'),
    say(
      'WITH w AS (SELECT id FROM zz_a) SELECT count(*) FROM w',
      'REPLACE INTO zz_a (id, v) VALUES (3, NULL)',
    ),
  ],
  schema: [
    say(
      'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v)',
      'CREATE TABLE IF NOT EXISTS zz_n1 (id INTEGER PRIMARY KEY, v)',
      'CREATE TABLE zz_n2 AS SELECT * FROM zz_a',
      'CREATE TABLE main.zz_t1 (id INTEGER PRIMARY KEY, v TEXT, n)',
      'DROP TABLE IF EXISTS main.zz_t1',
      'DROP TABLE zz_n2',
      'DROP TABLE IF EXISTS zz_n1',
    ),
    say(
      "ALTER TABLE zz_a ADD COLUMN extra TEXT DEFAULT 'e'",
      'ALTER TABLE zz_a RENAME COLUMN n TO number',
      'ALTER TABLE zz_a RENAME COLUMN number TO n',
      'ALTER TABLE zz_n1 RENAME TO zz_n2',
      'ALTER TABLE zz_a DROP COLUMN extra',
    ),
    say('CREATE VIEW zz_v AS SELECT id, v FROM zz_a', 'SELECT * FROM zz_v ORDER BY id', 'DROP VIEW zz_v'),
    say(
      'CREATE INDEX zz_i ON zz_a (n)',
      'DROP INDEX zz_i',
      'CREATE UNIQUE INDEX zz_i ON zz_b (v)',
      'REINDEX zz_a',
    ),
    say(
      "INSERT INTO zz_n1 (v) VALUES ('n1')",
      'SELECT * FROM zz_a ORDER BY id',
      'SELECT * FROM zz_n2 ORDER BY id',
    ),
    say(
      "CREATE TRIGGER zz_g AFTER INSERT ON zz_a BEGIN UPDATE zz_a SET n = 100 WHERE id = new.id; INSERT INTO zz_log (what) VALUES ('g'); END",
      'DROP TRIGGER IF EXISTS zz_g',
      'CREATE TRIGGER zz_gv INSTEAD OF INSERT ON zz_v BEGIN INSERT INTO zz_a (v) VALUES (new.v); END',
      "INSERT INTO zz_v (v) VALUES ('through the view')",
    ),
  ],
  // What a stream has set reads back as it was set, however it was written and wherever the next statement runs.
  settings: [
    (chance) => {
      const name = chance.pick([
        'foreign_keys',
        'recursive_triggers',
        'defer_foreign_keys',
        'ignore_check_constraints',
        'automatic_index',
        'legacy_alter_table',
        'reverse_unordered_selects',
        'query_only',
      ]);
      const value = chance.pick(['1', '0', 'ON', 'off', 'true', 'FALSE', "'on'", '"no"', '2', '-1', 'maybe']);
      const schema = chance.pick(['', '', 'main.', 'temp.', '"main".']);
      return {
        sql: chance.pick([`PRAGMA ${schema}${name} = ${value}`, `PRAGMA ${schema}${name}(${value})`]),
        args: [],
      };
    },
    say(
      'PRAGMA foreign_keys',
      'PRAGMA recursive_triggers',
      'PRAGMA automatic_index',
      'PRAGMA legacy_alter_table',
      'PRAGMA query_only',
      'PRAGMA temp.defer_foreign_keys',
      'SELECT recursive_triggers FROM pragma_recursive_triggers',
      'SELECT (SELECT foreign_keys FROM pragma_foreign_keys), (SELECT count(*) FROM zz_b)',
    ),
    say('BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT zz_s', 'ROLLBACK TO zz_s', 'RELEASE zz_s'),
    say(
      "INSERT INTO zz_b (a, v) VALUES (55, 'orphan')",
      "INSERT INTO zz_c VALUES ('neg', -5, NULL)",
      'DELETE FROM zz_a WHERE id = 1',
      'SELECT id FROM zz_a',
      'CREATE TRIGGER zz_g AFTER UPDATE ON zz_a WHEN new.n < 12 BEGIN UPDATE zz_a SET n = n + 1 WHERE id = new.id; END',
      'UPDATE zz_a SET n = 8 WHERE id = 1 RETURNING n',
      'SELECT n FROM zz_a WHERE id = 1',
    ),
  ],
  // Counters that no word of the statement itself names.
  'hidden counters': [
    say(
      'CREATE VIEW zz_v AS SELECT last_insert_rowid() AS r, changes() AS c, total_changes() AS t',
      'CREATE TEMP VIEW zz_tv AS SELECT changes() AS c',
      'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v, parent DEFAULT (last_insert_rowid()))',
      'CREATE TABLE zz_n2 (id INTEGER PRIMARY KEY, v, t DEFAULT (total_changes()))',
      "CREATE TRIGGER zz_g AFTER INSERT ON zz_b BEGIN INSERT INTO zz_log (what, x, y) VALUES ('g', last_insert_rowid(), changes()); END",
    ),
    say(
      'SELECT * FROM zz_v',
      'SELECT c FROM zz_tv',
      "INSERT INTO zz_n1 (v) VALUES ('a') RETURNING *",
      "INSERT INTO zz_n2 (v) VALUES ('b') RETURNING *",
      "INSERT INTO zz_log (what, x, y) SELECT 'v', r, t FROM zz_v",
      'SELECT * FROM zz_n1 ORDER BY id',
    ),
    bound('INSERT INTO zz_a (id, v) VALUES (? + 60, ?)', key, word),
    bound("INSERT INTO zz_b (a, v) VALUES (?, 'b')", key),
    say(
      'UPDATE zz_a SET n = 0',
      'DELETE FROM zz_b WHERE id > 1',
      'SELECT count(*) FROM zz_a',
      'CREATE TABLE zz_t1 (id)',
    ),
    say(
      'SELECT \'changes()\' AS word, "changes"() AS call',
      'WITH changes (x) AS (SELECT 5) SELECT x FROM changes',
      'SELECT /* total_changes() */ 1',
      'SELECT total_changes /* apart */ ()',
    ),
    say('BEGIN', 'ROLLBACK', 'COMMIT'),
  ],
  'virtual tables': [
    say(
      'CREATE VIRTUAL TABLE temp.zz_f USING fts5 (x)',
      'CREATE VIRTUAL TABLE zz_f USING fts5 (x)',
      'CREATE VIRTUAL TABLE temp.zz_r USING rtree (id, x0, x1)',
    ),
    say(
      "INSERT INTO zz_f (x) VALUES ('some words'), ('other words')",
      "SELECT x FROM zz_f WHERE zz_f MATCH 'words' ORDER BY rowid",
      'INSERT INTO zz_r VALUES (1, 0, 1), (2, 5, 6)',
      'SELECT id FROM zz_r WHERE x0 > 2',
      "DELETE FROM zz_f WHERE zz_f MATCH 'other'",
      'SELECT count(*) FROM main.zz_f',
      'SELECT last_insert_rowid(), changes()',
    ),
    say('DROP TABLE zz_f', 'DROP TABLE zz_r', 'BEGIN', 'ROLLBACK', 'COMMIT'),
    say("SELECT value FROM json_each('[1,2]')", 'SELECT value FROM generate_series(1, 3)'),
  ],
  values: [
    bound('INSERT INTO zz_log (what, x, y) VALUES (?, ?, ?) RETURNING *', word, odd, odd),
    bound('SELECT ?2, ?1, typeof(?1), ?2', odd, odd),
    bound('UPDATE zz_log SET x = ? WHERE y IS ?', odd, odd),
    bound('INSERT INTO zz_a (id, v) VALUES (?, ?)', odd, odd),
    say(
      'SELECT x, typeof(x), y FROM zz_log ORDER BY seq',
      "SELECT x'00ff', 1e300, 9007199254740993, '' || char(128512), -0.0",
    ),
    say('SELECT hex(v), length(v) FROM zz_a ORDER BY id', 'SELECT NULL, 1 AS "", 2 AS "a b"'),
  ],
  failures: [
    say(
      'SELECT * FROM zz_nowhere',
      'SELEC 1',
      'INSERT INTO zz_a (id, nothing) VALUES (1, 2)',
      "INSERT INTO zz_a (id, v) VALUES (1, 'taken')",
      "INSERT INTO zz_a (v) VALUES ('fresh'), ('one'), ('two')",
      "INSERT INTO zz_c VALUES ('k1', -1, NULL)",
      'SELECT abs(-9223372036854775808)',
      'SELECT nosuch(1)',
      "INSERT INTO zz_a (id, v) VALUES ('not a number', 'x')",
      'UPDATE zz_a SET id = 1',
      'ROLLBACK',
      'COMMIT',
      'RELEASE zz_nothing',
      "SELECT json_extract('{', '$.a')",
    ),
    bound("INSERT INTO zz_a (id, v) VALUES (?, 'perhaps')", key),
  ],
};

/** The first of a theme makes what the others use. */
export const byTheme: Readonly<Record<Theme, readonly Make[]>> = {
  ...byStreamTheme,
  ...byTableTheme,
  ...byMixedTheme,
  ...byEditedTheme,
};
