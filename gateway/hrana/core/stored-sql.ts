/** What one stream or connection remembers (stored SQL), and requests made ready to run. Pure. */
import { batchProblem } from '../../sql/condition.ts';
import { isForeign, sqliteText } from '../../sql/dialect.ts';
import { adviseError, adviseFailure, failure } from '../../sql/errors.ts';
import type { BatchStep, SqlError, SqlOutcome, SqlRequestContext, SqlStatement } from '../../sql/sql.ts';
import { traceparentOfSql } from '../../sql/trace-context.ts';
import type { SqlText, StoreRequest, StreamRequest, WireStatement, WireStep } from './hrana-messages.ts';

/** A request that needs nothing but a session: stored texts resolved, conditions and arguments checked. */
export type ReadyRequest =
  | { readonly kind: 'execute'; readonly statement: SqlStatement }
  | { readonly kind: 'batch'; readonly steps: readonly BatchStep[] }
  | { readonly kind: 'sequence'; readonly sql: string }
  | { readonly kind: 'describe'; readonly sql: string }
  | { readonly kind: 'get_autocommit' };

/** Length of a text in UTF-8, lone surrogates as three bytes. */
function utf8Bytes(text: string): number {
  return Buffer.byteLength(text);
}

/** SQL texts kept by id: per stream on HTTP, per connection on WebSocket. Bounded in number and size. */
export class SqlStore {
  readonly #texts = new Map<number, string>();
  readonly #maxTexts: number;
  readonly #maxBytes: number;

  constructor(maxTexts: number, maxBytes: number) {
    this.#maxTexts = maxTexts;
    this.#maxBytes = maxBytes;
  }

  /** Carries out `store_sql` or `close_sql`; returns the error or null. Closing an unknown id does nothing. */
  apply(request: StoreRequest): SqlError | null {
    const { sqlId } = request;
    if (request.kind === 'close_sql') {
      this.#texts.delete(sqlId);
      return null;
    }
    if (this.#texts.has(sqlId))
      return adviseError('SEXTANT_PROTOCOL_ERROR', `SQL text ${sqlId} is already stored`);
    if (this.#texts.size >= this.#maxTexts) {
      return adviseError(
        'SQL_STORE_TOO_MANY',
        `${this.#maxTexts} SQL texts are stored already, the most allowed`,
      );
    }
    if (utf8Bytes(request.sql) > this.#maxBytes) {
      return adviseError('SQL_STORE_TOO_LARGE', `The SQL text is longer than ${this.#maxBytes} bytes`);
    }
    this.#texts.set(sqlId, request.sql);
    return null;
  }

  /** A statement's or a script's text, as SQLite takes it. */
  text(text: SqlText, kind: 'statement' | 'script'): SqlOutcome<string> {
    if (text.kind === 'text') return spoken(text.sql, kind);
    const sql = this.#texts.get(text.sqlId);
    if (sql !== undefined) return spoken(sql, kind);
    return adviseFailure('SEXTANT_PROTOCOL_ERROR', `SQL text ${text.sqlId} is not stored`);
  }
}

function spoken(sql: string, kind: 'statement' | 'script'): SqlOutcome<string> {
  return isForeign(sql, kind) ? sqliteText(sql) : { ok: true, value: sql };
}

function readyStatement(wire: WireStatement, store: SqlStore, textRows: boolean): SqlOutcome<SqlStatement> {
  const sql = store.text(wire.text, 'statement');
  if (!sql.ok) return sql;
  const { args, namedArgs, wantRows } = wire;
  if (args.length > 0 && namedArgs.length > 0) {
    return failure(
      'ARGS_BOTH_POSITIONAL_AND_NAMED',
      'Specifying both positional and named arguments is not supported',
    );
  }
  return { ok: true, value: { sql: sql.value, args, namedArgs, wantRows, textRows } };
}

/**
 * Steps with their texts resolved and their conditions checked; the first problem fails the whole batch.
 * @param textRows many rows may come as text.
 */
export function readySteps(
  wire: readonly WireStep[],
  store: SqlStore,
  textRows: boolean,
): SqlOutcome<readonly BatchStep[]> {
  const bad = batchProblem(wire);
  if (bad !== null) return { ok: false, error: bad };
  const steps: BatchStep[] = [];
  for (const { condition, statement } of wire) {
    const ready = readyStatement(statement, store, textRows);
    if (!ready.ok) return ready;
    steps.push({ condition, statement: ready.value });
  }
  return { ok: true, value: steps };
}

/** Makes a request ready, reading stored texts as they are at this moment. */
export function readyRequest(request: StreamRequest, store: SqlStore): SqlOutcome<ReadyRequest> {
  switch (request.kind) {
    case 'execute': {
      const statement = readyStatement(request.statement, store, true);
      return statement.ok ? { ok: true, value: { kind: 'execute', statement: statement.value } } : statement;
    }
    case 'batch': {
      const steps = readySteps(request.steps, store, true);
      return steps.ok ? { ok: true, value: { kind: 'batch', steps: steps.value } } : steps;
    }
    case 'sequence':
    case 'describe': {
      const sql = store.text(request.text, request.kind === 'sequence' ? 'script' : 'statement');
      return sql.ok ? { ok: true, value: { kind: request.kind, sql: sql.value } } : sql;
    }
    case 'get_autocommit':
      return { ok: true, value: request };
  }
}

/** The context of a request: a `traceparent` in its SQL is closer to the caller than the connection's header. */
export function contextOf(request: ReadyRequest, fallback: SqlRequestContext): SqlRequestContext {
  let found: string | null = null;
  switch (request.kind) {
    case 'execute':
      found = traceparentOfSql(request.statement.sql);
      break;
    case 'sequence':
    case 'describe':
      found = traceparentOfSql(request.sql);
      break;
    case 'batch':
      for (const step of request.steps) {
        found = traceparentOfSql(step.statement.sql);
        if (found !== null) break;
      }
      break;
    case 'get_autocommit':
      break;
  }
  return found === null ? fallback : { traceparent: found };
}
