/** The answer to a request that Node's parser has not seen. A small one leaves in one write. */
import assert from 'node:assert/strict';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type AnswerFields, answerHead } from './core/answer-head.ts';
import type { HttpAnswer } from './exchange.ts';

export interface AnswerEnds {
  /** All of it has left. @param last the connection ends with it. */
  left(last: boolean): void;
}

const everySecondMs = 1_000;
let dateUntilMs = 0;
let date = '';

/** What `Date` says, made once a second. */
function dateNow(): string {
  const nowMs = Date.now();
  if (nowMs >= dateUntilMs || nowMs < dateUntilMs - everySecondMs) {
    dateUntilMs = nowMs - (nowMs % everySecondMs) + everySecondMs;
    date = new Date(nowMs).toUTCString();
  }
  return date;
}

export class DirectAnswer implements HttpAnswer {
  writableEnded = false;
  writableFinished = false;
  private readonly socket: Socket;
  private readonly keepAliveSeconds: number;
  private readonly ends: AnswerEnds;
  /** Set before the head was made. */
  private early: AnswerFields | null = null;
  /** Made, and not yet written. */
  private head: string | null = null;
  private hasHead = false;
  private last = false;
  /** Writes that the system has not taken. */
  private underWay = 0;
  private closeListeners: (() => void)[] = [];
  private isClosed = false;

  constructor(socket: Socket, keepAliveSeconds: number, ends: AnswerEnds) {
    this.socket = socket;
    this.keepAliveSeconds = keepAliveSeconds;
    this.ends = ends;
  }

  get headersSent(): boolean {
    return this.hasHead;
  }

  get destroyed(): boolean {
    return this.isClosed || this.socket.destroyed;
  }

  get writableLength(): number {
    return this.socket.writableLength;
  }

  setHeader(name: string, value: string): void {
    this.early = { ...this.early, [name]: value };
  }

  writeHead(status: number, given: AnswerFields): void {
    assert(!this.hasHead, 'an answer has one head');
    const fields = this.early === null ? given : { ...this.early, ...given };
    this.hasHead = true;
    this.last = fields.connection !== undefined;
    const reason = STATUS_CODES[status] ?? 'unknown';
    const { keepAliveSeconds } = this;
    this.head = answerHead({ status, reason, fields, date: dateNow(), keepAliveSeconds });
  }

  write(bytes: Uint8Array): boolean {
    this.flushHead();
    return this.send(bytes);
  }

  end(body?: string | Uint8Array): void {
    if (this.writableEnded) return;
    this.writableEnded = true;
    const { head } = this;
    if (typeof body === 'string') {
      this.head = null;
      this.send(head === null ? body : head + body);
      return;
    }
    this.flushHead();
    if (body !== undefined && body.length > 0) this.send(body);
    else if (this.underWay === 0) process.nextTick(() => this.finish());
  }

  destroy(): void {
    this.socket.destroy();
  }

  on(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'drain') this.socket.on('drain', listener);
    else this.closeListeners.push(listener);
  }

  once(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'drain') this.socket.once('drain', listener);
    else this.closeListeners.push(listener);
  }

  off(event: 'close' | 'drain', listener: () => void): void {
    if (event === 'drain') this.socket.off('drain', listener);
    else this.closeListeners = this.closeListeners.filter((known) => known !== listener);
  }

  /** The connection is gone. */
  lost(): void {
    this.close();
  }

  private flushHead(): void {
    const { head } = this;
    this.head = null;
    if (head !== null) this.send(head);
  }

  private send(data: string | Uint8Array): boolean {
    this.underWay += 1;
    return this.socket.write(data, this.taken);
  }

  private readonly taken = (error?: Error | null): void => {
    this.underWay -= 1;
    // What went wrong is told by the end of the connection.
    if (error == null && this.writableEnded && this.underWay === 0) this.finish();
  };

  private finish(): void {
    if (this.isClosed) return;
    this.writableFinished = true;
    this.close();
    this.ends.left(this.last);
  }

  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const listeners = this.closeListeners;
    this.closeListeners = [];
    for (const listener of listeners) listener();
  }
}
