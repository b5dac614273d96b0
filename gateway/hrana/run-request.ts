/** Runs ready requests on a session and encodes the answers; shared by HTTP and WebSocket. */
import assert from 'node:assert/strict';
import { adviseFailure } from '../sql/errors.ts';
import type { BatchResult, SqlOutcome, SqlRequestContext, SqlSession } from '../sql/sql.ts';
import { type AnswerText, joinText } from './core/answer-text.ts';
import { encodeBatchResult, encodeDescription, encodeResult } from './core/hrana-encode.ts';
import { mergeWrites, splitOutcome, type Write } from './core/merged-writes.ts';
import type { ReadyRequest } from './core/stored-sql.ts';

function sized(type: string, result: AnswerText | null, maxLength: number): SqlOutcome<AnswerText> {
  if (typeof result === 'string') return { ok: true, value: `{"type":"${type}","result":${result}}` };
  if (result !== null) return { ok: true, value: joinText([`{"type":"${type}","result":`, result, '}']) };
  return adviseFailure(
    'RESPONSE_TOO_LARGE',
    `The result does not fit into the limit responseBytes = ${maxLength}`,
  );
}

/**
 * Runs one request and returns its `response` object as JSON text. Settles when the session lets the response
 * leave. `maxLength` bounds the text, in UTF-16 units.
 */
export function runRequest(
  session: SqlSession,
  request: ReadyRequest,
  context: SqlRequestContext,
  maxLength: number,
): Promise<SqlOutcome<AnswerText>> {
  switch (request.kind) {
    case 'execute':
      return session
        .execute(request.statement, context)
        .then((outcome) =>
          outcome.ok ? sized('execute', encodeResult(outcome.value, maxLength), maxLength) : outcome,
        );
    case 'batch':
      return session
        .batch(request.steps, context)
        .then((outcome) =>
          outcome.ok ? sized('batch', encodeBatchResult(outcome.value, maxLength), maxLength) : outcome,
        );
    case 'sequence':
      return session
        .sequence(request.sql, context)
        .then((outcome) => (outcome.ok ? { ok: true, value: '{"type":"sequence"}' } : outcome));
    case 'describe':
      return session
        .describe(request.sql, context)
        .then((outcome) =>
          outcome.ok ? sized('describe', encodeDescription(outcome.value), maxLength) : outcome,
        );
    case 'get_autocommit': {
      const value = `{"type":"get_autocommit","is_autocommit":${session.isAutocommit()}}`;
      return Promise.resolve({ ok: true, value });
    }
  }
}

/** As `runRequest`, of several writes as one operation: what became of each, in their order. */
export function runWrites(
  session: SqlSession,
  writes: readonly Write[],
  context: SqlRequestContext,
  maxLength: number,
): Promise<readonly SqlOutcome<AnswerText>[]> {
  return session
    .batch(mergeWrites(writes), context)
    .then((outcome) =>
      splitOutcome(writes, outcome).map((own, index) =>
        own.ok ? encodeWrite(writes[index], own.value, maxLength) : own,
      ),
    );
}

function encodeWrite(
  write: Write | undefined,
  steps: BatchResult,
  maxLength: number,
): SqlOutcome<AnswerText> {
  if (write?.kind === 'batch') return sized('batch', encodeBatchResult(steps, maxLength), maxLength);
  const [only] = steps;
  assert(only !== null && only !== undefined, 'a step without a condition runs');
  return only.ok ? sized('execute', encodeResult(only.value, maxLength), maxLength) : only;
}
