/**
 * What a backend's messages say, as the engine needs it: whose turn it is, what was done, what went wrong. A message is a type byte,
 * a length of four bytes that counts itself, and a body. Those that the engine makes are `postgres/protocol/core/`'s. Pure.
 */
import assert from 'node:assert/strict';
import { concatBytes } from '../../../../../storage/redo.ts';
import type { SqlError } from '../../../../sql/sql.ts';

const text = new TextDecoder();
const headBytes = 5;
const readyBytes = 6;

/** One message within a buffer. */
export interface WireMessage {
  /** One character. */
  readonly type: string;
  readonly body: Uint8Array;
  /** The message whole. */
  readonly whole: Uint8Array;
}

/** Whole messages that lie back to back. */
export function* messagesOf(bytes: Uint8Array): Generator<WireMessage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + view.getUint32(at + 1);
    assert(end <= bytes.length && end >= at + headBytes, 'messages of a backend are whole');
    const whole = bytes.subarray(at, end);
    yield { type: String.fromCharCode(bytes[at] ?? 0), body: whole.subarray(headBytes), whole };
    at = end;
  }
}

/** Fields of an ErrorResponse or NoticeResponse by their letter. */
export function fieldsOf(body: Uint8Array): ReadonlyMap<string, string> {
  const fields = text.decode(body).split('\0');
  return new Map(fields.filter((field) => field !== '').map((field) => [field.slice(0, 1), field.slice(1)]));
}

/** An answer with another ErrorResponse in the place of its first one. */
export function withError(answer: Uint8Array, error: Uint8Array): Uint8Array {
  let isNext = true;
  const parts = [...messagesOf(answer)].map(({ type, whole }) => {
    if (type !== 'E' || !isNext) return whole;
    isNext = false;
    return error;
  });
  return concatBytes(parts);
}

/** An answer with one message more before its last one, which is ReadyForQuery. */
export function beforeReady(answer: Uint8Array, more: Uint8Array): Uint8Array {
  const at = answer.length - readyBytes;
  return concatBytes([answer.subarray(0, at), more, answer.subarray(at)]);
}

/** Up to the first zero. */
export function stringOf(body: Uint8Array, at = 0): string {
  const end = body.indexOf(0, at);
  return text.decode(body.subarray(at, end < 0 ? body.length : end));
}

/** Columns of a DataRow as texts; null for NULL. */
export function rowOf(body: Uint8Array): readonly (string | null)[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const values: (string | null)[] = [];
  let at = 2;
  for (let left = view.getUint16(0); left > 0; left--) {
    const length = view.getInt32(at);
    at += 4;
    values.push(length < 0 ? null : text.decode(body.subarray(at, at + length)));
    if (length > 0) at += length;
  }
  return values;
}

/** What an answer of a backend says about its session. */
export interface AnswerFacts {
  /** Status byte of its last ReadyForQuery; null when there is none. */
  readonly status: 'I' | 'T' | 'E' | null;
  /** Its errors: SQLSTATE and text. */
  readonly errors: readonly SqlError[];
  /** What each statement is said to have done, as `UPDATE 1` or `SET`. */
  readonly tags: readonly string[];
  /** The backend is at its end: the text of its FATAL or PANIC. */
  readonly ends: string | null;
}

/** Reads an answer once, past its rows. */
export function answerFacts(answer: Uint8Array): AnswerFacts {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const errors: SqlError[] = [];
  const tags: string[] = [];
  let status: AnswerFacts['status'] = null;
  let ends: string | null = null;
  for (let at = 0; at < answer.length; ) {
    const end = at + 1 + view.getUint32(at + 1);
    switch (answer[at]) {
      case typeOf.row:
        break;
      case typeOf.ready:
        status = String.fromCharCode(answer[at + headBytes] ?? 0) as AnswerFacts['status'];
        break;
      case typeOf.complete:
        tags.push(stringOf(answer, at + headBytes));
        break;
      case typeOf.error: {
        const fields = fieldsOf(answer.subarray(at + headBytes, end));
        errors.push({ code: fields.get('C') ?? '', message: fields.get('M') ?? '' });
        const severity = fields.get('V') ?? '';
        if (severity === 'FATAL' || severity === 'PANIC') ends ??= `${severity}: ${fields.get('M') ?? ''}`;
      }
    }
    at = end;
  }
  return { status, errors, tags, ends };
}

const typeOf = { row: 0x44, ready: 0x5a, complete: 0x43, error: 0x45 } as const;
