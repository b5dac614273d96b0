import { expect, test } from 'vitest';
import { defaultSpanLimits } from '../../../gateway/observe/core/span-limits.ts';
import { RequestTracer } from '../../../gateway/observe/request-tracer.ts';
import { queryMessage } from '../../../gateway/postgres/protocol/core/client-messages.ts';
import type { SqlOperation } from '../../../gateway/sql/operation.ts';
import { disabledTelemetry, newSpanId, newTraceId, type ServerRow } from '../../../telemetry/index.ts';

const context = { traceId: newTraceId(), spanId: newSpanId(), sampled: true };

function recorded(...[operation, error]: [SqlOperation, Parameters<RequestTracer['ended']>[2]]): ServerRow {
  const rows: ServerRow[] = [];
  const telemetry = {
    ...disabledTelemetry,
    enabled: true,
    recordServer: (row: ServerRow) => void rows.push(row),
  };
  const tracer = new RequestTracer({
    telemetry,
    system: 'postgresql',
    namespace: 'cluster',
    nodes: [],
    limits: defaultSpanLimits,
  });
  tracer.ended({ context, parentSpanId: null, startUs: 1 }, operation, error, 'session');
  tracer.close();
  const [row] = rows;
  if (row === undefined) throw new Error('no span was recorded');
  return row;
}

const wire = (...statements: readonly string[]): SqlOperation => ({
  kind: 'wire',
  messages: queryMessage(statements.join('; ')),
  prepared: [],
  statements,
  class: 'write',
  settings: {},
});

test('a statement of a PostgreSQL database has its verb, its system and its text without literals', () => {
  expect(recorded(wire("INSERT INTO t VALUES ($$secret$$, E'it\\'s', $1)"), null)).toMatchObject({
    name: 'INSERT',
    system: 'postgresql',
    namespace: 'cluster',
    text: 'INSERT INTO t VALUES (?, ?, $1)',
    batchSize: null,
    error: null,
  });
  expect(recorded(wire('TRUNCATE a', 'COPY b FROM STDIN'), null)).toMatchObject({
    name: 'BATCH',
    batchSize: 2,
  });
});

test("PostgreSQL's errors are told by their SQLSTATE, and Sextant's own by the SQLSTATE that the client gets, too", () => {
  const duplicate = { code: '23505', message: 'duplicate key' };
  expect(recorded(wire('INSERT'), duplicate).error).toEqual({ ...duplicate, status: '23505' });
  const unknown = { code: 'SEXTANT_COMMIT_UNKNOWN', message: 'who knows' };
  expect(recorded(wire('COMMIT'), unknown).error).toEqual({ ...unknown, status: '08007' });
  const sqlite: SqlOperation = { kind: 'sequence', sql: 'COMMIT' };
  expect(recorded(sqlite, unknown).error).toEqual({ ...unknown, status: unknown.code });
});
