/** The benchmark's end of a load generator process. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FromLoad, LoadPlan, LoadResult, ToLoad } from './plan.ts';
import type { StoragePlan } from './storage-load.ts';

const storageLoadFile = fileURLToPath(new URL('./storage-load.ts', import.meta.url));
const loadFile = fileURLToPath(new URL('./load.ts', import.meta.url));
/** Compiled code of generators, of which a run starts some two hundred; gone with this process. */
let compileCache: string | null = null;
function generatorEnv(): NodeJS.ProcessEnv {
  if (compileCache === null) {
    const directory = mkdtempSync(join(tmpdir(), 'sextant-bench-code-'));
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
    compileCache = directory;
  }
  return { ...process.env, NODE_COMPILE_CACHE: compileCache };
}

/** Beyond warm-up and measuring: connecting, and a system that has stopped answering. */
const graceMs = 40_000;

export interface RunningLoad {
  readonly pid: number;
  /** Resolves when warm-up is over and the measuring begins. */
  readonly measuring: Promise<void>;
  /** Connections are still open when it resolves. */
  readonly measured: Promise<LoadResult>;
  /** Everything in flight has been answered, or given up. @returns successful transactions in all. */
  readonly finished: Promise<number>;
  /** Ends the measuring now. */
  stop(): void;
  close(): void;
}

export class LoadFailed extends Error {}

/** Starts a generator. @throws LoadFailed from the promises, when a connection is refused or the generator dies. */
export function startGenerator(what: string, file: string, message: object, limitMs: number): RunningLoad {
  const child: ChildProcess = fork(file, [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
    env: generatorEnv(),
  });
  const send = (order: object): void => void (child.connected && child.send(order));
  const measuring = Promise.withResolvers<void>();
  const measured = Promise.withResolvers<LoadResult>();
  const finished = Promise.withResolvers<number>();
  const fail = (reason: string): void => {
    clearTimeout(timer);
    const error = new LoadFailed(`${what}: ${reason}`);
    for (const waiting of [measuring, measured, finished]) waiting.reject(error);
    child.kill('SIGKILL');
  };
  // Whoever awaits one of them hears the error; the others must not bring the benchmark down.
  for (const waiting of [measuring, measured, finished]) waiting.promise.catch(() => undefined);
  const timer = setTimeout(() => fail(`nothing within ${limitMs} ms`), limitMs);
  child.on('message', (told: FromLoad) => {
    switch (told.kind) {
      case 'measuring':
        return measuring.resolve();
      case 'measured':
        return measured.resolve(told.result);
      case 'finished':
        clearTimeout(timer);
        return finished.resolve(told.acknowledged);
      case 'failed':
        return fail(told.message);
    }
  });
  child.once('error', (error) => fail(error.message));
  child.once('exit', (code, signal) => fail(`the generator ended (${signal ?? code})`));
  send(message);
  return {
    pid: child.pid ?? 0,
    measuring: measuring.promise,
    measured: measured.promise,
    finished: finished.promise,
    stop: () => send({ kind: 'stop' } satisfies ToLoad),
    close: () => {
      clearTimeout(timer);
      if (child.connected) child.disconnect();
    },
  };
}

/** Starts to carry out a plan. */
export function startLoad(plan: LoadPlan): RunningLoad {
  const what = `load on port ${plan.target.port} (${plan.target.protocol}, ${plan.workload})`;
  const message: ToLoad = { kind: 'plan', plan };
  return startGenerator(what, loadFile, message, plan.warmMs + plan.measureMs + graceMs);
}

/** Starts to keep commits in flight to storage nodes, without SQL. */
export function startStorageLoad(plan: StoragePlan): RunningLoad {
  return startGenerator('storage load', storageLoadFile, plan, plan.warmMs + plan.measureMs + graceMs);
}

/** Runs a plan to its end. */
export async function runLoad(plan: LoadPlan): Promise<LoadResult> {
  const load = startLoad(plan);
  try {
    const result = await load.measured;
    await load.finished;
    return result;
  } finally {
    load.close();
  }
}
