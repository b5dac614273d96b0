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

/** Generators that have carried a plan out and wait for the next of the same protocol: their code is compiled by then. */
const resting = new Map<string, ChildProcess[]>();

function takeGenerator(file: string, key: string | null): ChildProcess {
  const rested = key === null ? undefined : resting.get(key)?.pop();
  if (rested?.connected === true) {
    rested.ref();
    rested.channel?.ref();
    return rested;
  }
  const child = fork(file, [], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
    env: generatorEnv(),
  });
  // Whoever uses it hears of it, and of a resting one nobody has to.
  child.on('error', () => undefined);
  return child;
}

function rest(child: ChildProcess, key: string): void {
  child.send({ kind: 'rest' } satisfies ToLoad);
  child.unref();
  child.channel?.unref();
  const others = resting.get(key);
  if (others === undefined) resting.set(key, [child]);
  else others.push(child);
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

/**
 * Gives a generator its plan. @param key generators under one key take plans one after the other; null: this one takes no other.
 * @throws LoadFailed from the promises, when a connection is refused or the generator dies.
 */
function startGenerator(
  what: string,
  file: string,
  key: string | null,
  message: object,
  limitMs: number,
): RunningLoad {
  const child = takeGenerator(file, key);
  let state: 'running' | 'finished' | 'failed' = 'running';
  const send = (order: object): void => void (child.connected && child.send(order));
  const measuring = Promise.withResolvers<void>();
  const measured = Promise.withResolvers<LoadResult>();
  const finished = Promise.withResolvers<number>();
  const fail = (reason: string): void => {
    clearTimeout(timer);
    state = 'failed';
    const error = new LoadFailed(`${what}: ${reason}`);
    for (const waiting of [measuring, measured, finished]) waiting.reject(error);
    child.kill('SIGKILL');
  };
  // Whoever awaits one of them hears the error; the others must not bring the benchmark down.
  for (const waiting of [measuring, measured, finished]) waiting.promise.catch(() => undefined);
  const timer = setTimeout(() => fail(`nothing within ${limitMs} ms`), limitMs);
  const hear = (told: FromLoad): void => {
    switch (told.kind) {
      case 'measuring':
        measuring.resolve();
        break;
      case 'measured':
        measured.resolve(told.result);
        break;
      case 'finished':
        clearTimeout(timer);
        state = 'finished';
        finished.resolve(told.acknowledged);
        break;
      case 'failed':
        fail(told.message);
        break;
    }
  };
  const broken = (error: Error): void => fail(error.message);
  const ended = (code: number | null, signal: string | null): void =>
    fail(`the generator ended (${signal ?? code})`);
  child.on('message', hear);
  child.once('error', broken);
  child.once('exit', ended);
  send(message);
  return {
    pid: child.pid ?? 0,
    measuring: measuring.promise,
    measured: measured.promise,
    finished: finished.promise,
    stop: () => send({ kind: 'stop' } satisfies ToLoad),
    close: () => {
      clearTimeout(timer);
      child.off('message', hear);
      child.off('error', broken);
      child.off('exit', ended);
      if (!child.connected) return;
      if (state === 'finished' && key !== null) rest(child, key);
      else child.disconnect();
    },
  };
}

/** Starts to carry out a plan. */
export function startLoad(plan: LoadPlan): RunningLoad {
  const what = `load on port ${plan.target.port} (${plan.target.protocol}, ${plan.workload})`;
  const message: ToLoad = { kind: 'plan', plan };
  return startGenerator(
    what,
    loadFile,
    plan.target.protocol,
    message,
    plan.warmMs + plan.measureMs + graceMs,
  );
}

/** Starts to keep commits in flight to storage nodes, without SQL. */
export function startStorageLoad(plan: StoragePlan): RunningLoad {
  return startGenerator('storage load', storageLoadFile, null, plan, plan.warmMs + plan.measureMs + graceMs);
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
