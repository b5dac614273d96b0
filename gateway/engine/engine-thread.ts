/** The thread of an engine: SQLite or PostgreSQL in a worker, started and ready, before anything is asked of it. */
import { readFileSync } from 'node:fs';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { EngineKind } from '../sql/engine-kind.ts';
import { type ThreadTime, threadTimeIn } from './core/engine-life.ts';
import { defaultEngineLimits, type EngineLimits, engineLimitsProblem } from './core/engine-limits.ts';
import type { EngineWorkerData } from './core/engine-protocol.ts';
import { EngineShared } from './core/engine-shared.ts';
import { Handover } from './engine-handover.ts';
import { sqliteCode } from './sqlite-code.ts';

/** What a thread is started with. */
export interface EngineThreadOptions {
  /** Default: SQLite. */
  readonly kind?: EngineKind;
  readonly limits?: Partial<EngineLimits>;
  /** Counts the large answers under way of all engines that share it; see `Handover`. Default: a count of its own. */
  readonly largeAnswers?: SharedArrayBuffer;
  /** It will be used soon, and prepares itself for that at once. */
  readonly warm?: boolean;
}

/** What runs in the worker: each of them takes and gives the messages of `engine-protocol.ts`. */
const programs: Readonly<Record<EngineKind, URL>> = {
  sqlite: new URL('./thread/engine-worker.ts', import.meta.url),
  postgres: new URL('./postgres/backend/postgres-worker.ts', import.meta.url),
};

export interface EngineThread {
  readonly limits: EngineLimits;
  readonly worker: Worker;
  /** Where it asks for pages. */
  readonly pages: MessagePort;
  readonly shared: EngineShared;
  readonly handover: Handover;
}

/** Resolves when it runs. @throws Error when a limit is unsound or the worker cannot start. */
export async function startEngineThread(options: EngineThreadOptions): Promise<EngineThread> {
  const limits: EngineLimits = { ...defaultEngineLimits, ...options.limits };
  const problem = engineLimitsProblem(limits);
  if (problem !== null) throw new Error(problem);
  const shared = new EngineShared();
  const channel = new MessageChannel();
  const handover = new Handover(options.largeAnswers === undefined ? {} : { all: options.largeAnswers });
  const { kind = 'sqlite', warm = false } = options;
  const sqlite = kind === 'sqlite' ? await sqliteCode() : null;
  const engine: EngineWorkerData = { limits, shared: shared.buffer, sqlite, warm };
  const worker = new Worker(programs[kind], {
    workerData: { engine, pages: channel.port2, handover: handover.buffers },
    transferList: [channel.port2],
    name: 'sextant-engine',
  });
  const stopped = (code: number): Error =>
    new Error(`the engine's worker exited with code ${code} while it started`);
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('error', reject);
    worker.once('exit', (code) => reject(stopped(code)));
  });
  return { limits, worker, pages: channel.port1, shared, handover };
}

/** What an engine's thread did with its time; null where the system does not say, or it has ended. */
export function timeOfThread({ thread }: EngineShared): ThreadTime | null {
  if (thread === 0) return null;
  try {
    return threadTimeIn(readFileSync(`/proc/self/task/${thread}/stat`, 'latin1'));
  } catch {
    return null;
  }
}

/** A thread that is started before the reserve is there. */
export interface ThreadAhead {
  readonly kind: EngineKind;
  readonly thread: Promise<EngineThread>;
  /** What it counts its large answers in, for all others to use. */
  readonly largeAnswers: SharedArrayBuffer;
}

/** Starts a thread that prepares itself at once, for the first engine of a gateway. What goes wrong is told by the reserve's next. */
export function startThreadAhead(kind: EngineKind): ThreadAhead {
  const largeAnswers = new Handover().buffers.all;
  const thread = startEngineThread({ kind, largeAnswers, warm: true });
  thread.catch(() => undefined);
  return { kind, thread, largeAnswers };
}
