import { describe, expect, test } from 'vitest';
import { bodyFacts } from '../../../gateway/postgres/sql/core/body-words.ts';
import { factsOf } from '../../../gateway/postgres/sql/core/statement-facts.ts';

const one = (sql: string) => {
  const [facts, ...others] = factsOf(sql);
  if (facts === undefined || others.length > 0) throw new Error(`not one statement: ${sql}`);
  return facts;
};

test.each([
  ['SELECT 1', 'read'],
  ['  -- a comment\n /* another /* nested */ */ select 1', 'read'],
  ['(SELECT 1) UNION (SELECT 2)', 'read'],
  ['TABLE t', 'read'],
  ['VALUES (1)', 'read'],
  ["SELECT 'INSERT INTO t'", 'read'],
  ['SELECT "update" FROM t', 'read'],
  ['SELECT $$ DELETE FROM t $$', 'read'],
  ['SELECT * FROM t FOR UPDATE', 'write'],
  ['SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED', 'write'],
  ['SELECT * FROM t FOR KEY SHARE', 'write'],
  ['SELECT * INTO made FROM t', 'write'],
  ["SELECT nextval('s')", 'write'],
  ["SELECT pg_catalog.setval('s', 1)", 'write'],
  ['SELECT lastval()', 'write'],
  ['SELECT pg_advisory_xact_lock(1)', 'write'],
  ['WITH x AS (SELECT 1) SELECT * FROM x', 'read'],
  ['WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x', 'write'],
  ['WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x', 'write'],
  ['WITH x AS (SELECT 1) MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE', 'write'],
  ['INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2', 'write'],
  ['TRUNCATE t', 'write'],
  ['VACUUM', 'write'],
  ['EXPLAIN DELETE FROM t', 'read'],
  ['EXPLAIN ANALYZE SELECT 1', 'read'],
  ['EXPLAIN ANALYZE DELETE FROM t', 'write'],
  ['EXPLAIN (ANALYZE, BUFFERS) SELECT 1', 'read'],
  ['DO $$BEGIN DELETE FROM t; END$$', 'unclear'],
  ['CALL p()', 'unclear'],
  ['BEGIN', 'write'],
  ['BEGIN READ ONLY', 'read'],
  ['START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY', 'read'],
  ['START TRANSACTION READ ONLY, READ WRITE', 'write'],
  ['COMMIT', 'read'],
  ['SET search_path = a', 'read'],
  ['SHOW all', 'read'],
  ['FETCH 10 FROM c', 'read'],
  ['COPY t FROM STDIN', 'write'],
  ['COPY t TO STDOUT', 'read'],
  ['COPY (DELETE FROM t RETURNING *) TO STDOUT', 'write'],
])('%s is tried where it can %s', (sql, kind) => {
  expect(one(sql).class).toBe(kind);
});

test.each([
  ['BEGIN', 'begin', ['BEGIN']],
  ['start transaction read only', 'begin', ['BEGIN READONLY']],
  ['END WORK', 'commit', ['COMMIT']],
  ['COMMIT AND CHAIN', 'commit', ['COMMIT', 'BEGIN']],
  ['COMMIT AND NO CHAIN', 'commit', ['COMMIT']],
  ['ABORT', 'rollback', ['ROLLBACK']],
  ['ROLLBACK WORK TO SAVEPOINT a', 'rollbackTo', ['ROLLBACK TO savepoint']],
  ['SAVEPOINT a', 'other', ['SAVEPOINT a']],
  ['SELECT 1', null, ['SELECT 1']],
])('%s is told to sessions in their words', (sql, control, told) => {
  expect(one(sql)).toMatchObject({ control, told });
});

describe('what cannot be given to one client of a shared engine', () => {
  test.each([
    ['LISTEN a'],
    ['NOTIFY a'],
    ['UNLISTEN a'],
    ["SELECT pg_notify('a', 'b')"],
    ['CREATE TEMP TABLE t (a int)'],
    ['CREATE TEMPORARY SEQUENCE s'],
    ['CREATE LOCAL TEMP TABLE t (a int)'],
    ['CREATE OR REPLACE TEMP VIEW v AS SELECT 1'],
    ['CREATE /* here */ TEMP TABLE t (a int)'],
    ['SELECT 1 AS a INTO TEMP t'],
    ['SELECT * FROM pg_temp.t'],
    ['PREPARE a AS SELECT 1'],
    ['EXECUTE a(1)'],
    ['DECLARE c CURSOR WITH HOLD FOR SELECT 1'],
    ['SELECT pg_advisory_lock(1)'],
    ['SELECT pg_sleep(1)'],
    ["SELECT 1 FROM pg_catalog.pg_sleep_for('1 s')"],
    ['SELECT pg_catalog . pg_try_advisory_lock (1)'],
    ['SELECT "pg_advisory_lock_shared"(1)'],
    ['CREATE DATABASE a'],
    ['DROP DATABASE a'],
    ["LOAD 'lib'"],
    ["COPY t FROM '/etc/passwd'"],
    ["COPY t TO PROGRAM 'sh'"],
    ['ALTER SYSTEM SET fsync = off'],
    ["CREATE TABLESPACE a LOCATION '/tmp'"],
    ["SET client_encoding TO 'LATIN1'"],
    ["SET NAMES 'SJIS'"],
    ['ALTER ROLE app SET synchronous_commit = off'],
    ["SELECT set_config('synchronous_commit', 'off', false)"],
    ['DO $$ BEGIN SET LOCAL synchronous_commit = off; END $$'],
    ["UPDATE pg_settings SET setting = 'off' WHERE name = 'synchronous_commit'"],
    ['DO $$ BEGIN NOTIFY a; END $$'],
    ["DO $$ BEGIN IF true THEN /* now */ notify a, 'b'; END IF; END $$"],
    ['DO $$ DECLARE n int; BEGIN -- first\n NOTIFY a; END $$'],
    ["DO 'BEGIN NOTIFY a; END'"],
    ["DO $$ BEGIN EXECUTE 'NOTIFY a'; END $$"],
    ["DO $$ BEGIN EXECUTE format('NOTIFY %I', 'a'); END $$"],
    ["DO $$ BEGIN PERFORM pg_notify('a', 'b'); END $$"],
    [
      "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM pg_catalog.pg_notify('a', ''); RETURN NEW; END $f$",
    ],
    ['CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS $$ NOTIFY a $$'],
    ["DO $$ BEGIN COPY t FROM '/etc/passwd'; END $$"],
    ["DO $$ BEGIN EXECUTE 'COPY t (a) FROM ''/pglite/data/PG_VERSION'''; END $$"],
    ["CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ COPY t TO PROGRAM 'sh' $$"],
  ])('%s is refused, with a way out', (sql) => {
    expect(one(sql).refusal).toMatchObject({ code: '0A000', hint: expect.stringMatching(/\.$/) });
  });

  test.each([
    ["SELECT 'LISTEN a'"],
    ["DO $$ BEGIN RAISE NOTICE 'notify everybody'; END $$"],
    ['DO $$ DECLARE notify boolean; copy text; BEGIN notify := true; END $$'],
    ['DO $$ BEGIN -- NOTIFY a;\n UPDATE t SET notify = true; END $$'],
    ['DO $$ BEGIN UPDATE t SET pg_notify = 1; END $$'],
    ["DO $$ BEGIN INSERT INTO copy SELECT a FROM t WHERE b = 'c'; END $$"],
    ['CREATE TABLE t (notify boolean, pg_notify int)'],
    ['SELECT 1 AS listen'],
    ["SET client_encoding TO 'UTF8'"],
    ["SET NAMES 'utf-8'"],
    ['SET SESSION client_encoding = DEFAULT'],
    ["SET application_name = 'names latin1'"],
    ['SELECT "pg_advisory_lock" FROM t'],
    ["SELECT 'pg_advisory_lock(1)'"],
    ['SELECT pg_sleep FROM t'],
    ['SELECT $x$ LISTEN a; $x$'],
    ["SELECT E'\\'; LISTEN a; --'"],
    ['SELECT "a""; LISTEN b; --"'],
    ['-- \nSELECT 1 -- ; LISTEN a'],
    ['CREATE TABLE temp (temporary int)'],
    ['INSERT INTO temp SELECT 1'],
    ['INSERT INTO temporary VALUES (1)'],
    ['SELECT pg_advisory_xact_lock(1)'],
    ['SELECT pg_advisory_unlock_all()'],
    ['DECLARE c CURSOR FOR SELECT 1'],
    ['DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1'],
    ["PREPARE TRANSACTION 'a'"],
    ['COPY t (a, b) FROM STDIN WITH (FORMAT csv)'],
    ['UNLISTEN *'],
  ])('%s is not', (sql) => {
    expect(one(sql).refusal).toBeNull();
  });
});

test.each([
  ['COPY t FROM STDIN', { direction: 'in', binary: false, columns: 0 }],
  ['copy public."T" (a, "b c", d) from stdin', { direction: 'in', binary: false, columns: 3 }],
  ['COPY t FROM STDIN WITH (FORMAT binary)', { direction: 'in', binary: true, columns: 0 }],
  ["COPY t (a) FROM STDIN (FORMAT 'binary', FREEZE)", { direction: 'in', binary: true, columns: 1 }],
  ['COPY BINARY t FROM STDIN', { direction: 'in', binary: true, columns: 0 }],
  ['COPY t TO STDIN', { direction: 'out', binary: false, columns: 0 }],
  ['COPY (SELECT a, b FROM t) TO STDOUT', { direction: 'out', binary: false, columns: 0 }],
  ["COPY t TO '/tmp/a'", null],
])('%s copies with the client', (sql, copy) => {
  expect(one(sql).copy).toEqual(copy);
});

test.each([
  ['DEALLOCATE ALL', 'DEALLOCATE ALL', { kind: 'forgetAll' }],
  ['DEALLOCATE PREPARE "S 1"', 'DEALLOCATE', { kind: 'forget', name: 'S 1' }],
  ['DEALLOCATE Pdo_1', 'DEALLOCATE', { kind: 'forget', name: 'pdo_1' }],
  ['DISCARD ALL', 'DISCARD ALL', { kind: 'discardAll' }],
  ['UNLISTEN *', 'UNLISTEN', { kind: 'nothing' }],
  ['RESET ALL', 'RESET', { kind: 'resetAll' }],
  ['RESET SESSION AUTHORIZATION', 'RESET', { kind: 'reset', name: 'session_authorization' }],
  ['SET SESSION AUTHORIZATION DEFAULT', 'SET', { kind: 'reset', name: 'session_authorization' }],
  ['RESET TIME ZONE', 'RESET', { kind: 'reset', name: 'timezone' }],
  ['SET SESSION DateStyle TO DEFAULT', 'SET', { kind: 'reset', name: 'datestyle' }],
  ['SET my.own = DEFAULT', 'SET', { kind: 'reset', name: 'my.own' }],
  ['SET synchronous_commit TO off', 'SET', { kind: 'nothing' }],
  ['SET LOCAL synchronous_commit = off', 'SET', { kind: 'nothing' }],
])('%s is done by the front end', (sql, tag, effect) => {
  expect(one(sql).instead).toEqual({ tag, effect });
});

test.each([
  ['SET LOCAL a.b TO DEFAULT'],
  ['SET TRANSACTION READ ONLY'],
  ['SET SESSION AUTHORIZATION bob'],
  ['SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY'],
  ['DISCARD PLANS'],
])('%s is left to the engine', (sql) => {
  expect(one(sql).instead).toBeNull();
});

test.each([
  ['', []],
  [' ; ;; -- nothing\n', []],
  ['SELECT 1; SELECT 2;', ['SELECT 1', 'SELECT 2']],
  ["SELECT ';'; SELECT 2", ["SELECT ';'", 'SELECT 2']],
  ['SELECT $a$;$b$;$a$; SELECT 2', ['SELECT $a$;$b$;$a$', 'SELECT 2']],
  ['SELECT a$b$c; SELECT 2', ['SELECT a$b$c', 'SELECT 2']],
  ['SELECT $1; SELECT 2', ['SELECT $1', 'SELECT 2']],
  ["SELECT e'\\';'; SELECT 2", ["SELECT e'\\';'", 'SELECT 2']],
  ["SELECT '\\'; SELECT 2", ["SELECT '\\'", 'SELECT 2']],
  [
    'CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3',
    ['CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)', 'SELECT 3'],
  ],
  [
    'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; COMMIT',
    [
      'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END',
      'COMMIT',
    ],
  ],
  ["SELECT 'not closed; SELECT 2", ["SELECT 'not closed; SELECT 2"]],
  ['SELECT $$not closed; SELECT 2', ['SELECT $$not closed; SELECT 2']],
  ['SELECT /* not closed; SELECT 2', ['SELECT']],
])('%j falls into its statements', (sql, statements) => {
  expect(factsOf(sql).map(({ start, end }) => sql.slice(start, end))).toEqual(statements);
});

test('of a long statement those who only look at it are told what acts on its session, wherever that stands', () => {
  const long = `SELECT '${'x'.repeat(2_000)}', SET_CONFIG('a.b', 'c', false), "currval"('s')`;
  const [told = ''] = one(long).told;
  expect(told.length).toBeLessThan(1_100);
  expect(told).toMatch(/ set_config currval$/);
  expect(one(`SELECT '${'set_config('.repeat(200)}'`).told[0]).toHaveLength(1_024);
});

test('a backslash ends no string where standard_conforming_strings is off', () => {
  const sql = "SELECT '\\'; LISTEN a; --'";
  expect(factsOf(sql, true)).toHaveLength(1);
  expect(factsOf(sql, false)).toHaveLength(2);
});

test('a text of a megabyte is looked at in well under a second', () => {
  const rows = Array.from({ length: 50_000 }, (_, at) => `(${at}, 'row ${at}')`).join(', ');
  const began = performance.now();
  expect(one(`INSERT INTO t VALUES ${rows}`).class).toBe('write');
  const quotes = `SELECT '${"''".repeat(500_000)}'`;
  expect(one(quotes).class).toBe('read');
  expect(one(`SELECT E'${"\\'".repeat(500_000)}'`).class).toBe('read');
  expect(factsOf(`SELECT ${'$a'.repeat(300_000)}`)).toHaveLength(1);
  expect(performance.now() - began).toBeLessThan(5_000);
});

test('the time to read a body grows with its length, whatever is in it', () => {
  const cpuMs = (text: string): number => {
    const before = process.cpuUsage();
    bodyFacts(text);
    const { user } = process.cpuUsage(before);
    return user / 1_000;
  };
  for (const piece of ["EXECUTE 'COPY t ", '/* ', '"', '; notify ', "'"]) {
    const [short, long] = [piece.repeat(20_000), piece.repeat(200_000)];
    bodyFacts(short);
    expect(cpuMs(long)).toBeLessThan(40 * cpuMs(short) + 100);
  }
});
