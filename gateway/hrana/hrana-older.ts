/** The APIs of libSQL's servers before there were streams: a request is run on a session of its own. */
import { adviseFailure, failure } from '../sql/errors.ts';
import type { SqlOutcome, SqlRequestContext, SqlSession } from '../sql/sql.ts';
import { type AnswerText, joinText, withoutHead } from './core/answer-text.ts';
import type { HranaDecoder } from './core/hrana-messages.ts';
import { decodeStatements, encodeStatements } from './core/hrana-statements.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';
import { contextOf, readyRequest, readySteps, SqlStore } from './core/stored-sql.ts';
import { runRequest } from './run-request.ts';

/** Nothing can be stored where nothing lasts. */
const noStore = new SqlStore(0, 0);

/**
 * Runs `POST /v1/execute`, `/v1/batch` or `/`, and returns the body of the answer. A transaction that the request leaves
 * open can never be ended, so the caller's closing of the session rolls it back; where the client would not notice, it is told.
 */
export async function runOlder(
  kind: 'execute' | 'batch' | 'statements',
  text: string,
  session: SqlSession,
  decoder: HranaDecoder,
  limits: GatewayLimits,
  context: SqlRequestContext,
): Promise<SqlOutcome<AnswerText>> {
  const answer =
    kind === 'statements'
      ? await statements(text, session, limits, context)
      : await first(kind, text, session, decoder, limits, context);
  if (!answer.ok || session.isAutocommit()) return answer;
  return failure(
    'SEXTANT_PROTOCOL_ERROR',
    'The transaction was rolled back: with this API it ends with its request, which has to hold its COMMIT.',
  );
}

async function first(
  kind: 'execute' | 'batch',
  text: string,
  session: SqlSession,
  decoder: HranaDecoder,
  limits: GatewayLimits,
  context: SqlRequestContext,
): Promise<SqlOutcome<AnswerText>> {
  const request = decoder.first(kind, text);
  if (!request.ok) return request;
  const ready = readyRequest(request.value, noStore);
  if (!ready.ok) return ready;
  const ran = await runRequest(session, ready.value, contextOf(ready.value, context), limits.responseBytes);
  if (!ran.ok) return ran;
  // A response is `{"type":…,"result":…}`, and here it has no type.
  const result = withoutHead(ran.value, `{"type":"${kind}",`.length);
  return { ok: true, value: joinText(['{', result]) };
}

async function statements(
  text: string,
  session: SqlSession,
  limits: GatewayLimits,
  context: SqlRequestContext,
): Promise<SqlOutcome<AnswerText>> {
  const decoded = decodeStatements(text, limits);
  if (!decoded.ok) return decoded;
  const ready = readySteps(decoded.value, noStore, false);
  if (!ready.ok) return ready;
  const ran = await session.batch(ready.value, contextOf({ kind: 'batch', steps: ready.value }, context));
  if (!ran.ok) return ran;
  const body = encodeStatements(ran.value, limits.responseBytes);
  if (body !== null) return { ok: true, value: body };
  return adviseFailure('RESPONSE_TOO_LARGE', `The limit responseBytes = ${limits.responseBytes} is reached`);
}
