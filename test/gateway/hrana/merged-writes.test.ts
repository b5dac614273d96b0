import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  mergeable,
  mergeWrites,
  plainWrite,
  splitOutcome,
  type Write,
} from '../../../gateway/hrana/core/merged-writes.ts';
import type { ReadyRequest } from '../../../gateway/hrana/core/stored-sql.ts';
import { failure } from '../../../gateway/sql/errors.ts';
import type { BatchCondition, BatchStep, SqlOutcome, SqlStatement } from '../../../gateway/sql/sql.ts';
import { createSqlTwin } from '../sql/sql-twin.ts';
import { execute, pipelineOf, RawSocket, startHarness } from './hrana-harness.ts';

const statement = (sql: string): SqlStatement => ({ sql, args: [], namedArgs: [], wantRows: true });
const alone = (sql: string): Write => ({ kind: 'execute', statement: statement(sql) });
const insert = alone('INSERT INTO t VALUES (1)');

describe('which requests may be one operation with others', () => {
  test.each([
    ['an INSERT', alone('INSERT INTO t VALUES (1)'), true],
    ['an UPDATE behind a comment', alone('-- by key\nUPDATE t SET a = 1'), true],
    [
      'a batch of writes',
      { kind: 'batch', steps: [{ condition: null, statement: statement('DELETE FROM t') }] },
      true,
    ],
    ['a SELECT, which another thread reads', alone('SELECT 1'), false],
    ['a BEGIN', alone('BEGIN IMMEDIATE'), false],
    ['a COMMIT', alone('COMMIT'), false],
    ['a change of the schema', alone('CREATE TABLE u (a)'), false],
    ['a write that returns rows', alone('INSERT INTO t VALUES (1) RETURNING a'), false],
    ['a write that may be of a temporary table', alone('INSERT INTO temp.t VALUES (1)'), false],
    [
      'a write with a trace of its own',
      alone(
        "/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ INSERT INTO t VALUES (1)",
      ),
      false,
    ],
    ['a script', { kind: 'sequence', sql: 'INSERT INTO t VALUES (1)' }, false],
    [
      'a batch with a transaction',
      { kind: 'batch', steps: [{ condition: null, statement: statement('BEGIN') }] },
      false,
    ],
  ] satisfies [string, ReadyRequest, boolean][])('%s', (_, request, expected) => {
    expect(plainWrite(request) !== null).toBe(expected);
  });

  test('those before the first that may not, and at most 256 statements', () => {
    expect(mergeable([insert, insert, null, insert])).toHaveLength(2);
    expect(mergeable([null, insert])).toHaveLength(0);
    const step = { condition: null, statement: statement('DELETE FROM t') };
    const batch: Write = { kind: 'batch', steps: new Array<BatchStep>(100).fill(step) };
    expect(mergeable([batch, batch, batch])).toHaveLength(2);
    expect(mergeable(Array.from({ length: 300 }, () => insert))).toHaveLength(256);
  });
});

/** Keys collide, so that some statements fail. */
const sqls = fc.oneof(
  fc.integer({ min: 0, max: 5 }).map((key) => `INSERT INTO t VALUES (${key}, 0)`),
  fc.integer({ min: 0, max: 5 }).map((key) => `UPDATE t SET v = v + 1 WHERE k = ${key}`),
  fc.integer({ min: 0, max: 5 }).map((key) => `DELETE FROM t WHERE k = ${key}`),
  fc.constant('INSERT INTO nowhere VALUES (1)'),
);

/** Conditions that name earlier steps of the same batch. */
const conditions = (before: number): fc.Arbitrary<BatchCondition | null> => {
  if (before === 0) return fc.constant(null);
  const step = fc.integer({ min: 0, max: before - 1 });
  const plain: fc.Arbitrary<BatchCondition> = fc.oneof(
    step.map((step) => ({ kind: 'ok', step }) as const),
    step.map((step) => ({ kind: 'error', step }) as const),
    fc.constant({ kind: 'isAutocommit' } as const),
  );
  return fc.oneof(
    fc.constant(null),
    plain,
    plain.map((condition) => ({ kind: 'not', condition }) as const),
    fc.array(plain, { maxLength: 3 }).map((parts) => ({ kind: 'and', conditions: parts }) as const),
    fc.array(plain, { maxLength: 3 }).map((parts) => ({ kind: 'or', conditions: parts }) as const),
  );
};

const writes: fc.Arbitrary<Write> = fc.oneof(
  sqls.map(alone),
  fc.array(sqls, { minLength: 1, maxLength: 4 }).chain((texts) =>
    fc.tuple(...texts.map((_, index) => conditions(index))).map(
      (found): Write => ({
        kind: 'batch',
        steps: texts.map(
          (sql, index): BatchStep => ({
            condition: found[index] ?? null,
            statement: statement(sql),
          }),
        ),
      }),
    ),
  ),
);

describe('several writes as one operation', () => {
  const context = { traceparent: null };

  test('leave the same rows and the same answers as one after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(writes, { minLength: 2, maxLength: 8 }), async (all) => {
        const run = async (together: boolean) => {
          const twin = createSqlTwin();
          const opened = twin.service.openSession();
          if (!opened.ok) throw new Error(opened.error.message);
          const session = opened.value;
          await session.execute(statement('CREATE TABLE t (k PRIMARY KEY, v)'), context);
          const answers: unknown[] = [];
          if (together) answers.push(...splitOutcome(all, await session.batch(mergeWrites(all), context)));
          else
            for (const write of all) {
              if (write.kind === 'batch') answers.push(await session.batch(write.steps, context));
              else answers.push({ ok: true, value: [await session.execute(write.statement, context)] });
            }
          const rows = await session.execute(statement('SELECT * FROM t ORDER BY k'), context);
          await session.close();
          twin.close();
          return { answers, rows };
        };
        expect(await run(true)).toEqual(await run(false));
      }),
      { numRuns: 40 },
    );
  });

  test('are each told what is said of the whole operation', () => {
    const unknown: SqlOutcome<never> = failure('SEXTANT_COMMIT_UNKNOWN', 'nobody knows');
    expect(splitOutcome([insert, insert], unknown)).toEqual([unknown, unknown]);
  });
});

describe('G72: writes that follow each other on one stream', () => {
  const kinds = (results: readonly unknown[]) => results.map((result) => Object(result).type);

  test('are one operation in an HTTP pipeline, each with an answer of its own', async () => {
    const { post, twin } = await startHarness();
    await post('/v2/pipeline', {
      requests: [execute('CREATE TABLE t (k PRIMARY KEY, v)'), { type: 'close' }],
    });
    const before = twin.contexts.length;
    const batch = { type: 'batch', batch: { steps: [{ stmt: { sql: 'INSERT INTO t VALUES (3, 0)' } }] } };
    const answer = await post('/v2/pipeline', {
      requests: [
        execute('INSERT INTO t VALUES (?, 0)', [{ type: 'integer', value: '1' }]),
        execute('INSERT INTO t VALUES (1, 0)'),
        batch,
        execute('SELECT count(*) FROM t'),
        execute('UPDATE t SET v = 2'),
        { type: 'close' },
      ],
    });
    const { results } = pipelineOf(answer);
    expect(kinds(results)).toEqual(['ok', 'error', 'ok', 'ok', 'ok', 'ok']);
    expect(results).toMatchObject([
      { response: { type: 'execute', result: { affected_row_count: 1 } } },
      { error: { code: 'SQLITE_CONSTRAINT' } },
      {
        response: {
          type: 'batch',
          result: { step_results: [{ affected_row_count: 1 }], step_errors: [null] },
        },
      },
      { response: { type: 'execute', result: { rows: [[{ value: '2' }]] } } },
      { response: { type: 'execute', result: { affected_row_count: 2 } } },
      { response: { type: 'close' } },
    ]);
    // The three writes, the read, and the write behind it.
    expect(twin.contexts.length - before).toBe(3);
  });

  test('are one operation on a WebSocket once they wait behind another, and answered in order', async () => {
    const { ws, twin } = await startHarness();
    const socket = await RawSocket.greeted(ws);
    socket.ask(1, { type: 'open_stream', stream_id: 1 });
    const ask = (id: number, sql: string) => socket.ask(id, { type: 'execute', stream_id: 1, stmt: { sql } });
    ask(2, 'CREATE TABLE t (k PRIMARY KEY)');
    await socket.next();
    await socket.next();
    const release = twin.hold();
    const before = twin.contexts.length;
    for (let id = 3; id <= 12; id += 1) ask(id, `INSERT INTO t VALUES (${id % 9})`);
    ask(13, 'SELECT count(*) FROM t');
    await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    const answers: unknown[] = [];
    for (let id = 3; id <= 13; id += 1) answers.push(await socket.next());
    expect(answers.map((answer) => Object(answer).request_id)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    expect(kinds(answers).filter((type) => type === 'response_error')).toHaveLength(1);
    expect(answers.at(-1)).toMatchObject({ response: { result: { rows: [[{ value: '9' }]] } } });
    // The first, the nine that waited behind it, and the read.
    expect(twin.contexts.length - before).toBe(3);
  });
});
