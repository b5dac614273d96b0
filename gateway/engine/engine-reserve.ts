/**
 * Where the engines of a gateway get their threads: from those that were started before anybody needed them, as long as there are any.
 * Starting one takes a good part of a tenth of a second of a core. A thread takes the bounds of the engine that is opened on it, so
 * one reserve serves main, the branches and the past, those that read and those that write.
 */
import type { EngineKind } from '../sql/engine-kind.ts';
import type { EngineLimits } from './core/engine-limits.ts';
import { Engine, type EngineOptions } from './engine.ts';
import { Handover } from './engine-handover.ts';
import { type EngineThread, startEngineThread, type ThreadAhead } from './engine-thread.ts';

/** Whoever has just taken one has better things to do than to wait for the next to be started: PostgreSQL recovers then. */
const refillAfterMs: Readonly<Record<EngineKind, number>> = { sqlite: 1_000, postgres: 5_000 };

export interface EngineReserveOptions {
  /** What speaks SQL in all of them. */
  readonly kind?: EngineKind;
  /** Of all of them, where they are not the usual ones. */
  readonly limits?: Partial<EngineLimits>;
  /** Where engines keep what does not fit memory; the system's folder for temporary files where nothing is said. */
  readonly scratchFolder?: string;
  /** One that is there already, or will be. */
  readonly ahead?: ThreadAhead | null;
  readonly refillMs?: number;
}

export class EngineReserve {
  /** The large answers of all engines of a gateway are counted together. */
  private readonly largeAnswers: SharedArrayBuffer;
  private readonly kind: EngineKind;
  private readonly limits: Partial<EngineLimits>;
  private readonly folder: Pick<EngineOptions, 'scratchFolder'>;
  /** The first one that is taken, beside those that are kept. */
  private ahead: Promise<EngineThread | null> | null = null;
  private readonly refillAfterMs: number;
  private kept = 0;
  private ready: EngineThread[] = [];
  private starting = 0;
  private timer: NodeJS.Timeout | null = null;
  private closed = false;

  constructor({
    kind = 'sqlite',
    limits = {},
    scratchFolder,
    ahead = null,
    refillMs = refillAfterMs[kind],
  }: EngineReserveOptions = {}) {
    this.kind = kind;
    this.limits = limits;
    this.folder = scratchFolder === undefined ? {} : { scratchFolder };
    this.refillAfterMs = refillMs;
    this.largeAnswers = ahead?.largeAnswers ?? new Handover().buffers.all;
    if (ahead === null) return;
    const thread = ahead.thread.then((started) => this.ownAhead(started, ahead.kind)).catch(() => null);
    if (ahead.kind === kind) this.keepAhead(thread);
  }

  /** A thread that was begun before it was known for what: ended when it is another's. */
  private ownAhead(thread: EngineThread, kind: EngineKind): EngineThread | null {
    const has: Readonly<Record<string, number>> = { ...thread.limits };
    if (kind === this.kind && Object.entries(this.limits).every(([name, value]) => has[name] === value))
      return thread;
    void end(thread);
    return null;
  }

  private keepAhead(thread: Promise<EngineThread | null>): void {
    const kept = thread.then((started) => {
      const forget = (): void => {
        if (this.ahead === kept) this.ahead = null;
      };
      if (started === null) forget();
      started?.worker.once('error', forget);
      started?.worker.once('exit', forget);
      return started;
    });
    this.ahead = kept;
  }

  /** Threads that wait for work. */
  get size(): number {
    return this.ready.length;
  }

  /** An engine, on a thread that is ready if there is one. @throws Error when a thread cannot be started. */
  async start(options: Omit<EngineOptions, 'kind' | 'largeAnswers' | 'limits'>): Promise<Engine> {
    const { kind, limits, largeAnswers, ahead } = this;
    this.ahead = null;
    const thread = (await ahead) ?? this.ready.shift();
    this.fill();
    return Engine.start({ ...this.folder, ...options, kind, limits, largeAnswers }, thread);
  }

  /** So many are to be ready from now on: what is missing is started before long, and what is too much ends. */
  keep(threads: number): void {
    this.kept = threads;
    for (const thread of this.ready.splice(threads)) void end(thread);
    this.fill();
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    const ahead = await this.ahead;
    this.ahead = null;
    await Promise.all([...(ahead === null ? [] : [ahead]), ...this.ready.splice(0)].map(end));
  }

  private get isShort(): boolean {
    return !this.closed && this.ready.length + this.starting < this.kept;
  }

  private fill(): void {
    if (this.timer !== null || !this.isShort) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.isShort) void this.startOne();
    }, this.refillAfterMs);
    this.timer.unref();
  }

  /** A thread that cannot be started is missed by whoever needs one, and told there. */
  private async startOne(): Promise<void> {
    this.starting += 1;
    const { kind, limits, largeAnswers } = this;
    const thread = await startEngineThread({ kind, limits, largeAnswers }).catch(() => null);
    this.starting -= 1;
    if (thread === null) return;
    if (this.closed || this.ready.length >= this.kept) {
      await end(thread);
      return;
    }
    const forget = (): void => {
      this.ready = this.ready.filter((other) => other !== thread);
    };
    thread.worker.once('error', forget);
    thread.worker.once('exit', forget);
    this.ready.push(thread);
    this.fill();
  }
}

async function end({ worker, pages, handover }: EngineThread): Promise<void> {
  await worker.terminate();
  handover.end();
  pages.close();
}
