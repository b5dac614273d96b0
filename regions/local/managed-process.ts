/**
 * One supervised process: started with its output in a log file and its identity in a pid file, started again when it dies by
 * itself, left alone when it was stopped on purpose.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, removePidFile, writePidFile } from '../../storage/index.ts';
import { logFile, pidFile } from './layout/local-layout.ts';
import type { ProcessSpec } from './layout/local-processes.ts';

/**
 * `stopped`: by an operator or not yet started. `restarting`: died, waits for its next start.
 * `crash-looping`: the same after several short lives in a row; it is still tried.
 */
export type ProcessState = 'stopped' | 'running' | 'frozen' | 'restarting' | 'crash-looping';

/** What status tells about a process. Times are Unix milliseconds. */
export type ProcessStatus = {
  readonly id: string;
  readonly region: string;
  readonly role: ProcessSpec['role'];
  readonly state: ProcessState;
  readonly pid: number | null;
  readonly ports: readonly number[];
  readonly restarts: number;
  readonly startedAtMs: number | null;
  readonly lastExit: string | null;
  /** What is wrong with it although it runs, in words. */
  readonly trouble: string | null;
  readonly log: string;
};

const backoffMinMs = 100;
const backoffMaxMs = 2_000;
/** A process that lived this long was healthy; its next death starts the backoff anew. */
const stableMs = 10_000;
/** This many short lives in a row are a crash loop. */
const crashLoopDeaths = 4;
const logBytesMax = 32 * 1024 * 1024;
const killTimeoutMs = 5_000;

/** Pause before the start that follows `deaths` in a row (1 or more), all but the first of short lives: the first is mended at once. */
export function backoffMs(deaths: number): number {
  return deaths <= 1 ? 0 : Math.min(backoffMaxMs, backoffMinMs * 2 ** (deaths - 2));
}

/** The environment of a child: secrets come from its own configuration file, never from the operator's shell. */
function childEnvironment(own: ProcessSpec['env']): NodeJS.ProcessEnv {
  const { SEXTANT_SECRET: _secret, SEXTANT_NATS_TOKEN: _token, ...environment } = process.env;
  return { ...own, ...environment };
}

/** The last `count` lines of the file, or none when it cannot be read. */
export function lastLines(file: string, count: number): readonly string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count);
  } catch {
    return [];
  }
}

/** A life of the process: from spawn until `ended` resolves. */
type Life = { readonly child: ChildProcess; readonly startedAtMs: number; readonly ended: Promise<void> };

/** Resolves when the life has ended, or with false after `timeoutMs`. */
async function endsWithin(life: Life, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const timeout = sleep(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const ended = await Promise.race([life.ended.then(() => true), timeout]);
  timer.abort();
  return ended;
}

export class ManagedProcess {
  #spec: ProcessSpec;
  readonly #onDeath: (reason: string) => void;
  /** Set by whoever watches it. */
  trouble: string | null = null;
  #life: Life | undefined;
  #wanted: boolean = false;
  #retired: boolean = false;
  #frozen: boolean = false;
  #deaths = 0;
  #restarts = 0;
  #lastExit: string | null = null;
  #restartTimer: NodeJS.Timeout | undefined;
  #comesBack: boolean = false;
  #flushDelayMs = 0;

  /** @param onDeath told when the process ended by itself, before it is started again. */
  constructor(spec: ProcessSpec, onDeath: (reason: string) => void = () => undefined) {
    this.#spec = spec;
    this.#onDeath = onDeath;
  }

  get spec(): ProcessSpec {
    return this.#spec;
  }

  get status(): ProcessStatus {
    const { id, region, role, ports, dir } = this.spec;
    return {
      id,
      region,
      role,
      state: this.#state(),
      pid: this.#life?.child.pid ?? null,
      ports,
      restarts: this.#restarts,
      startedAtMs: this.#life?.startedAtMs ?? null,
      lastExit: this.#lastExit,
      trouble: this.trouble,
      log: logFile(dir),
    };
  }

  /** Starts the process, and from now on keeps it running. Does nothing when it runs, or has retired. */
  start(): void {
    if (this.#retired) return;
    this.#wanted = true;
    this.#deaths = 0;
    clearTimeout(this.#restartTimer);
    if (this.#life === undefined) this.#spawn();
  }

  /** SIGKILL, and no restart. Resolves when the process has ended. */
  async kill(): Promise<void> {
    await this.stop(0);
  }

  /**
   * Ends the process in an orderly way and starts it again, unless it is stopped, frozen or retired by then.
   * Answers whether it was started again.
   */
  async restart(graceMs: number, reason: string): Promise<boolean> {
    if (!this.#wanted || this.#frozen || this.#life === undefined) return false;
    const stopping = this.stop(graceMs);
    this.#comesBack = true;
    await stopping;
    if (!this.#comesBack || this.#life !== undefined) return false;
    this.#restarts += 1;
    this.#lastExit = reason;
    this.start();
    return true;
  }

  /** As `stop`, and never starts again, whatever was under way: a wipe, say, which ends with a start. */
  async retire(graceMs: number): Promise<void> {
    this.#retired = true;
    await this.stop(graceMs);
  }

  /** Ends the process in an orderly way (SIGTERM, then SIGKILL after `graceMs`), and no restart. */
  async stop(graceMs: number): Promise<void> {
    this.#wanted = false;
    this.#comesBack = false;
    clearTimeout(this.#restartTimer);
    const life = this.#life;
    if (life === undefined) return;
    if (graceMs > 0) {
      life.child.kill('SIGTERM');
      life.child.kill('SIGCONT');
      if (await endsWithin(life, graceMs)) return;
    }
    life.child.kill('SIGKILL');
    await endsWithin(life, killTimeoutMs);
  }

  /** SIGSTOP. Answers false when it does not run. */
  freeze(): boolean {
    this.#frozen = this.#life?.child.kill('SIGSTOP') ?? false;
    return this.#frozen;
  }

  /** SIGCONT. Answers false when it does not run. */
  thaw(): boolean {
    this.#frozen = false;
    return this.#life?.child.kill('SIGCONT') ?? false;
  }

  /** SIGHUP: it reads its files again. Answers false when it does not run. */
  reload(): boolean {
    return this.#life?.child.kill('SIGHUP') ?? false;
  }

  /** Another configuration, which it reads at once if it runs, and at each start. @returns whether it was told. */
  reconfigure(spec: ProcessSpec): boolean {
    this.#spec = spec;
    this.#writeConfig();
    return this.reload();
  }

  /** SIGKILL as a crash would have it: it is started again. Answers false when it does not run. */
  crash(): boolean {
    return this.#life?.child.kill('SIGKILL') ?? false;
  }

  /** How much longer each flush of a storage node takes, on purpose; 0 as a rule. */
  get flushDelayMs(): number {
    return this.#flushDelayMs;
  }

  /** Has a storage node take so much longer for each flush, until it is told 0 or ends. Answers false when it cannot be told. */
  slowFlushes(delayMs: number): boolean {
    if (this.spec.role !== 'storage' || this.#life?.child.connected !== true) return false;
    this.#flushDelayMs = delayMs;
    return this.#life.child.send({ kind: 'slow-disk', delayMs });
  }

  /** Kills the process and deletes its data, and starts it again empty. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(this.spec.dataDir, { recursive: true, force: true });
    this.start();
  }

  #state(): ProcessState {
    if (this.#life !== undefined) return this.#frozen ? 'frozen' : 'running';
    if (!this.#wanted) return 'stopped';
    return this.#deaths >= crashLoopDeaths ? 'crash-looping' : 'restarting';
  }

  #openLog(): number {
    const file = logFile(this.spec.dir);
    const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (size > logBytesMax) renameSync(file, `${file}.1`);
    return openSync(file, 'a', 0o600);
  }

  #writeConfig(): void {
    const { dir, config } = this.#spec;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    if (config !== undefined) writeFileSync(config.file, config.content, { mode: 0o600 });
  }

  #spawn(): void {
    const { dir, command, args, env } = this.spec;
    this.#writeConfig();
    const log = this.#openLog();
    // In a session of its own: Ctrl-C in a terminal reaches the supervisor alone, which then stops all in order.
    const child = spawn(command, args, {
      cwd: dir,
      // A storage node takes the faults of drills over a channel that nobody else has.
      stdio: this.spec.role === 'storage' ? ['ignore', log, log, 'ipc'] : ['ignore', log, log],
      detached: true,
      env: childEnvironment(env),
    });
    closeSync(log);
    const startedAt = performance.now();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    this.#life = { child, startedAtMs: Date.now(), ended };
    const onEnd = (reason: string) => {
      this.#ended(reason, startedAt);
      resolve();
    };
    if (child.pid === undefined) {
      child.once('error', (error) => onEnd(`could not start: ${error.message}`));
      return;
    }
    child.once('exit', (code, signal) => onEnd(signal === null ? `exit code ${code}` : `signal ${signal}`));
    child.on('error', () => undefined);
    const identity = identify(child.pid);
    if (identity !== undefined) writePidFile(pidFile(dir), identity);
  }

  #ended(reason: string, startedAt: number): void {
    this.#life = undefined;
    this.#frozen = false;
    this.#flushDelayMs = 0;
    this.#lastExit = reason;
    removePidFile(pidFile(this.spec.dir));
    if (!this.#wanted) return;
    this.#deaths = performance.now() - startedAt >= stableMs ? 1 : this.#deaths + 1;
    this.#onDeath(reason);
    this.#restartTimer = setTimeout(() => {
      this.#restarts += 1;
      this.#spawn();
    }, backoffMs(this.#deaths));
  }
}
