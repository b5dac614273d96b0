/** Requests to the admin API of the gateway that served the page. */
import { credentials } from './session.ts';

export interface Refusal {
  readonly ok: false;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly code: string;
  /** A sentence for the reader. */
  readonly message: string;
}
export type Answer<T> = { readonly ok: true; readonly body: T } | Refusal;

const answerMs = 8_000;
/** A drill looks around before it begins. */
export const drillStartMs = 70_000;

/** @param body makes it a `POST`, unless `method` says otherwise. */
export async function ask<T>(
  path: string,
  options: { readonly method?: string; readonly body?: unknown; readonly waitMs?: number } = {},
): Promise<Answer<T>> {
  const { body, method = body === undefined ? 'GET' : 'POST', waitMs = answerMs } = options;
  try {
    const response = await fetch(path, {
      method,
      headers: { ...credentials(), ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(waitMs),
      cache: 'no-store',
    });
    if (!response.ok) return await refusalOf(response);
    return { ok: true, body: (await response.json()) as T };
  } catch (error) {
    const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
    const message = timedOut
      ? `The gateway did not answer within ${waitMs / 1_000} s. It may have acted all the same.`
      : 'The gateway does not answer.';
    return { ok: false, status: 0, code: 'NO_ANSWER', message };
  }
}

/** What a response that is no success says. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const { status } = response;
  let said: { code?: unknown; message?: unknown } = {};
  try {
    said = (await response.json()) as typeof said;
  } catch {
    // A proxy answered, or nobody: the status alone is told.
  }
  const code = typeof said.code === 'string' ? said.code : `HTTP_${status}`;
  const words =
    typeof said.message === 'string' ? said.message : `The gateway answered with status ${status}.`;
  const message = status === 403 ? `Your token does not allow this. ${words}` : words;
  return { ok: false, status, code, message };
}
