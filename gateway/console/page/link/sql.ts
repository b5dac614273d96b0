/** One SQL statement over the gateway's own protocol, of whose rows no more are read than are wanted. */
import { cursorBody, noRows, type SqlProgress, takeLine } from '../core/sql-rows.ts';
import { refusalOf } from './ask.ts';
import { credentials } from './session.ts';

export interface SqlOutcome extends SqlProgress {
  /** From the request sent to the last row read. */
  readonly tookMs: number;
  /** The trace that the gateway was asked to put it in, in hex. */
  readonly traceId: string;
}

const hex = (bytes: number): string =>
  [...crypto.getRandomValues(new Uint8Array(bytes))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');

/** @param level the consistency that it reads with. @param signal ends it. */
export async function runSql(
  sql: string,
  level: string,
  limit: number,
  signal: AbortSignal,
): Promise<SqlOutcome> {
  const begunMs = performance.now();
  const traceId = hex(16);
  const ended = (progress: SqlProgress): SqlOutcome => ({
    ...progress,
    tookMs: performance.now() - begunMs,
    traceId,
  });
  const failed = (code: string, message: string): SqlOutcome =>
    ended({ ...noRows, error: { code, message } });
  try {
    const response = await fetch(`/read/${level}/v3/cursor`, {
      method: 'POST',
      headers: {
        ...credentials(),
        'content-type': 'application/json',
        traceparent: `00-${traceId}-${hex(8)}-01`,
      },
      body: cursorBody(sql),
      signal,
      cache: 'no-store',
    });
    if (!response.ok || response.body === null) {
      const { code, message } = await refusalOf(response);
      return failed(code, message);
    }
    return ended(await readRows(response.body, limit));
  } catch {
    return signal.aborted
      ? failed('STOPPED', 'You have stopped it. A write may have been committed all the same.')
      : failed('NO_ANSWER', 'The gateway does not answer. A write may have been committed all the same.');
  }
}

/** The statement has ended before its first row is sent, so that leaving the rest unread undoes nothing. */
async function readRows(body: ReadableStream<Uint8Array<ArrayBuffer>>, limit: number): Promise<SqlProgress> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let progress = noRows;
  let rest = '';
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) progress = takeLine(progress, line, limit);
    if (progress.hasMore) {
      void reader.cancel();
      return progress;
    }
  }
  return takeLine(progress, rest, limit);
}
