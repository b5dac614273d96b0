/** Reads what the engine answered, and makes of it what the client gets. Pure. */
import { BodyReader } from '../protocol/core/message-bytes.ts';
import { commandComplete } from '../protocol/core/server-messages.ts';
import type { Effect } from '../sql/core/statement-facts.ts';
import type { TableChange } from './prepared-table.ts';
import type { WireBatch } from './wire-batch.ts';

export interface AnswerRead {
  /** For the client, without ReadyForQuery. */
  readonly parts: readonly Uint8Array[];
  /** ReadyForQuery, where there was one. */
  readonly ready: Uint8Array | null;
  /** An error came. */
  readonly failed: boolean;
  /** Changes of prepared statements that took place. */
  readonly changes: readonly TableChange[];
  /** What the front end has to do itself, for statements that ended well. */
  readonly effects: readonly Effect[];
  /** The last statement that ended a transaction. */
  readonly ended: 'COMMIT' | 'ROLLBACK' | null;
  /** Settings that the engine itself has told the client of, lower case. */
  readonly told: ReadonlySet<string>;
}

/** The engine's answer is no sequence of whole messages. */
export class BrokenAnswer extends Error {
  override readonly name = 'BrokenAnswer';
}

const headBytes = 5;
/** Answers to what comes before the data of a COPY. */
const beforeCopy: ReadonlySet<string> = new Set(['1', '2', '3', 't', 'n', 'T']);

export function readAnswer(messages: Uint8Array, batch: WireBatch): AnswerRead {
  const parts: Uint8Array[] = [];
  const changes: TableChange[] = [];
  const effects: Effect[] = [];
  const told = new Set<string>();
  const view = new DataView(messages.buffer, messages.byteOffset, messages.length);
  let ready: Uint8Array | null = null;
  let failed = false;
  let ended: AnswerRead['ended'] = null;
  let completed = 0;
  let confirmed = 0;
  let beforeData = batch.acknowledged;
  /** Where that begins which is passed on as it is. */
  let from = 0;
  let at = 0;
  const replace = (end: number, instead: Uint8Array | null): void => {
    if (at > from) parts.push(messages.subarray(from, at));
    if (instead !== null) parts.push(instead);
    from = end;
  };
  while (at < messages.length) {
    const end = at + headBytes > messages.length ? Number.POSITIVE_INFINITY : at + 1 + view.getInt32(at + 1);
    if (end > messages.length || end < at + headBytes)
      throw new BrokenAnswer('the engine answered part of a message');
    const type = String.fromCharCode(view.getUint8(at));
    const body = messages.subarray(at + headBytes, end);
    if (type === '1' || type === '3') {
      const change = batch.changes[confirmed++];
      if (change !== undefined) changes.push(change);
    }
    if (type === 'C') {
      const instead = batch.completions[completed++] ?? null;
      if (instead !== null) {
        effects.push(instead.effect);
        replace(end, commandComplete(instead.tag));
      }
      ended = endIn(body) ?? ended;
      beforeData = false;
    } else if (type === 'I' || type === 's') completed += 1;
    else if (type === 'E') {
      failed = true;
      beforeData = false;
    } else if (type === 'Z') {
      ready = messages.subarray(at, end);
      replace(end, null);
    } else if (type === 'S') told.add(new BodyReader(body).text().toLowerCase());
    // Who would be told has asked for nothing here.
    else if (type === 'A') replace(end, null);
    if ((type === 'G' && batch.copies) || (beforeData && beforeCopy.has(type))) replace(end, null);
    at = end;
  }
  replace(at, null);
  return { parts, ready, failed, changes, effects, ended, told };
}

const tagBytesMax = 16;

function endIn(tag: Uint8Array): 'COMMIT' | 'ROLLBACK' | null {
  if (tag.length > tagBytesMax) return null;
  const text = new BodyReader(tag).text();
  return text === 'COMMIT' || text === 'ROLLBACK' ? text : null;
}
