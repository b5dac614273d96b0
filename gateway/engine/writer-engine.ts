/**
 * The engine that writes, as long as this gateway is the writer: one thread, replaced by a new one when it dies or gives no
 * sign of life. A statement that cannot be interrupted may keep the thread; it must not keep the reign.
 */

import { every, type Lsn, monotonicMs } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { sqlError } from '../sql/errors.ts';
import { EngineLife, SentMarks } from './core/engine-life.ts';
import type { EngineMode } from './core/engine-protocol.ts';
import type { Engine } from './engine.ts';
import type { EngineSession } from './engine-stream.ts';

export interface WriterEngineOptions {
  readonly start: (onFatal: (error: Error) => void) => Promise<Engine>;
  readonly log: Logger;
  /** A thread that has something to do and gives no sign of life for this long, CPU time or sleep, counts as stuck. */
  readonly engineSilenceMs: number;
  /** The engine is stuck or has died: nothing more will come of it. Its operations are answered. */
  readonly onLost: (reason: string) => void;
}

const lookEveryMs = 250;

const threadReplaced = sqlError(
  'SEXTANT_TRANSACTION_ABORTED',
  'The thread that writes was replaced: it died, or a single function call kept it for too long and could not be interrupted. An open transaction was rolled back; read back whether a statement that ran outside one took effect. Give one function call less to do.',
);

export class WriterEngine {
  private readonly options: WriterEngineOptions;
  private engineNow: Engine | null = null;
  private starting: Promise<void> | null = null;
  private lost = false;
  private generationNow = 0;
  private life = new EngineLife();
  private sent = new SentMarks();
  private endLooking: (() => void) | null = null;

  constructor(options: WriterEngineOptions) {
    this.options = options;
  }

  /** Starts the thread, once however often it is asked. @throws Error when it cannot start. */
  start(): Promise<void> {
    this.starting ??= this.startThread().finally(() => {
      this.starting = null;
    });
    return this.starting;
  }

  /** Starts the thread behind the caller's back: a reign is about to begin. What goes wrong is told when that opens it. */
  warm(): void {
    if (this.engineNow !== null) return;
    this.start()
      .then(() => this.engineNow?.warm())
      .catch(() => undefined);
  }

  private async startThread(): Promise<void> {
    this.engineNow = await this.options.start((error) => this.lose(error.message));
    this.lost = false;
    this.life = new EngineLife();
    this.sent = new SentMarks();
    this.endLooking ??= every(lookEveryMs, () => this.look());
  }

  /** The engine, unless it is at rest or was never started. */
  get running(): Engine | null {
    return this.engineNow;
  }

  get engine(): Engine {
    if (this.engineNow === null) throw new Error('the writing engine has not been started');
    return this.engineNow;
  }

  /** Counts the engine's changes: a session opened under another number has lost what lived in its connection. */
  get generation(): number {
    return this.generationNow;
  }

  /** How long the thread has given no sign of life although it has something to do. */
  get silentMs(): number {
    if (this.engineNow === null || this.lost) return 0;
    return this.engine.pendingOperations === 0 ? 0 : this.life.silentMs;
  }

  /** How much of that it computed, or slept: not waited for a CPU. */
  get stuckMs(): number {
    return this.silentMs === 0 ? 0 : this.life.stuckMs;
  }

  openSession(): EngineSession {
    return this.engine.openSession();
  }

  /** Ends the thread; nothing may be under way. The next reign, or a `begin` of the same one, has a new one. */
  async rest(): Promise<void> {
    await this.starting?.catch(() => undefined);
    const engine = this.engineNow;
    this.engineNow = null;
    this.stopLooking();
    await engine?.close();
  }

  /** Begins a reign at `lsn`, or goes on in it. @param pgBytes see `Geometry`. */
  begin(lsn: Lsn, pgBytes: number): Promise<void> {
    return this.open({ kind: 'writer', lsn, pgBytes });
  }

  /** Ends a reign whose redo is durable up to `vdl`. Sessions that had something open are told. */
  end(vdl: Lsn): Promise<void> {
    return this.engineNow === null ? Promise.resolve() : this.open({ kind: 'reader', readPoint: vdl });
  }

  /** Gives the thread up: what it was doing is answered as lost. The next reign has a new one. */
  abandon(reason: string): void {
    this.lose(reason);
  }

  async close(): Promise<void> {
    await this.starting?.catch(() => undefined);
    this.stopLooking();
    await this.engineNow?.close();
  }

  private stopLooking(): void {
    this.endLooking?.();
    this.endLooking = null;
  }

  private async open(mode: EngineMode): Promise<void> {
    this.generationNow += 1;
    for (;;) {
      if (this.lost || this.engineNow === null) await this.start();
      try {
        await this.engine.open(mode);
        return;
      } catch (error) {
        // A thread that got stuck on the way has been given up: its successor begins where it should have.
        if (!this.lost) throw error;
      }
    }
  }

  private lose(reason: string): void {
    if (this.lost) return;
    this.lost = true;
    this.options.log.error({ reason }, 'the engine that writes is replaced');
    void this.engineNow?.close(threadReplaced);
    this.options.onLost(reason);
  }

  /** What has waited too long for a thread that is busy is told: nothing of it has happened. */
  private refuseOverdue(engine: Engine): void {
    const { queueMs } = engine;
    if (queueMs === null) return;
    const nowMs = monotonicMs();
    this.sent.note(engine.lastOperation, nowMs);
    const last = this.sent.olderThan(queueMs, nowMs);
    if (last === null || engine.pendingOperations === 0) return;
    const text = `The statement waited writeQueueMs = ${queueMs} for the writer: another statement has kept its thread. Try again after a pause.`;
    engine.withdrawThrough(last, sqlError('SQLITE_BUSY', text));
  }

  private look(): void {
    if (this.engineNow === null || this.lost) return;
    this.engineNow.lookAt(this.life, monotonicMs());
    this.refuseOverdue(this.engineNow);
    const { stuckMs } = this.life;
    if (stuckMs > this.options.engineSilenceMs)
      this.lose(`a statement has kept its thread for ${Math.round(stuckMs)} ms and cannot be interrupted`);
  }
}
