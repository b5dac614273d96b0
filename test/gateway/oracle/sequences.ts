/**
 * Random sequences of operations on one stream, from a seed: what stock SQLite answers to them on one connection is what every
 * way through the gateway has to answer. They are about what a stream has of its own (temporary objects that hide real ones,
 * attached databases, settings, counters, savepoints), in single statements, batches with conditions and scripts. Pure.
 *
 * Left out is what the gateway does otherwise on purpose: a transaction begun READONLY is one (stock SQLite takes the word for
 * its name), so only reads stand within it.
 */
import type { SqlOperation } from '../../../gateway/core/engine-protocol.ts';
import type { BatchCondition, BatchStep, SqlStatement } from '../../../gateway/core/sql.ts';
import { Prng } from '../../simulation/prng.ts';

const setUpScript = `
  CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
  CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE, n INT CHECK (n < 100));
  CREATE TABLE log (a, b);
  CREATE VIEW seen AS SELECT a, b FROM log;
  INSERT INTO p VALUES (1, 'one'), (2, 'two'), (3, 'three');
  INSERT INTO c VALUES (1, 1, 10), (2, 1, 20), (3, 3, 30);
`;

const counters = 'SELECT changes(), total_changes(), last_insert_rowid()';
const tables = ['p', 'c', 'log', 'x', 'y'] as const;
const schemas = ['', '', '', 'main.', 'temp.', 'm1.', 'm2.'] as const;
const savepoints = ['s', 't'] as const;

/** Settings whose values are the same in every build; a spelling and values for each. */
const settings: readonly (readonly [string, readonly string[]])[] = [
  ['foreign_keys', ['0', '1', 'off', 'on']],
  ['recursive_triggers', ['0', '1', 'yes']],
  ['case_sensitive_like', ['0', '1']],
  ['defer_foreign_keys', ['0', '1']],
  ['ignore_check_constraints', ['0', '1']],
  ['reverse_unordered_selects', ['0', '1']],
  ['full_column_names', ['0', '1']],
  ['short_column_names', ['0', '1']],
  ['query_only', ['0', '0', '1']],
  ['writable_schema', ['0', '1', 'reset']],
  ['legacy_alter_table', ['0', '1']],
  ['cell_size_check', ['0', '1']],
  ['secure_delete', ['0', '1', 'fast']],
  ['synchronous', ['off', 'normal', '2']],
  ['analysis_limit', ['0', '100']],
  ['read_uncommitted', ['0', '1']],
];

class Writer {
  private readonly prng: Prng;
  private next = 10;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  private name(): string {
    return `${this.prng.pick(schemas)}${this.prng.pick(tables)}`;
  }

  private number(): number {
    return this.prng.perMille(300) ? this.prng.between(1, 4) : this.next++;
  }

  private setting(): string {
    const [name, values] = this.prng.pick(settings);
    const spelled = this.prng.pick([
      name,
      name,
      name.toUpperCase(),
      `"${name}"`,
      `main.${name}`,
      `[${name}]`,
    ]);
    if (this.prng.perMille(350))
      return this.prng.pick([`PRAGMA ${name}`, `SELECT * FROM pragma_foreign_keys`]);
    const value = this.prng.pick(values);
    return this.prng.pick([
      `PRAGMA ${spelled} = ${value}`,
      `pragma ${spelled}(${value})`,
      `/* set */ PRAGMA ${spelled}=${value};`,
    ]);
  }

  private write(): string {
    const { prng } = this;
    const n = this.number();
    return prng.pick([
      `INSERT INTO p (id, name) VALUES (${n}, 'name ${n}')`,
      `INSERT INTO p (name) VALUES ('auto ${n}')`,
      `INSERT INTO c (p, n) VALUES (last_insert_rowid(), ${prng.between(90, 104)})`,
      `INSERT INTO c (p, n) VALUES (${prng.between(1, 9)}, changes())`,
      `INSERT INTO log VALUES (total_changes(), last_insert_rowid())`,
      `INSERT INTO log SELECT id, name FROM p`,
      `INSERT OR ${prng.pick(['REPLACE', 'IGNORE', 'FAIL', 'ROLLBACK'])} INTO p VALUES (${prng.between(1, 4)}, 'two')`,
      `REPLACE INTO p VALUES (${prng.between(1, 4)}, 'replaced ${n}')`,
      `INSERT INTO p VALUES (${prng.between(1, 4)}, 'u') ON CONFLICT (id) DO UPDATE SET name = name || '+'`,
      `UPDATE p SET name = name || '.' WHERE id < ${prng.between(1, 9)}`,
      `UPDATE p SET id = id + 100 WHERE id = ${prng.between(1, 4)}`,
      `UPDATE c SET n = n + 40 RETURNING id, n`,
      `DELETE FROM p WHERE id = ${prng.between(1, 4)} RETURNING *`,
      `DELETE FROM ${this.name()} WHERE rowid = ${prng.between(1, 4)}`,
      `UPDATE ${this.name()} SET rowid = rowid WHERE rowid < 3`,
      `INSERT INTO ${this.name()} DEFAULT VALUES`,
      `WITH n (i) AS (VALUES (${n}), (${n + 1})) INSERT INTO log SELECT i, changes() FROM n`,
    ]);
  }

  private read(): string {
    return this.prng.pick([
      counters,
      counters,
      `SELECT * FROM ${this.name()}`,
      `SELECT * FROM ${this.prng.pick(tables)} ORDER BY 1, 2`,
      'SELECT p.id, c.n FROM p JOIN c ON c.p = p.id ORDER BY c.id',
      "SELECT name FROM p WHERE name LIKE 'ONE%'",
      'SELECT * FROM seen',
      'SELECT type, name FROM sqlite_schema UNION ALL SELECT type, name FROM sqlite_temp_schema ORDER BY 1, 2',
      "SELECT name FROM pragma_database_list WHERE name <> 'temp' ORDER BY 1",
      'SELECT id, nothing FROM p',
      'SELEC 1',
    ]);
  }

  private temporary(): string {
    const table = this.prng.pick(tables);
    return this.prng.pick([
      `CREATE TEMP TABLE ${table} (id INTEGER PRIMARY KEY, a, b)`,
      `CREATE TABLE temp.${table} (a, b)`,
      `CREATE TEMPORARY TABLE IF NOT EXISTS ${table} AS SELECT * FROM main.${table}`,
      `CREATE TEMP VIEW ${this.prng.pick(['v', 'seen'])} AS SELECT count(*) AS n FROM p`,
      `CREATE TEMP TRIGGER IF NOT EXISTS g AFTER INSERT ON main.p BEGIN INSERT INTO log VALUES (new.id, last_insert_rowid()); END`,
      `CREATE TEMP TRIGGER h AFTER DELETE ON c BEGIN INSERT INTO log VALUES ('gone', old.id); END`,
      `DROP TRIGGER IF EXISTS ${this.prng.pick(['g', 'temp.h', 'k'])}`,
      `DROP VIEW IF EXISTS temp.${this.prng.pick(['v', 'seen'])}`,
      `DROP TABLE IF EXISTS temp.${table}`,
      `DROP TABLE ${this.name()}`,
      'SELECT * FROM v',
    ]);
  }

  private attached(): string {
    const schema = this.prng.pick(['m1', 'm2']);
    return this.prng.pick([
      `ATTACH ':memory:' AS ${schema}`,
      `ATTACH '' AS ${schema}`,
      `CREATE TABLE ${schema}.${this.prng.pick(tables)} (a, b)`,
      `INSERT INTO ${schema}.${this.prng.pick(tables)} VALUES (1, 2)`,
      `DETACH ${schema}`,
      `DETACH ${schema}`,
    ]);
  }

  private definition(): string {
    return this.prng.pick([
      'CREATE TABLE x (a, b)',
      'CREATE TABLE IF NOT EXISTS y AS SELECT * FROM c',
      'CREATE TRIGGER k AFTER INSERT ON c BEGIN UPDATE p SET name = name || changes() WHERE id = new.p; END',
      'CREATE INDEX IF NOT EXISTS i ON p (name)',
      'ALTER TABLE log RENAME COLUMN b TO d',
      'ALTER TABLE x ADD COLUMN e DEFAULT 5',
      'DROP TABLE main.x',
      'DROP TABLE IF EXISTS y',
      'PRAGMA user_version = 7',
      'PRAGMA user_version',
      'REINDEX',
    ]);
  }

  private control(): string {
    const savepoint = this.prng.pick(savepoints);
    return this.prng.pick([
      'BEGIN',
      'BEGIN IMMEDIATE',
      'BEGIN DEFERRED TRANSACTION',
      'COMMIT',
      'COMMIT',
      'END',
      'ROLLBACK',
      'ROLLBACK',
      `SAVEPOINT ${savepoint}`,
      `RELEASE ${savepoint}`,
      `ROLLBACK TO ${savepoint}`,
    ]);
  }

  statement(): string {
    const drawn = this.prng.below(100);
    if (drawn < 32) return this.write();
    if (drawn < 52) return this.read();
    if (drawn < 66) return this.setting();
    if (drawn < 78) return this.temporary();
    if (drawn < 84) return this.attached();
    if (drawn < 90) return this.definition();
    return this.control();
  }

  private condition(step: number): BatchCondition | null {
    if (step === 0) return null;
    const earlier = this.prng.below(step);
    return this.prng.pick<BatchCondition | null>([
      null,
      null,
      { kind: 'ok', step: step - 1 },
      { kind: 'error', step: earlier },
      { kind: 'not', condition: { kind: 'error', step: earlier } },
      { kind: 'isAutocommit' },
      { kind: 'not', condition: { kind: 'isAutocommit' } },
    ]);
  }

  operations(): readonly SqlOperation[] {
    const drawn = this.prng.below(100);
    if (drawn < 60) return [execute(this.statement())];
    if (drawn < 78) {
      const steps: BatchStep[] = [];
      for (let left = this.prng.between(2, 5); left > 0; left--)
        steps.push({ condition: this.condition(steps.length), statement: plain(this.statement()) });
      return [{ kind: 'batch', steps }];
    }
    if (drawn < 95) {
      const texts = Array.from({ length: this.prng.between(2, 5) }, () => this.statement());
      return [{ kind: 'sequence', sql: texts.join(';\n') }];
    }
    return [
      execute('BEGIN TRANSACTION READONLY'),
      execute(this.prng.pick([counters, 'SELECT * FROM p', 'SELECT count(*) FROM c'])),
      execute(this.prng.pick(['COMMIT', 'ROLLBACK'])),
      execute(counters),
    ];
  }
}

function plain(sql: string): SqlStatement {
  return { sql, args: [], namedArgs: [], wantRows: true };
}

function execute(sql: string): SqlOperation {
  return { kind: 'execute', statement: plain(sql) };
}

/** The operations of one stream on an empty database. The first is a script that makes its tables, the last ones look at what has become of everything. */
export function operationsOf(seed: number): readonly SqlOperation[] {
  const prng = Prng.fromSeed(seed).stream('sequences');
  const writer = new Writer(prng);
  const operations: SqlOperation[] = [{ kind: 'sequence', sql: setUpScript }];
  for (let left = prng.between(6, 30); left > 0; left--) operations.push(...writer.operations());
  for (const sql of [
    counters,
    'ROLLBACK',
    'SELECT * FROM p',
    'SELECT * FROM main.c ORDER BY id',
    'SELECT * FROM main.log',
    'SELECT name FROM sqlite_temp_schema ORDER BY 1',
    'PRAGMA foreign_keys',
    'PRAGMA recursive_triggers',
    "SELECT 'a' LIKE 'A'",
    'PRAGMA foreign_key_check',
  ])
    operations.push(execute(sql));
  return operations;
}
