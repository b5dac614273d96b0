/**
 * Requests, responses and one-way messages over a link. A message is `kind u8 | id u32 LE | body`: id 0 is one-way, any
 * other id is a request, and its response carries the same id and the kind with the top bit set. Both sides may ask.
 * Bound to no transport: the owner hands in what arrives and says when the link closed.
 */
import assert from 'node:assert/strict';
import { InFlight } from '../process/core/in-flight.ts';
import { machine, type Runtime, type Timer } from '../process/runtime.ts';

export const rpcHeaderBytes = 5;

/** Kinds are 0 to 126. */
export const rpcKindMax = 126;

const responseBit = 0x80;
/** Answer to a request whose kind the other side does not know. */
const unsupportedKind = 0xff;
const idMax = 0xffff_ffff;

export type RpcBody = Uint8Array | readonly Uint8Array[];

export type RpcResult =
  /** The body is a view of the message; see LinkHandlers.onMessage. */
  | { readonly kind: 'response'; readonly body: Uint8Array }
  | {
      readonly kind: 'failed';
      /**
       * `not-sent` and `too-many`: the request never left. `unsupported`: the peer does not know it. `timeout` and
       * `closed`: whether the peer acted on it is unknown.
       */
      readonly reason: 'not-sent' | 'too-many' | 'unsupported' | 'timeout' | 'closed';
    };

/** Answers a request, once; @returns false when the link it came from is gone. */
export type RpcReply = (body: RpcBody) => boolean;

export interface RpcOptions {
  /** Sends one message; false when it did not leave. */
  readonly send: (message: Uint8Array) => boolean;
  /** @returns false when the kind is not known, which the other side is told. */
  readonly onRequest: (kind: number, body: Uint8Array, reply: RpcReply) => boolean;
  /** One-way messages; a kind that is not known is the owner's to ignore. */
  readonly onNotice: (kind: number, body: Uint8Array) => void;
  /** Requests that may wait for a response. */
  readonly pendingMax: number;
  /** Default: this machine. */
  readonly runtime?: Runtime;
}

interface Pending {
  readonly done: (result: RpcResult) => void;
  /** By the runtime's clock. */
  readonly dueMs: number;
}

export class LinkRpc {
  private readonly options: RpcOptions;
  private readonly pending = new InFlight<Pending>();
  private readonly runtime: Runtime;
  private lastId = 0;
  /**
   * Rings no later than the first request is due; none while nothing waits. It is not stopped when a request is answered, since
   * making and stopping a timer for each costs more than one that rings for nothing now and then.
   */
  private alarm: { readonly timer: Timer; readonly atMs: number } | null = null;
  /** Counts the connections, so that a late reply does not answer a request of the next one. */
  private connection = 0;

  constructor(options: RpcOptions) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
  }

  /** Requests that wait for their response. */
  get pendingCount(): number {
    return this.pending.size;
  }

  /** Asks; `done` runs once, never inside this call, at the latest after `timeoutMs`. */
  request(kind: number, body: RpcBody, timeoutMs: number, done: (result: RpcResult) => void): void {
    if (this.pending.size >= this.options.pendingMax) {
      queueMicrotask(() => done({ kind: 'failed', reason: 'too-many' }));
      return;
    }
    const id = this.nextId();
    const message = encodeMessage(checkedKind(kind), id, body);
    const dueMs = this.runtime.nowMs() + timeoutMs;
    this.pending.set(id, { done, dueMs });
    if (this.alarm === null || this.alarm.atMs > dueMs) this.setAlarm(dueMs);
    if (this.options.send(message)) return;
    queueMicrotask(() => this.settle(id, { kind: 'failed', reason: 'not-sent' }));
  }

  /** Sends a one-way message. @returns whether it left. */
  notify(kind: number, body: RpcBody): boolean {
    return this.options.send(encodeMessage(checkedKind(kind), 0, body));
  }

  /** Takes a message from the link. @returns false when it is malformed: the owner should close the link. */
  receive(message: Uint8Array): boolean {
    if (message.length < rpcHeaderBytes) return false;
    const view = new DataView(message.buffer, message.byteOffset, rpcHeaderBytes);
    const kind = view.getUint8(0);
    const id = view.getUint32(1, true);
    const body = message.subarray(rpcHeaderBytes);
    if ((kind & responseBit) !== 0) {
      if (id === 0) return false;
      // A response nobody waits for came after its timeout.
      this.settle(
        id,
        kind === unsupportedKind ? { kind: 'failed', reason: 'unsupported' } : { kind: 'response', body },
      );
      return true;
    }
    if (kind > rpcKindMax) return false;
    if (id === 0) this.options.onNotice(kind, body);
    else this.answer(kind, id, body);
    return true;
  }

  /** The link closed: every request that waits fails, and replies to what came over it go nowhere. */
  linkClosed(): void {
    this.connection += 1;
    this.alarm?.timer.stop();
    this.alarm = null;
    const inOrder = [...this.pending.drain()].sort(([a], [b]) => a - b);
    for (const [, { done }] of inOrder) done({ kind: 'failed', reason: 'closed' });
  }

  private setAlarm(atMs: number): void {
    this.alarm?.timer.stop();
    const timer = this.runtime.after(atMs - this.runtime.nowMs(), () => this.ring());
    this.alarm = { timer, atMs };
  }

  private ring(): void {
    this.alarm = null;
    const nowMs = this.runtime.nowMs();
    const due: number[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [id, { dueMs }] of this.pending.entries()) {
      if (dueMs <= nowMs) due.push(id);
      else nextMs = Math.min(nextMs, dueMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.setAlarm(nextMs);
    for (const id of due.sort((a, b) => a - b)) this.settle(id, { kind: 'failed', reason: 'timeout' });
  }

  private answer(kind: number, id: number, body: Uint8Array): void {
    const { connection } = this;
    let answers = 0;
    const reply: RpcReply = (response) => {
      answers += 1;
      assert.equal(answers, 1, 'a request is answered once');
      return (
        connection === this.connection && this.options.send(encodeMessage(kind | responseBit, id, response))
      );
    };
    if (!this.options.onRequest(kind, body, reply)) this.options.send(encodeMessage(unsupportedKind, id, []));
  }

  private settle(id: number, result: RpcResult): void {
    this.pending.take(id)?.done(result);
  }

  private nextId(): number {
    do this.lastId = this.lastId === idMax ? 1 : this.lastId + 1;
    while (this.pending.get(this.lastId) !== undefined);
    return this.lastId;
  }
}

function checkedKind(kind: number): number {
  assert(
    Number.isInteger(kind) && kind >= 0 && kind <= rpcKindMax,
    `a message kind is 0 to ${rpcKindMax}, not ${kind}`,
  );
  return kind;
}

function encodeMessage(kind: number, id: number, body: RpcBody): Uint8Array {
  const parts = body instanceof Uint8Array ? [body] : body;
  let length = rpcHeaderBytes;
  for (const part of parts) length += part.length;
  // A short one lies in Node's pool, which is cheaper than memory of its own.
  const message = Buffer.allocUnsafe(length);
  message.writeUInt8(kind, 0);
  message.writeUInt32LE(id, 1);
  let at = rpcHeaderBytes;
  for (const part of parts) {
    message.set(part, at);
    at += part.length;
  }
  return message;
}
