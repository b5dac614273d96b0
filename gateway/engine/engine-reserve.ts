/**
 * Threads that were started before anybody needs them: a branch that wakes has its engines at once, and starting one takes a
 * quarter of a second of a core. All engines of branches have the same bounds, so any of them may have any of these.
 */
import { Handover } from './engine-handover.ts';
import { type EngineThread, type EngineThreadOptions, startEngineThread } from './engine-thread.ts';

/** One that reads and one that writes. */
const kept = 2;
/** Whoever has just taken one has better things to do than to wait for the next to be started. */
const refillAfterMs = 1_000;

export class EngineReserve {
  readonly options: EngineThreadOptions & { readonly largeAnswers: SharedArrayBuffer };
  private ready: EngineThread[] = [];
  private starting = 0;
  private timer: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(options: Omit<EngineThreadOptions, 'largeAnswers'>) {
    this.options = { ...options, largeAnswers: new Handover().buffers.all };
  }

  /** Threads that wait for work. */
  get size(): number {
    return this.ready.length;
  }

  /** One that is ready, if there is one; another is started in its place later. */
  take(): EngineThread | undefined {
    const thread = this.ready.shift();
    this.fill();
    return thread;
  }

  /** Sees to it that there are some, before long. A thread that cannot be started is missed by whoever takes one, and told there. */
  fill(): void {
    if (this.closed || this.timer !== null || this.ready.length + this.starting >= kept) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      void this.start();
    }, refillAfterMs);
    this.timer.unref();
  }

  async close(): Promise<void> {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    await Promise.all(this.ready.splice(0).map(end));
  }

  private async start(): Promise<void> {
    this.starting += 1;
    const thread = await startEngineThread(this.options).catch(() => null);
    this.starting -= 1;
    if (thread === null) return;
    if (this.closed) {
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
