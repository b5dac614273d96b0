/** The requests of an HTTP pipeline, in their order; writes that follow each other are one operation (`core/merged-writes.ts`). */
import assert from 'node:assert/strict';
import type { SqlOutcome, SqlRequestContext, SqlSession } from '../sql/sql.ts';
import type { AnswerText } from './core/answer-text.ts';
import type { PipelineRequest } from './core/hrana-messages.ts';
import { mergeable, plainWrite, type Write } from './core/merged-writes.ts';
import { contextOf, readyRequest, type SqlStore } from './core/stored-sql.ts';
import { runRequest, runWrites } from './run-request.ts';

/** What a pipeline runs on. */
export interface PipelineStream {
  readonly session: SqlSession;
  readonly store: SqlStore;
}

type Outcomes = readonly SqlOutcome<AnswerText>[];

/**
 * Runs the request at a place of a pipeline, with those behind it that are one operation with it.
 * @returns their `response` objects; a promise only where there is something to wait for.
 */
export function runFrom(
  stream: PipelineStream,
  requests: readonly PipelineRequest[],
  at: number,
  context: SqlRequestContext,
  maxLength: number,
): Outcomes | Promise<Outcomes> {
  const [first, second] = [requests[at], requests[at + 1]];
  assert(first !== undefined, 'the place is one of the pipeline');
  if (second?.kind === 'execute' || second?.kind === 'batch') {
    const writes = mergeable(writesFrom(requests, at, stream.store));
    if (writes.length > 1) return runWrites(stream.session, writes, context, maxLength);
  }
  const outcome = run(stream, first, context, maxLength);
  return outcome instanceof Promise ? outcome.then((only) => [only]) : [outcome];
}

function run(
  { session, store }: PipelineStream,
  request: PipelineRequest,
  context: SqlRequestContext,
  maxLength: number,
): SqlOutcome<AnswerText> | Promise<SqlOutcome<AnswerText>> {
  switch (request.kind) {
    case 'close':
      return { ok: true, value: '{"type":"close"}' };
    case 'store_sql':
    case 'close_sql': {
      const error = store.apply(request);
      return error === null ? { ok: true, value: `{"type":"${request.kind}"}` } : { ok: false, error };
    }
    default: {
      const ready = readyRequest(request, store);
      if (!ready.ok) return ready;
      return runRequest(session, ready.value, contextOf(ready.value, context), maxLength);
    }
  }
}

/** The writes from a place on; null where something else comes between them. */
function* writesFrom(
  requests: readonly PipelineRequest[],
  at: number,
  store: SqlStore,
): Generator<Write | null, void, undefined> {
  for (let index = at; index < requests.length; index += 1) {
    const request = requests[index];
    if (request?.kind !== 'execute' && request?.kind !== 'batch') return;
    const ready = readyRequest(request, store);
    yield ready.ok ? plainWrite(ready.value) : null;
  }
}
