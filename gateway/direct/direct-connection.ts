/**
 * One connection whose requests are read here for as long as each comes whole and alone. With the first one that does not, the
 * connection is Node's for good, with every byte that has not been answered: so all that is slow, large or odd meets one set of rules.
 */
import type { Socket } from 'node:net';
import { type DirectRead, readDirect, requestBytesMax } from './core/request-head.ts';
import { DirectAnswer } from './direct-answer.ts';
import type { HttpAnswer, HttpRequest } from './exchange.ts';

export interface DirectRules {
  /** How long a connection is kept for a further request, as clients are told. */
  readonly keepAliveMs: number;
  /** Answers a request, and returns true; or returns false, having done nothing. */
  take(request: HttpRequest, answer: HttpAnswer, body: Buffer): boolean;
  /** Gives a connection to Node's parser; what has been read of it is in front of what comes. */
  leave(socket: Socket): void;
  /** The connection is closed, or is Node's. */
  gone(connection: DirectConnection): void;
}

/** A request in more pieces is Node's: each piece has all that came before it looked at once more. */
const piecesMax = 8;
const none = Buffer.alloc(0);
const nothing = (): undefined => undefined;

export class DirectConnection {
  /** When it was opened, answered, or last heard of within a request, by the monotonic clock. */
  quietSinceMs: number;
  /** It has had an answer. */
  isProven = false;
  private readonly socket: Socket;
  private readonly rules: DirectRules;
  private readonly nowMs: () => number;
  /** Read, and not taken as a request. */
  private held: Buffer = none;
  private pieces = 0;
  private answer: DirectAnswer | null = null;

  constructor(socket: Socket, rules: DirectRules, nowMs: () => number) {
    this.socket = socket;
    this.rules = rules;
    this.nowMs = nowMs;
    this.quietSinceMs = nowMs();
    socket.on('data', this.onData);
    socket.on('end', this.onEnd);
    socket.on('error', this.onError);
    socket.on('close', this.onClose);
  }

  /** Nothing runs for it, and nothing of a request has come. */
  get isIdle(): boolean {
    return this.answer === null && this.held.length === 0;
  }

  /** A request has begun to come, and nothing runs. */
  get isReading(): boolean {
    return this.answer === null && this.held.length > 0;
  }

  cut(): void {
    this.socket.destroy();
  }

  /** Lets Node go on with it; nothing may run for it. */
  leave(): void {
    const { socket, held } = this;
    if (socket.readableEnded || socket.destroyed) {
      this.cut();
      return;
    }
    this.held = none;
    this.detach();
    // Paused, so that what is put back waits for its new reader.
    socket.pause();
    if (held.length > 0) socket.unshift(held);
    this.rules.gone(this);
    this.rules.leave(socket);
    socket.resume();
  }

  /** The client has been silent for too long. @param tell says so, and closes the connection. */
  give(tell: (socket: Socket) => void): void {
    this.detach();
    this.rules.gone(this);
    tell(this.socket);
  }

  private detach(): void {
    const { socket } = this;
    socket.off('data', this.onData);
    socket.off('end', this.onEnd);
    socket.off('error', this.onError);
    socket.off('close', this.onClose);
  }

  private readonly onData = (chunk: Buffer): void => {
    const bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    if (this.answer === null) {
      this.quietSinceMs = this.nowMs();
      this.take(bytes);
      return;
    }
    // A client that does not wait for its answer is Node's once it has that.
    this.held = bytes;
    if (bytes.length >= requestBytesMax) this.socket.pause();
  };

  private take(bytes: Buffer): void {
    const read = readDirect(bytes);
    this.held = bytes;
    if (read.kind === 'unfinished') {
      this.pieces += 1;
      if (this.pieces > piecesMax) this.leave();
      return;
    }
    this.pieces = 0;
    if (read.kind === 'other') {
      this.leave();
      return;
    }
    this.held = none;
    if (this.run(read)) return;
    this.held = bytes;
    this.leave();
  }

  private run({ url, headers, body }: Extract<DirectRead, { kind: 'whole' }>): boolean {
    const { socket, rules } = this;
    const answer = new DirectAnswer(socket, Math.floor(rules.keepAliveMs / 1_000), this);
    this.answer = answer;
    if (rules.take({ method: 'POST', url, headers, socket, resume: nothing }, answer, body)) return true;
    this.answer = null;
    return false;
  }

  /** The answer has left. */
  left(last: boolean): void {
    this.answer = null;
    this.isProven = true;
    this.quietSinceMs = this.nowMs();
    if (last) this.socket.destroySoon();
    else if (this.held.length > 0) this.leave();
  }

  /** A client that has said its last word is answered nothing more, as by Node. */
  private readonly onEnd = (): void => {
    this.socket.end();
  };

  /** It is followed by `close`. */
  private readonly onError = (): void => {
    this.socket.destroy();
  };

  private readonly onClose = (): void => {
    this.rules.gone(this);
    const { answer } = this;
    this.answer = null;
    answer?.lost();
  };
}
