/**
 * How much of the gateway's answers waits for clients that have not taken it, in sum and per client, and whose answer is
 * given up when it is too much: the one whose reader has taken nothing for the longest time. Pure.
 */
import type { BatchResult, SqlOutcome } from '../../sql/sql.ts';

/** One answer, or all answers of one WebSocket. */
export interface AnswerHolder {
  /** Whom it is counted to. */
  readonly client: string;
  /** Gives the answers up because of a limit; the bytes are not counted to the holder any more. */
  readonly end: (limit: AnswerLimit, value: number, bytes: number) => void;
  /** Set by the budget. */
  bytes: number;
  /** When its reader last took something, or the answer was made. Monotonic. */
  movedAtMs: number;
}

export interface AnswerLimits {
  /** Of all clients together. */
  readonly answerBytesWaiting: number;
  readonly answerBytesWaitingPerClient: number;
}

export type AnswerLimit = keyof AnswerLimits;

export class AnswerBudget {
  private readonly limits: AnswerLimits;
  private readonly holders = new Set<AnswerHolder>();
  private readonly clients = new Map<string, number>();
  private sum = 0;

  constructor(limits: AnswerLimits) {
    this.limits = limits;
  }

  /** Bytes that wait now. */
  get bytes(): number {
    return this.sum;
  }

  /** How much waits for a holder's reader now; less than before means that it has taken something. */
  set(holder: AnswerHolder, bytes: number, nowMs: number): void {
    if (bytes === holder.bytes) return;
    const hasGrown = bytes > holder.bytes;
    if (!hasGrown || holder.bytes === 0) holder.movedAtMs = nowMs;
    this.count(holder, bytes);
    if (hasGrown) this.enforce(holder.client);
  }

  /** Its reader has taken a part of what is counted until all of it is taken. */
  moved(holder: AnswerHolder, nowMs: number): void {
    holder.movedAtMs = nowMs;
  }

  private count(holder: AnswerHolder, bytes: number): void {
    const change = bytes - holder.bytes;
    holder.bytes = bytes;
    this.sum += change;
    const ofClient = (this.clients.get(holder.client) ?? 0) + change;
    if (ofClient === 0) this.clients.delete(holder.client);
    else this.clients.set(holder.client, ofClient);
    if (bytes === 0) this.holders.delete(holder);
    else this.holders.add(holder);
  }

  private enforce(client: string): void {
    const { answerBytesWaiting, answerBytesWaitingPerClient } = this.limits;
    while ((this.clients.get(client) ?? 0) > answerBytesWaitingPerClient)
      this.end('answerBytesWaitingPerClient', client);
    while (this.sum > answerBytesWaiting) this.end('answerBytesWaiting', null);
  }

  private end(limit: AnswerLimit, client: string | null): void {
    let slowest: AnswerHolder | null = null;
    for (const holder of this.holders) {
      if (client !== null && holder.client !== client) continue;
      if (slowest === null || holder.movedAtMs < slowest.movedAtMs) slowest = holder;
    }
    if (slowest === null) return;
    const { bytes } = slowest;
    this.count(slowest, 0);
    slowest.end(limit, this.limits[limit], bytes);
  }
}

/** About the memory of a result, in bytes: what a cursor holds until its client has read it. */
export function resultBytes(outcome: SqlOutcome<BatchResult>): number {
  if (!outcome.ok) return 0;
  let bytes = 0;
  for (const step of outcome.value) {
    if (step?.ok !== true) continue;
    for (const row of step.value.rows) {
      bytes += 16 * (row.length + 1);
      for (const value of row) {
        if (typeof value === 'string') bytes += value.length;
        else if (value instanceof Uint8Array) bytes += value.byteLength;
      }
    }
  }
  return bytes;
}
