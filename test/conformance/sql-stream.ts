/** What every stream of statements has to do, whatever database keeps its rows. Run by `sql-session.test.ts` against each. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../storage/region-harness.ts';

/** What a statement came to: its rows as text, or the code of its error. */
export type Ran =
  | { readonly kind: 'rows'; readonly rows: readonly (readonly string[])[] }
  | { readonly kind: 'failed'; readonly code: string };

/** One stream of one client, in words that every database understands. */
export interface SqlStream {
  run(sql: string): Promise<Ran>;
  isAutocommit(): boolean;
  close(): Promise<void>;
}

export interface StreamFixture {
  open(): SqlStream;
  /** How this database calls a key that is there already, and a table that is not. */
  readonly codes: { readonly duplicate: string; readonly noTable: string };
  stop(): Promise<void>;
}

export const rows = (...of: readonly (readonly string[])[]): Ran => ({ kind: 'rows', rows: of });
const failed = (code: string): Ran => ({ kind: 'failed', code });

/** Several suites may share one database. */
let tables = 0;

export function streamConformance(name: string, start: () => Promise<StreamFixture>): void {
  describe(`streams of statements: ${name}`, { timeout: 30_000 }, () => {
    let fixture: StreamFixture;
    const streams: SqlStream[] = [];
    beforeAll(async () => {
      fixture = await start();
    }, 120_000);
    afterEach(async () => {
      await Promise.all(streams.splice(0).map((stream) => stream.close()));
    });
    afterAll(() => fixture.stop());

    const open = (): SqlStream => {
      const stream = fixture.open();
      streams.push(stream);
      return stream;
    };
    /** A stream, and a table of its own. */
    const withTable = async (): Promise<readonly [SqlStream, string]> => {
      const stream = open();
      tables += 1;
      const table = `kept_${tables}`;
      expect(await stream.run(`CREATE TABLE ${table} (id integer PRIMARY KEY, v text)`)).toEqual(rows());
      return [stream, table];
    };
    /** Streams of one gateway may be behind one another, for a moment. */
    const everybodySees = (sql: string, expected: Ran): Promise<void> =>
      eventually(`${sql} gives ${JSON.stringify(expected)}`, async () => {
        const stream = open();
        const seen = await stream.run(sql);
        await stream.close();
        return JSON.stringify(seen) === JSON.stringify(expected);
      });

    test('statements run one after the other', async () => {
      const [stream, table] = await withTable();
      const statements: readonly (readonly [string, Ran])[] = [
        [`INSERT INTO ${table} VALUES (1, 'a')`, rows()],
        [`UPDATE ${table} SET v = 'b' WHERE id = 1`, rows()],
        [`SELECT v FROM ${table}`, rows(['b'])],
        [`DELETE FROM ${table}`, rows()],
        [`SELECT count(*) FROM ${table}`, rows(['0'])],
      ];
      for (const [sql, expected] of statements) expect([sql, await stream.run(sql)]).toEqual([sql, expected]);
    });

    test('an error is an outcome: it changes nothing, and the stream goes on', async () => {
      const { duplicate, noTable } = fixture.codes;
      const [stream, table] = await withTable();
      await stream.run(`INSERT INTO ${table} VALUES (1, 'a')`);
      expect(await stream.run(`INSERT INTO ${table} VALUES (2, 'b'), (1, 'c')`)).toEqual(failed(duplicate));
      expect(await stream.run('SELECT * FROM no_such_table')).toEqual(failed(noTable));
      expect((await stream.run('this is no statement')).kind).toBe('failed');
      expect(stream.isAutocommit()).toBe(true);
      expect(await stream.run(`SELECT id, v FROM ${table}`)).toEqual(rows(['1', 'a']));
    });

    test('a stream reads what it has written, at once', async () => {
      const [stream, table] = await withTable();
      for (let id = 1; id <= 10; id += 1) {
        await stream.run(`INSERT INTO ${table} VALUES (${id}, 'x')`);
        expect(await stream.run(`SELECT count(*) FROM ${table}`)).toEqual(rows([String(id)]));
      }
    });

    test('a transaction is open from BEGIN to COMMIT, and then everybody sees all of it', async () => {
      const [stream, table] = await withTable();
      expect(stream.isAutocommit()).toBe(true);
      expect(await stream.run('BEGIN')).toEqual(rows());
      expect(stream.isAutocommit()).toBe(false);
      await stream.run(`INSERT INTO ${table} VALUES (1, 'a')`);
      await stream.run(`INSERT INTO ${table} VALUES (2, 'b')`);
      expect(await stream.run(`SELECT count(*) FROM ${table}`)).toEqual(rows(['2']));
      expect(stream.isAutocommit()).toBe(false);
      expect(await stream.run('COMMIT')).toEqual(rows());
      expect(stream.isAutocommit()).toBe(true);
      await everybodySees(`SELECT v FROM ${table} ORDER BY id`, rows(['a'], ['b']));
    });

    test('nobody ever sees what was rolled back', async () => {
      const [stream, table] = await withTable();
      await stream.run(`INSERT INTO ${table} VALUES (1, 'a')`);
      await stream.run('BEGIN');
      await stream.run(`UPDATE ${table} SET v = 'b'`);
      expect(await stream.run('ROLLBACK')).toEqual(rows());
      expect(stream.isAutocommit()).toBe(true);
      expect(await stream.run(`SELECT v FROM ${table}`)).toEqual(rows(['a']));
      await everybodySees(`SELECT v FROM ${table}`, rows(['a']));
    });

    test('closing rolls back what is open and makes room for others', async () => {
      const [stream, table] = await withTable();
      const leaving = open();
      await leaving.run('BEGIN');
      await leaving.run(`INSERT INTO ${table} VALUES (1, 'gone')`);
      await leaving.close();
      expect(await stream.run(`INSERT INTO ${table} VALUES (1, 'kept')`)).toEqual(rows());
      expect(await stream.run(`SELECT v FROM ${table}`)).toEqual(rows(['kept']));
      await everybodySees(`SELECT v FROM ${table}`, rows(['kept']));
    });

    test('a stream can be closed twice, and other streams do not notice', async () => {
      const [stream, table] = await withTable();
      const other = open();
      await other.close();
      await other.close();
      expect(await stream.run(`SELECT count(*) FROM ${table}`)).toEqual(rows(['0']));
    });

    test('two that write take turns, and both are kept', async () => {
      const [stream, table] = await withTable();
      const other = open();
      await stream.run('BEGIN');
      await stream.run(`INSERT INTO ${table} VALUES (1, 'a')`);
      const waiting = other.run(`INSERT INTO ${table} VALUES (2, 'b')`);
      await stream.run('COMMIT');
      expect(await waiting).toEqual(rows());
      await everybodySees(`SELECT v FROM ${table} ORDER BY id`, rows(['a'], ['b']));
    });
  });
}
