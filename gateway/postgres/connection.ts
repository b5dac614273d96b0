/**
 * One client that is logged in: its socket on one side, its session on the other, and the conversation between them. Reads no further
 * while an operation runs, or while the client takes nothing, than `readAheadBytes`.
 */
import type { Socket } from 'node:net';
import type { Conversation, Reaction } from './core/conversation.ts';
import type { PostgresLimits } from './core/postgres-limits.ts';
import { reports } from './core/reports.ts';
import type { TimeLimit } from './core/session-timeouts.ts';
import type { FrameReader } from './protocol/core/frame-reader.ts';
import { MalformedMessage } from './protocol/core/message-bytes.ts';
import { errorResponse, type Report } from './protocol/core/server-messages.ts';
import { type WireSession, wireOutcome } from './wire-service.ts';

export interface ConnectionParts {
  readonly socket: Socket;
  /** With what has arrived behind the login. */
  readonly reader: FrameReader;
  readonly session: WireSession;
  readonly conversation: Conversation;
  readonly limits: PostgresLimits;
  /** So many bytes of the client are held. @returns false when all clients together hold too much */
  readonly hold: (bytes: number) => boolean;
  /** The front end itself failed. */
  readonly onFault: (error: unknown) => void;
  /** It is over; its session has been closed. */
  readonly onClosed: () => void;
}

/** Who is told that the connection ends has so long to read it. */
const lingerMs = 2_000;
/** Small answers go out as one piece. */
const joinedBytes = 65_536;

const shuttingDown: Report = {
  code: '57P01',
  message: 'terminating connection: the gateway is shutting down',
  hint: 'Connect again, to this gateway or another one.',
};

export class Connection {
  readonly #parts: ConnectionParts;
  #out: Uint8Array[] = [];
  #pumping = false;
  #ended = false;
  #closed = false;
  #draining = false;
  /** Since the client takes nothing; it is cut when this fires. */
  #untaken: NodeJS.Timeout | null = null;
  /** Ends a client that asks nothing for too long, and one whose transaction lasts too long. */
  #idle: NodeJS.Timeout | null = null;
  #lasting: NodeJS.Timeout | null = null;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    const { socket } = parts;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('end', () => this.#close());
    socket.on('error', () => this.#close());
    socket.on('close', () => this.#close());
    if (socket.destroyed) this.#close();
  }

  /** Tells the client that it may ask, and takes what it has sent already. */
  start(greeting: readonly Uint8Array[]): void {
    this.#out.push(...greeting);
    this.#flush();
    this.#pump();
    if (!this.#closed) this.#parts.socket.resume();
  }

  get isRunning(): boolean {
    return this.#parts.conversation.isRunning;
  }

  /** A transaction of the client is open, as it was told last. */
  get inTransaction(): boolean {
    return this.#parts.conversation.inTransaction;
  }

  /** Stops what runs now; nothing when nothing does. */
  cancel(): void {
    if (this.#parts.conversation.isRunning) this.#parts.session.cancel();
  }

  /** Ends as soon as the client is in no transaction and nothing of it runs. */
  drain(): void {
    this.#draining = true;
    this.#endIfDrained();
  }

  /** Ends now. */
  cut(): void {
    this.#parts.socket.destroy();
    this.#close();
  }

  #take(chunk: Buffer): void {
    const { reader, limits } = this.#parts;
    if (this.#ended) return;
    reader.push(chunk);
    if (!this.#hold()) {
      this.#end({
        code: '53200',
        message: `the limit inputBytes = ${limits.inputBytes} of the gateway is reached by all clients together`,
        hint: 'Try again after a pause, or send less at once.',
      });
      return;
    }
    this.#pump();
  }

  #hold(): boolean {
    const { reader, conversation, hold } = this.#parts;
    // Of one that is over nothing is held any more, whatever still comes.
    return this.#closed || hold(reader.bufferedBytes + conversation.heldBytes);
  }

  /** Takes messages as long as nothing has to be waited for. */
  #pump(): void {
    if (this.#pumping || this.#ended) return;
    this.#pumping = true;
    const { conversation, reader, limits, socket } = this.#parts;
    while (!this.#ended && !conversation.isRunning && this.#untaken === null) {
      const next = reader.next('messages', limits.messageBytes);
      if (next.kind === 'partial') break;
      if (next.kind === 'malformed')
        this.#end({ code: '08P01', message: `invalid message length ${next.length}` });
      else if (next.kind === 'tooLarge')
        this.#end({
          code: '54000',
          message: `a message of ${next.length} bytes: the limit messageBytes = ${limits.messageBytes} of the gateway is reached`,
          hint: 'Send the rows in several statements, or with COPY.',
        });
      else this.#attempt(next.frame.type, () => this.#react(conversation.take(next.frame)));
    }
    this.#pumping = false;
    this.#flush();
    this.#hold();
    const isBusy = conversation.isRunning || this.#untaken !== null;
    if (isBusy && reader.bufferedBytes > limits.readAheadBytes) socket.pause();
    else if (socket.isPaused() && !this.#closed) socket.resume();
    this.#endIfDrained();
    this.#keepTime();
  }

  /** Settings of the client's may end it; see `core/session-timeouts.ts`. */
  #keepTime(): void {
    const { conversation } = this.#parts;
    if (this.#idle !== null) clearTimeout(this.#idle);
    const { idle, transaction } = conversation.timeLimits;
    this.#idle = this.#ended || conversation.isRunning ? null : this.#endAfter(idle);
    if (this.#ended || !conversation.inTransaction) this.#stopLasting();
    else this.#lasting ??= this.#endAfter(transaction);
  }

  #endAfter(limit: TimeLimit | null): NodeJS.Timeout | null {
    return limit === null ? null : setTimeout(() => this.#end(limit.report), limit.ms);
  }

  #stopLasting(): void {
    if (this.#lasting !== null) clearTimeout(this.#lasting);
    this.#lasting = null;
  }

  #react({ send, run, traceparent, end }: Reaction): void {
    this.#out.push(...send);
    if (end) this.#end(null);
    if (run === null || this.#ended) return;
    const { session, conversation } = this.#parts;
    session.run(run, { traceparent }, (outcome) => {
      if (this.#closed) return;
      this.#attempt('', () =>
        this.#react(conversation.answered(wireOutcome(outcome), session.isAutocommit())),
      );
      this.#pump();
    });
  }

  /** A message that is not what it says ends the connection; so does a fault of the front end, which nobody else is to feel. */
  #attempt(type: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      if (error instanceof MalformedMessage) {
        this.#end(reports.malformed(type, error.message));
        return;
      }
      this.#parts.onFault(error);
      this.#end({ code: 'XX000', message: 'the gateway could not go on with this connection' });
    }
  }

  #flush(): void {
    const { socket, limits } = this.#parts;
    const out = this.#out;
    if (out.length === 0 || this.#closed) return;
    this.#out = [];
    const bytes = out.reduce((sum, part) => sum + part.length, 0);
    if (bytes <= joinedBytes) socket.write(Buffer.concat(out));
    else {
      socket.cork();
      for (const part of out) socket.write(part);
      socket.uncork();
    }
    if (socket.writableNeedDrain && this.#untaken === null)
      this.#untaken = setTimeout(() => this.cut(), limits.untakenMs);
  }

  #drained(): void {
    if (this.#untaken !== null) clearTimeout(this.#untaken);
    this.#untaken = null;
    this.#pump();
  }

  #endIfDrained(): void {
    const { conversation, reader } = this.#parts;
    if (this.#draining && conversation.isIdle && reader.bufferedBytes === 0 && this.#untaken === null)
      this.#end(shuttingDown);
  }

  /** Nothing more is taken. @param report what the client is told; null when it wanted to go itself */
  #end(report: Report | null): void {
    if (this.#ended) return;
    this.#ended = true;
    if (report !== null) this.#out.push(errorResponse('FATAL', report));
    this.#flush();
    const { socket } = this.#parts;
    socket.end();
    // What still comes is read and thrown away: unread, it would turn the end into a reset, and the reason would be lost.
    socket.resume();
    setTimeout(() => socket.destroy(), lingerMs).unref();
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended = true;
    if (this.#untaken !== null) clearTimeout(this.#untaken);
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#stopLasting();
    const { session, hold, onClosed, onFault } = this.#parts;
    hold(0);
    session.close().then(onClosed, onFault);
  }
}
