/** What every `SqlService` promises the protocols beside what all streams promise. Run by `sql-session.test.ts` against each. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type {
  BatchCondition,
  BatchStep,
  SqlOutcome,
  SqlService,
  SqlSession,
  SqlStatement,
  SqlValue,
} from '../../gateway/sql/sql.ts';

export interface SessionFixture {
  readonly service: SqlService;
  stop(): Promise<void>;
}

export const context = { traceparent: null };

export function statement(sql: string, args: readonly SqlValue[] = []): SqlStatement {
  return { sql, args, namedArgs: [], wantRows: true };
}

/** The value of an outcome that has to be one. */
export function okOf<T>(outcome: SqlOutcome<T>): T {
  if (!outcome.ok) throw new Error(`${outcome.error.code}: ${outcome.error.message}`);
  return outcome.value;
}

const codeOf = (outcome: SqlOutcome<unknown> | null): string =>
  outcome === null ? 'skipped' : outcome.ok ? 'ok' : outcome.error.code;

/** Several suites may share one database. */
let tables = 0;

export function sessionConformance(name: string, start: () => Promise<SessionFixture>): void {
  describe(`SQL sessions: ${name}`, { timeout: 30_000 }, () => {
    let fixture: SessionFixture;
    const sessions: SqlSession[] = [];
    beforeAll(async () => {
      fixture = await start();
    }, 120_000);
    afterEach(async () => {
      await Promise.all(sessions.splice(0).map((session) => session.close()));
    });
    afterAll(() => fixture.stop());

    const open = (): SqlSession => {
      const session = okOf(fixture.service.openSession());
      sessions.push(session);
      return session;
    };
    const execute = async (session: SqlSession, sql: string, ...args: SqlValue[]) =>
      okOf(await session.execute(statement(sql, args), context));
    const rowsOf = async (session: SqlSession, sql: string, ...args: SqlValue[]) =>
      (await execute(session, sql, ...args)).rows;
    const withTable = async (): Promise<readonly [SqlSession, string]> => {
      const session = open();
      tables += 1;
      const table = `held_${tables}`;
      await execute(session, `CREATE TABLE ${table} (id INTEGER PRIMARY KEY, v TEXT)`);
      return [session, table];
    };

    test('values come back as they went: null, 64 bits, floats, text and bytes', async () => {
      const [session, table] = await withTable();
      const values: SqlValue[] = [
        null,
        9_223_372_036_854_775_807n,
        -9_223_372_036_854_775_808n,
        0.1,
        -1e300,
        '',
        'žluťoučký \u{1f40e}',
        new Uint8Array([0, 255, 1]),
        new Uint8Array(0),
      ];
      await execute(session, `ALTER TABLE ${table} ADD COLUMN any_value`);
      for (const [id, value] of values.entries()) {
        await execute(session, `INSERT INTO ${table} (id, any_value) VALUES (?, ?)`, BigInt(id), value);
        const [row] = await rowsOf(session, `SELECT any_value FROM ${table} WHERE id = ?`, BigInt(id));
        const [back] = row ?? [];
        if (value instanceof Uint8Array)
          expect(back instanceof Uint8Array && Buffer.compare(back, value)).toBe(0);
        else expect(back).toBe(value);
      }
    });

    test('arguments are taken by place and by name, with or without their sign', async () => {
      const session = open();
      expect(await rowsOf(session, 'SELECT ?2, ?1', 'first', 'second')).toEqual([['second', 'first']]);
      for (const name of [':who', 'who']) {
        const named = { ...statement('SELECT :who'), namedArgs: [{ name, value: 'me' }] };
        expect(okOf(await session.execute(named, context)).rows).toEqual([['me']]);
      }
    });

    test('columns have their names and declared types; rows that are not wanted do not come', async () => {
      const [session, table] = await withTable();
      await execute(session, `INSERT INTO ${table} VALUES (1, 'a')`);
      const select = statement(`SELECT id, v, 1 + 1 AS two FROM ${table}`);
      const result = okOf(await session.execute(select, context));
      expect(result.columns).toEqual([
        { name: 'id', decltype: 'INTEGER' },
        { name: 'v', decltype: 'TEXT' },
        { name: 'two', decltype: null },
      ]);
      expect(result.rows).toEqual([[1n, 'a', 2n]]);
      const silent = okOf(await session.execute({ ...select, wantRows: false }, context));
      expect([silent.columns, silent.rows]).toEqual([result.columns, []]);
    });

    test('a write says how many rows it met and which it made last', async () => {
      const [session, table] = await withTable();
      const inserted = await execute(session, `INSERT INTO ${table}(v) VALUES ('a'), ('b'), ('c')`);
      expect([inserted.affectedRowCount, inserted.lastInsertRowid]).toEqual([3, 3n]);
      const updated = await execute(session, `UPDATE ${table} SET v = 'd' WHERE id > 1`);
      expect(updated.affectedRowCount).toBe(2);
      expect((await execute(session, `SELECT * FROM ${table}`)).affectedRowCount).toBe(0);
      const returned = await execute(session, `DELETE FROM ${table} WHERE id = 1 RETURNING v`);
      expect([returned.affectedRowCount, returned.rows]).toEqual([1, [['a']]]);
    });

    test('an error has the name that SQLite has for it, and leaves a transaction open', async () => {
      const [session, table] = await withTable();
      await execute(session, 'BEGIN');
      await execute(session, `INSERT INTO ${table} VALUES (1, 'a')`);
      const outcomes = [
        await session.execute(statement(`INSERT INTO ${table} VALUES (1, 'b')`), context),
        await session.execute(statement('SELECT * FROM no_such_table'), context),
        await session.execute(statement(`INSERT INTO ${table} VALUES ('text', 'b')`), context),
      ];
      expect(outcomes.map((outcome) => codeOf(outcome).split('_').slice(0, 2).join('_'))).toEqual([
        'SQLITE_CONSTRAINT',
        'SQLITE_ERROR',
        'SQLITE_MISMATCH',
      ]);
      for (const outcome of outcomes) expect(outcome.ok ? '' : outcome.error.message).not.toBe('');
      expect(session.isAutocommit()).toBe(false);
      await execute(session, 'COMMIT');
      expect(await rowsOf(session, `SELECT v FROM ${table}`)).toEqual([['a']]);
    });

    test('who reads sees nothing of an open transaction, and one that reads sees one moment', async () => {
      const [writer, table] = await withTable();
      await execute(writer, `INSERT INTO ${table} VALUES (1, 'a')`);
      const reader = open();
      await execute(reader, 'BEGIN');
      const before = await rowsOf(reader, `SELECT count(*) FROM ${table}`);
      await execute(writer, 'BEGIN');
      await execute(writer, `INSERT INTO ${table} VALUES (2, 'b')`);
      expect(await rowsOf(open(), `SELECT count(*) FROM ${table} WHERE id = 2`)).toEqual([[0n]]);
      await execute(writer, 'COMMIT');
      expect(await rowsOf(reader, `SELECT count(*) FROM ${table}`)).toEqual(before);
      await execute(reader, 'COMMIT');
    });

    test('steps of a batch run as their conditions say: a skipped one is null, a failed one is told, the rest goes on', async () => {
      const [session, table] = await withTable();
      const step = (sql: string, condition: BatchCondition | null = null): BatchStep => ({
        condition,
        statement: statement(sql),
      });
      const ok = (of: number): BatchCondition => ({ kind: 'ok', step: of });
      const steps = [
        step('BEGIN'),
        step(`INSERT INTO ${table} VALUES (1, 'a')`, ok(0)),
        step('SELECT * FROM no_such_table', ok(1)),
        step('COMMIT', ok(2)),
        step('ROLLBACK', { kind: 'error', step: 2 }),
        step("SELECT 'and'", { kind: 'and', conditions: [ok(0), ok(2)] }),
        step("SELECT 'or'", { kind: 'or', conditions: [ok(0), ok(2)] }),
        step("SELECT 'not'", { kind: 'not', condition: ok(3) }),
        step("SELECT 'idle'", { kind: 'isAutocommit' }),
        step(`SELECT count(*) FROM ${table}`),
      ];
      const outcomes = okOf(await session.batch(steps, context));
      expect(outcomes.map(codeOf)).toEqual([
        'ok',
        'ok',
        'SQLITE_ERROR',
        'skipped',
        'ok',
        'skipped',
        'ok',
        'ok',
        'ok',
        'ok',
      ]);
      expect(outcomes.at(-1)?.ok === true && outcomes.at(-1)).toMatchObject({ value: { rows: [[0n]] } });
      expect(session.isAutocommit()).toBe(true);
    });

    test('a sequence stops at its first error, and what came before it stays', async () => {
      const [session, table] = await withTable();
      expect(
        await session.sequence(
          `INSERT INTO ${table} VALUES (1, 'a;b'); /* ; */ INSERT INTO ${table} VALUES (2, 'c');`,
          context,
        ),
      ).toEqual({ ok: true, value: null });
      const failed = await session.sequence(
        `INSERT INTO ${table} VALUES (3, 'd'); SELECT * FROM no_such_table; INSERT INTO ${table} VALUES (4, 'e')`,
        context,
      );
      expect(codeOf(failed)).toBe('SQLITE_ERROR');
      expect(await rowsOf(session, `SELECT id FROM ${table} ORDER BY id`)).toEqual([[1n], [2n], [3n]]);
    });

    test('a description tells of parameters, columns and kind, and runs nothing', async () => {
      const [session, table] = await withTable();
      const select = okOf(await session.describe(`SELECT v FROM ${table} WHERE id = ? AND v = :v`, context));
      expect(select).toEqual({
        params: [{ name: null }, { name: ':v' }],
        columns: [{ name: 'v', decltype: 'TEXT' }],
        isExplain: false,
        isReadonly: true,
      });
      const insert = okOf(await session.describe(`INSERT INTO ${table} VALUES (1, 'a')`, context));
      expect(insert).toMatchObject({ params: [], columns: [], isReadonly: false });
      expect((await session.describe('EXPLAIN SELECT 1', context)).ok).toBe(true);
      expect(codeOf(await session.describe('SELECT * FROM no_such_table', context))).toBe('SQLITE_ERROR');
      expect(await rowsOf(session, `SELECT count(*) FROM ${table}`)).toEqual([[0n]]);
    });

    test('a stream that was closed says so, and has no transaction', async () => {
      const session = open();
      await execute(session, 'BEGIN');
      await session.close();
      expect(codeOf(await session.execute(statement('SELECT 1'), context))).toBe('STREAM_EXPIRED');
      expect(session.isAutocommit()).toBe(true);
    });
  });
}
