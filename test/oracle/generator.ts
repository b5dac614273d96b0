/**
 * Scripts from seeds: whatever a client may do with one stream that leaves something in it. Pure. Each script leans
 * towards a few themes, because one that does a little of everything gets deep into nothing.
 */
import type { BatchCondition, SqlValue } from '../../gateway/sql/sql.ts';
import { Prng } from '../simulation/world/prng.ts';
import type { Operation, Script, Statement, Step } from './script.ts';
import { byTheme, plain, type Theme, themes } from './themes/statements.ts';
import { ways } from './ways.ts';

/** Runs of operations that only together say anything. */
const motifs: readonly ((chance: Prng) => readonly Operation[])[] = [
  // What an ORM sends: a row and its child in one transaction.
  () => [
    one('BEGIN IMMEDIATE'),
    one("INSERT INTO zz_a (v) VALUES ('parent')"),
    one("INSERT INTO zz_b (a, v) VALUES (last_insert_rowid(), 'its child')"),
    one('COMMIT'),
    one("SELECT b.v, a.v FROM zz_b b JOIN zz_a a ON a.id = b.a WHERE b.v = 'its child'"),
  ],
  // A scratch table with the name of a real one.
  () => [
    one('CREATE TEMP TABLE zz_a (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)'),
    one("INSERT INTO zz_a VALUES (1, 'scratch', 0)"),
    one("UPDATE zz_a SET v = 'overwritten'"),
    one('SELECT v FROM main.zz_a ORDER BY id'),
  ],
  // How SQLite's manual says to change a table.
  () => [
    one('PRAGMA foreign_keys = OFF'),
    {
      kind: 'sequence',
      statements: [
        'BEGIN',
        'CREATE TABLE zz_n1 (id INTEGER PRIMARY KEY, v TEXT, n INTEGER, w)',
        'INSERT INTO zz_n1 (id, v, n) SELECT id, v, n FROM zz_a',
        'DROP TABLE zz_a',
        'ALTER TABLE zz_n1 RENAME TO zz_a',
        'COMMIT',
      ],
    },
    one('PRAGMA foreign_keys = ON'),
    one('SELECT * FROM zz_b ORDER BY id'),
  ],
  // A setting in a step that a condition keeps from running.
  (chance) => [
    {
      kind: 'batch',
      steps: [
        step('SELECT 1'),
        step(chance.pick(['PRAGMA foreign_keys = OFF', 'CREATE TEMP TABLE zz_t1 (id, v, n)']), {
          kind: 'error',
          step: 0,
        }),
      ],
    },
    one("INSERT INTO zz_b (a, v) VALUES (99, 'orphan')"),
    one('SELECT count(*) FROM zz_b'),
  ],
  // A setting inside a transaction that is rolled back.
  (chance) => [
    one('BEGIN'),
    one(
      chance.pick([
        'PRAGMA foreign_keys = OFF',
        'PRAGMA defer_foreign_keys = ON',
        'PRAGMA recursive_triggers = ON',
      ]),
    ),
    one("INSERT INTO zz_b (a, v) VALUES (98, 'orphan')"),
    one(chance.pick(['ROLLBACK', 'COMMIT'])),
    one('PRAGMA foreign_keys'),
    one("INSERT INTO zz_b (a, v) VALUES (97, 'orphan')"),
  ],
  // What the stock client's batch sends.
  (chance) => [
    {
      kind: 'batch',
      steps: [
        step(chance.pick(['BEGIN IMMEDIATE', 'BEGIN DEFERRED', 'BEGIN TRANSACTION READONLY'])),
        step("INSERT INTO zz_a (v) VALUES ('in a batch')", { kind: 'ok', step: 0 }),
        step(chance.pick(["INSERT INTO zz_a (id, v) VALUES (1, 'taken')", 'SELECT count(*) FROM zz_a']), {
          kind: 'ok',
          step: 1,
        }),
        step('COMMIT', { kind: 'ok', step: 2 }),
        step('ROLLBACK', { kind: 'not', condition: { kind: 'ok', step: 3 } }),
      ],
    },
  ],
];

const one = (sql: string): Operation => ({ kind: 'execute', statement: { sql, args: [] } });
const step = (sql: string, condition: BatchCondition | null = null): Step => ({ sql, args: [], condition });

function condition(chance: Prng, at: number, depth = 2): BatchCondition | null {
  if (at === 0 || chance.perMille(300)) return null;
  const earlier = (): number => chance.below(at);
  const draw = (left: number): BatchCondition => {
    switch (chance.below(left > 0 ? 6 : 3)) {
      case 0:
        return { kind: 'ok', step: earlier() };
      case 1:
        return { kind: 'error', step: earlier() };
      case 2:
        return { kind: 'isAutocommit' };
      case 3:
        return { kind: 'not', condition: draw(left - 1) };
      case 4:
        return { kind: 'and', conditions: [draw(left - 1), draw(left - 1)] };
      default:
        return { kind: 'or', conditions: [draw(left - 1), draw(left - 1)] };
    }
  };
  return draw(depth);
}

function literal(value: SqlValue): string {
  if (value === null) return 'NULL';
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`;
  return value instanceof Uint8Array ? `x'${Buffer.from(value).toString('hex')}'` : String(value);
}

/** A statement's arguments written into its text, for a sequence, which takes none. */
function inlined({ sql, args }: Statement): string {
  let next = 0;
  return sql.replaceAll(/\?(\d*)/g, (_, number: string) =>
    literal(args[number === '' ? next++ : Number(number) - 1] ?? null),
  );
}

function operation(chance: Prng, statement: () => Statement): Operation {
  const drawn = chance.below(100);
  if (drawn < 68) return { kind: 'execute', statement: statement() };
  if (drawn < 80) {
    const count = chance.between(2, 6);
    const steps = Array.from({ length: count }, (_, at) => ({
      ...statement(),
      condition: condition(chance, at),
    }));
    return { kind: 'batch', steps };
  }
  if (drawn < 90) {
    return {
      kind: 'sequence',
      statements: Array.from({ length: chance.between(1, 4) }, () => inlined(statement())),
    };
  }
  if (drawn < 95) return { kind: 'describe', sql: statement().sql };
  return { kind: 'reopen' };
}

/** What is in the tables at the end, seen from a stream that has nothing of its own. */
const audit: readonly Operation[] = [
  { kind: 'reopen' },
  one('SELECT * FROM zz_a ORDER BY id'),
  one('SELECT * FROM zz_b ORDER BY id'),
  one('SELECT * FROM zz_c ORDER BY k'),
  one('SELECT * FROM zz_log ORDER BY seq'),
  one("SELECT type, name, sql FROM sqlite_schema WHERE instr(name, 'zz_') = 1 ORDER BY type, name"),
];

/**
 * The script of a seed: about `length` operations and a look at what they left. @param lean a theme that it has, whatever the seed.
 * @throws AssertionError when `seed` is no safe integer.
 */
export function scriptOf(seed: number, length = 14, lean?: Theme): Script {
  const chance = Prng.fromSeed(seed).stream('script');
  const drawn = chance.shuffle(themes).slice(0, chance.between(1, 3));
  const leaning = lean === undefined ? drawn : [lean, ...drawn.filter((theme) => theme !== lean).slice(0, 1)];
  // Under `writable_schema` ALTER checks less, and may leave a schema that does not parse.
  const chosen = leaning.includes('edited schema')
    ? leaning.filter((theme) => theme !== 'altered tables')
    : leaning;
  const statement = (): Statement => {
    const theme = chance.perMille(200) ? null : chance.pick(chosen);
    return chance.pick(theme === null ? plain : byTheme[theme])(chance);
  };
  const operations: Operation[] = [];
  for (const theme of chosen) {
    const [opening] = byTheme[theme];
    if (opening !== undefined && (theme === lean || chance.perMille(500)))
      operations.push({ kind: 'execute', statement: opening(chance) });
  }
  const count = chance.between(Math.ceil(length / 2), length);
  while (operations.length < count) {
    if (chance.perMille(60)) operations.push(...chance.pick(motifs)(chance));
    else operations.push(operation(chance, statement));
  }
  const way = Prng.fromSeed(seed).stream('way').pick(ways);
  return { seed, pipeline: chance.pick([1, 1, 4, 16]), way, operations: [...operations, ...audit] };
}
