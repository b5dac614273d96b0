/** The answers that wait for their clients, on real sockets: counting them, writing large ones in parts, telling who was ended. */
import type { HttpAnswer } from '../direct/exchange.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import { AnswerBudget, type AnswerHolder, type AnswerLimit } from './core/answer-budget.ts';
import { release } from './core/answer-text.ts';
import type { GatewayLimits } from './core/protocol-limits.ts';
import { MemoryReturn } from './memory-return.ts';

export interface SlowReaderLog {
  warn(fields: object, message: string): void;
}

/** Answers below this leave at once, unless their socket is full already. */
export const largeAnswerBytes = 64 * 1024;
/** A large answer is handed to its socket in parts of this size, so that it shows whether its reader takes it. */
const partBytes = 1024 * 1024;
/** Readers are ended by the thousand in an attack, and the log is told at most this often. */
const logEveryMs = 1_000;

export class SlowReaders {
  private readonly budget: AnswerBudget;
  private readonly limits: GatewayLimits;
  private readonly log: SlowReaderLog;
  private readonly memory = new MemoryReturn();
  private loggedAtMs = Number.NEGATIVE_INFINITY;
  private unlogged = 0;
  private count = 0;

  constructor(limits: GatewayLimits, log: SlowReaderLog) {
    this.budget = new AnswerBudget(limits);
    this.limits = limits;
    this.log = log;
  }

  /** Bytes of answers that their clients have not taken. */
  get waitingBytes(): number {
    return this.budget.bytes;
  }

  /** Readers ended since the start. */
  get ended(): number {
    return this.count;
  }

  /** A holder whose `end` is called with the error its client is to hear. */
  open(client: string, end: (error: SqlError) => void): AnswerHolder {
    const ended = (limit: AnswerLimit, value: number, bytes: number) => {
      this.memory.note(bytes);
      this.note(limit, value, client);
      end(
        adviseError(
          'SEXTANT_LIMIT',
          `The limit ${limit} = ${value} is reached, and this client was the slowest to take its answer`,
        ),
      );
    };
    return { client, end: ended, bytes: 0, movedAtMs: 0 };
  }

  /** How much waits for a holder's reader. */
  set(holder: AnswerHolder, bytes: number): void {
    if (bytes < holder.bytes) this.memory.note(holder.bytes - bytes);
    this.budget.set(holder, bytes, performance.now());
  }

  /** Its reader has taken something. */
  moved(holder: AnswerHolder): void {
    this.budget.moved(holder, performance.now());
  }

  /** Cuts a response whose reader takes nothing for `requestReadMs`. @returns to be called when it has taken something. */
  guard(response: HttpAnswer): () => void {
    const timer = setTimeout(() => response.destroy(), this.limits.requestReadMs);
    response.once('close', () => clearTimeout(timer));
    return () => timer.refresh();
  }

  /** Sends the rest of a response part by part, counted to the holder; whoever opened the holder empties it at the end. */
  send(response: HttpAnswer, bytes: readonly Uint8Array[], holder: AnswerHolder): void {
    this.set(
      holder,
      bytes.reduce((sum, { length }) => sum + length, 0),
    );
    // The budget may have ended this very answer.
    if (response.destroyed || response.writableEnded) {
      release(bytes);
      return;
    }
    const taken = this.guard(response);
    const queue = new PartQueue(bytes);
    const writeOn = () => {
      for (let part = queue.take(); part !== null; part = queue.take()) if (!response.write(part)) return;
      response.off('drain', drained);
      response.end();
    };
    const drained = () => {
      this.moved(holder);
      taken();
      writeOn();
    };
    response.on('drain', drained);
    response.once('close', () => queue.drop());
    writeOn();
  }

  close(): void {
    this.memory.close();
  }

  private note(limit: AnswerLimit, value: number, client: string): void {
    this.count += 1;
    this.unlogged += 1;
    const nowMs = performance.now();
    if (nowMs - this.loggedAtMs < logEveryMs) return;
    this.loggedAtMs = nowMs;
    this.log.warn({ limit, value, client, ended: this.unlogged }, 'slow readers were ended');
    this.unlogged = 0;
  }
}

/** Bytes in parts of at most `partBytes`, in their order. */
class PartQueue {
  private readonly wholes: readonly Uint8Array[];
  private index = 0;
  private at = 0;

  constructor(wholes: readonly Uint8Array[]) {
    this.wholes = wholes;
  }

  /** The next part; null at the end. */
  take(): Uint8Array | null {
    for (; ; this.index++, this.at = 0) {
      const whole = this.wholes[this.index];
      if (whole === undefined) return null;
      if (this.at >= whole.length) continue;
      const part = whole.subarray(this.at, this.at + partBytes);
      this.at += part.length;
      return part;
    }
  }

  /** Nothing more is taken: frees what has not begun to leave. */
  drop(): void {
    const from = this.at === 0 ? this.index : this.index + 1;
    this.index = this.wholes.length;
    release(this.wholes.slice(from));
  }
}
