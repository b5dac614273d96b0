import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../../gateway/hrana/core/hrana-messages.ts';
import { defaultLimits, limitsProblem } from '../../../gateway/hrana/core/protocol-limits.ts';
import { SqlStore } from '../../../gateway/hrana/core/stored-sql.ts';
import { batchProblem, conditionHolds } from '../../../gateway/sql/condition.ts';
import { adviseError, describeError, errorTable, primarySqliteCode } from '../../../gateway/sql/errors.ts';
import type { BatchResult } from '../../../gateway/sql/sql.ts';
import { traceparentOfSql, validTraceparent } from '../../../gateway/sql/trace-context.ts';

const limits = { ...defaultLimits, batchSteps: 3, pipelineRequests: 4, conditionDepth: 5, statementArgs: 4 };
const decoder = createDecoder(limits);
const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function pipelineError(body: unknown): string {
  const outcome = decoder.pipeline(typeof body === 'string' ? body : JSON.stringify(body));
  return outcome.ok ? 'accepted' : `${outcome.error.code}: ${outcome.error.message}`;
}

function withStmt(stmt: object): object {
  return { requests: [{ type: 'execute', stmt }] };
}

describe('the decoder', () => {
  it('fills in what clients may leave out', () => {
    expect(decoder.pipeline(JSON.stringify(withStmt({ sql: 'SELECT 1' })))).toEqual({
      ok: true,
      value: {
        baton: null,
        requests: [
          {
            kind: 'execute',
            statement: { text: { kind: 'text', sql: 'SELECT 1' }, args: [], namedArgs: [], wantRows: true },
          },
        ],
      },
    });
  });

  it('says where a request is malformed, without repeating values', () => {
    expect(pipelineError('{"requests":[secret')).toMatch(
      /^SEXTANT_PROTOCOL_ERROR: The request is not valid JSON/,
    );
    expect(pipelineError({ requests: [{ type: 'close' }, { type: 'explode' }] })).toContain(
      'at requests[1].type: unknown type "explode"',
    );
    const bad = withStmt({ sql: 'SELECT ?', args: [{ type: 'integer', value: 'secret' }] });
    expect(pipelineError(bad)).toContain('at requests[0].stmt.args[0]: expected a 64-bit integer');
    expect(pipelineError(bad)).not.toContain('secret');
    expect(pipelineError(withStmt({ sql: 'SELECT 1', sql_id: 1 }))).toContain(
      'expected either sql or sql_id',
    );
    expect(pipelineError(withStmt({}))).toContain('expected either sql or sql_id');
    for (const body of [
      null,
      1,
      'x',
      [],
      {},
      { requests: null },
      { requests: [null] },
      { baton: 1, requests: [] },
    ]) {
      expect(pipelineError(JSON.stringify(body)), JSON.stringify(body)).toMatch(/^SEXTANT_PROTOCOL_ERROR/);
    }
  });

  it('names the limit that a request passes', () => {
    const step = { stmt: { sql: 'SELECT 1' } };
    expect(pipelineError({ requests: Array(5).fill({ type: 'close' }) })).toContain('pipelineRequests = 4');
    expect(pipelineError({ requests: [{ type: 'batch', batch: { steps: Array(4).fill(step) } }] })).toContain(
      'batchSteps = 3',
    );
  });

  it('bounds the depth of conditions before anything recurses', () => {
    const depth = 200_000;
    const condition = `${'{"type":"not","cond":'.repeat(depth)}{"type":"is_autocommit"}${'}'.repeat(depth)}`;
    const step = `{"stmt":{"sql":"SELECT 1"},"condition":${condition}}`;
    expect(pipelineError(`{"requests":[{"type":"batch","batch":{"steps":[${step}]}}]}`)).toContain(
      'conditionDepth',
    );
  });

  it('gives the same for plain requests with and without the short cut past the schemas', () => {
    const bySchemas = createDecoder(limits, 'schemas');
    const id = fc.oneof(fc.integer({ min: -2, max: 9 }), fc.constantFrom(1.5, '1', null, 2 ** 60));
    const rare = (...values: readonly unknown[]) => fc.constantFrom(...values);
    const value = fc.oneof(
      fc.record({
        type: rare('integer'),
        value: rare('7', '-9223372036854775808', '9223372036854775808', '', 7),
      }),
      fc.record({ type: rare('float'), value: rare(1.5, 1e300, '1.5', null) }),
      fc.record({ type: rare('text'), value: fc.oneof(fc.string(), rare(1, null)) }),
      fc.record({ type: rare('blob'), base64: rare('AQID', 'AQ==', 'AQ', '=', '*', 1) }),
      fc.record({ type: rare('null', 'nothing', undefined) }),
      fc.jsonValue(),
    );
    const stmt = fc.oneof(
      {
        weight: 9,
        arbitrary: fc.record(
          {
            sql: fc.oneof(fc.string(), rare(null, 1)),
            sql_id: id,
            args: fc.oneof(fc.array(value, { maxLength: 5 }), rare(null, {})),
            named_args: rare([], null, [{ name: 'a', value: { type: 'null' } }], {}),
            want_rows: rare(true, false, null, 1),
          },
          { requiredKeys: [] },
        ),
      },
      { weight: 1, arbitrary: fc.jsonValue() },
    );
    const condition = rare(
      null,
      { type: 'ok', step: 0 },
      { type: 'ok', step: -1 },
      { type: 'is_autocommit' },
      [],
    );
    const step = fc.record({ condition, stmt }, { requiredKeys: ['stmt'] });
    const request = fc.oneof(
      fc.record({ type: rare('execute', 'describe'), stream_id: id, stmt }),
      fc.record({
        type: rare('batch'),
        stream_id: id,
        batch: fc.oneof(fc.record({ steps: fc.array(step, { maxLength: 4 }) }), rare(null, {})),
      }),
    );
    const envelope = fc.oneof(
      fc.record({ type: rare('request', 'hello'), request_id: id, request }, { requiredKeys: ['type'] }),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(envelope, (message) => {
        const text = JSON.stringify(message);
        expect(decoder.socketMessage(text)).toEqual(bySchemas.socketMessage(text));
      }),
    );
    fc.assert(
      fc.property(request, (wire) => {
        const received: unknown = JSON.parse(JSON.stringify(wire));
        expect(decoder.socketRequest(received)).toEqual(bySchemas.socketRequest(received));
      }),
      { numRuns: 2_000 },
    );
    const others = rare({ type: 'close' }, { type: 'get_autocommit' }, { type: 'nothing' }, null, []);
    const pipeline = fc.record(
      {
        baton: rare(null, 'a baton', 7),
        requests: fc.oneof(fc.array(fc.oneof(request, others), { maxLength: 5 }), rare(null, {})),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(pipeline, fc.jsonValue()), (body) => {
        const text = JSON.stringify(body);
        expect(decoder.pipeline(text)).toEqual(bySchemas.pipeline(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it('never throws, whatever JSON arrives', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        const text = JSON.stringify(json);
        for (const decode of [decoder.pipeline, decoder.cursor, decoder.socketMessage]) decode(text);
        decoder.socketRequest(json);
        decoder.pipeline(JSON.stringify({ requests: [json, { type: 'execute', stmt: json }] }));
      }),
    );
  });
});

describe('conditions', () => {
  const ran: BatchResult[number] = {
    ok: true,
    value: { columns: [], rows: [], affectedRowCount: 0, lastInsertRowid: null },
  };
  const failed: BatchResult[number] = { ok: false, error: { code: 'SQLITE_ERROR', message: '' } };

  it('treat a skipped step as neither ok nor error', () => {
    for (const [outcome, isOk, isError] of [
      [ran, true, false],
      [failed, false, true],
      [null, false, false],
    ] as const) {
      expect(conditionHolds({ kind: 'ok', step: 0 }, [outcome], true)).toBe(isOk);
      expect(conditionHolds({ kind: 'error', step: 0 }, [outcome], true)).toBe(isError);
    }
  });

  it('combine with not, and, or, is_autocommit', () => {
    const okStep = { kind: 'ok', step: 0 } as const;
    const errorStep = { kind: 'error', step: 0 } as const;
    expect(conditionHolds({ kind: 'and', conditions: [okStep, errorStep] }, [ran], true)).toBe(false);
    expect(conditionHolds({ kind: 'or', conditions: [okStep, errorStep] }, [ran], true)).toBe(true);
    expect(conditionHolds({ kind: 'and', conditions: [] }, [], true)).toBe(true);
    expect(conditionHolds({ kind: 'or', conditions: [] }, [], true)).toBe(false);
    expect(conditionHolds({ kind: 'not', condition: { kind: 'isAutocommit' } }, [], true)).toBe(false);
  });

  it('may refer to earlier steps only', () => {
    const steps = (step: number) => [
      { condition: null },
      { condition: { kind: 'not', condition: { kind: 'ok', step } } } as const,
    ];
    expect(batchProblem(steps(0))).toBeNull();
    expect(batchProblem(steps(1))?.code).toBe('BATCH_COND_BAD_STEP');
  });
});

describe('stored SQL', () => {
  it('is bounded in number and in bytes', () => {
    const store = new SqlStore(2, 10);
    const put = (sqlId: number, sql: string) => store.apply({ kind: 'store_sql', sqlId, sql })?.code ?? null;
    expect(put(1, 'SELECT 1')).toBeNull();
    expect(put(1, 'SELECT 2')).toBe('SEXTANT_PROTOCOL_ERROR');
    expect(put(2, '€€€€')).toBe('SQL_STORE_TOO_LARGE');
    expect(put(2, '€€€')).toBeNull();
    expect(put(3, 'x')).toBe('SQL_STORE_TOO_MANY');
    expect(store.apply({ kind: 'close_sql', sqlId: 1 })).toBeNull();
    expect(store.apply({ kind: 'close_sql', sqlId: 99 })).toBeNull();
    expect(put(3, 'x')).toBeNull();
  });
});

describe('a traceparent', () => {
  it('is found in the first or last comment of a statement only', () => {
    expect(traceparentOfSql(`/*traceparent='${parent}'*/ SELECT 1`)).toBe(parent);
    expect(traceparentOfSql(`SELECT 1 /*a='b',traceparent='${parent}'*/ ; `)).toBe(parent);
    expect(traceparentOfSql(`SELECT '/*traceparent=''${parent}''*/' AS x`)).toBeNull();
    expect(traceparentOfSql(`SELECT /*traceparent='${parent}'*/ 1`)).toBeNull();
    expect(traceparentOfSql(`/*traceparent='${parent}' SELECT 1`)).toBeNull();
    expect(traceparentOfSql("/*traceparent='nonsense'*/ SELECT 1")).toBeNull();
  });

  it('with zero ids or of version ff is none', () => {
    expect(validTraceparent(parent)).toBe(parent);
    expect(validTraceparent(`00-${'0'.repeat(32)}-b7ad6b7169203331-01`)).toBeNull();
    expect(validTraceparent(`ff${parent.slice(2)}`)).toBeNull();
    expect(validTraceparent('')).toBeNull();
  });
});

describe('errors and limits', () => {
  it('have a table whose every entry says what happened and what to do', () => {
    for (const [code, entry] of Object.entries(errorTable)) {
      expect(entry.meaning, code).toMatch(/^[A-Z].*\.$/);
      expect(entry.action, code).toMatch(/^[A-Z].*\.$/);
      expect(entry.httpStatus, code).toBeGreaterThanOrEqual(400);
    }
    expect(adviseError('SEXTANT_NO_WRITER', 'Nobody writes').message).toBe(
      `Nobody writes. ${errorTable.SEXTANT_NO_WRITER.action}`,
    );
  });

  it('never call a commit of unknown fate retryable', () => {
    expect(describeError('SEXTANT_COMMIT_UNKNOWN').retryable).toBe(false);
  });

  it('know SQLite by primary names and survive unknown codes', () => {
    expect(primarySqliteCode('SQLITE_CONSTRAINT_UNIQUE')).toBe('SQLITE_CONSTRAINT');
    expect(describeError('SQLITE_NOLFS').httpStatus).toBe(400);
    expect(describeError('constructor').httpStatus).toBe(500);
  });

  it('refuse limits that do not fit together, naming them', () => {
    expect(limitsProblem({ ...defaultLimits, bodyBytes: 2 ** 40 })).toContain('bodyBytesInFlight');
    expect(limitsProblem({ ...defaultLimits, storedSqlPerHttpStream: 10 })).toContain(
      'storedSqlPerHttpStream',
    );
    expect(limitsProblem({ ...defaultLimits, streamIdleMs: 0.5 })).toContain('streamIdleMs');
  });
});
