/** The place a run works in: a temporary directory, free ports, and everything that was started, so that all of it is stopped again. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Whom to run servers as that refuse to be root; null when this is not root. */
interface User {
  readonly uid: number;
  readonly gid: number;
}

export interface StartOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** How to ask it to end; SIGKILL follows after ten seconds. */
  readonly stopSignal?: NodeJS.Signals;
  /** Give root up. */
  readonly unprivileged?: boolean;
}

const stopMs = 10_000;
const endMs = 60_000;
const runFile = promisify(execFile);

export class Workbench {
  readonly directory: string;
  private readonly cleanups: (() => Promise<void>)[] = [];
  private readonly user: User | null;
  private readonly progress: (line: string) => void;
  private closing: Promise<void> | null = null;
  private ending = false;

  constructor(progress: (line: string) => void) {
    this.directory = mkdtempSync(join(tmpdir(), 'sextant-bench-'));
    chmodSync(this.directory, 0o755);
    this.user = process.getuid?.() === 0 ? nobody() : null;
    this.progress = progress;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () =>
        this.end(signal === 'SIGINT' ? 130 : 143, `${signal}: stopping what was started`),
      );
    // A bug in the benchmark must not leave servers behind either.
    for (const event of ['uncaughtException', 'unhandledRejection'] as const)
      process.on(event, (error: unknown) =>
        this.end(1, error instanceof Error ? (error.stack ?? error.message) : String(error)),
      );
  }

  /**
   * Stops what was started and ends the process, within a minute. `why` is told once: what fails while it ends, the telling
   * itself perhaps, is not told again.
   */
  end(exitCode: number, why?: string): void {
    if (this.ending) return;
    this.ending = true;
    process.exitCode = exitCode;
    if (why !== undefined) this.say(why);
    setTimeout(() => process.exit(exitCode), endMs);
    void this.close().then(() => process.exit(exitCode));
  }

  /** @throws Error once everything is being stopped: nothing may be started from then on */
  assertOpen(): void {
    if (this.closing !== null) throw new Error('the benchmark is stopping');
  }

  say(line: string): void {
    this.progress(line);
  }

  /** A directory below the temporary one, owned by whom `unprivileged` processes run as. */
  makeDirectory(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (this.user !== null) chownSync(path, this.user.uid, this.user.gid);
    return path;
  }

  /** Runs at the end, in reverse order; a failure is told and does not keep the others from running. */
  onClose(cleanup: () => Promise<void>): void {
    this.cleanups.push(cleanup);
  }

  /** Starts a process that lives until `stop`, or the end of the benchmark. Its output goes to `<name>.log`. */
  start(options: StartOptions): RunningProcess {
    this.assertOpen();
    const file = join(this.directory, `${options.name}.log`);
    const log = openSync(file, 'a');
    const child = spawn(options.command, options.args, {
      stdio: ['ignore', log, log],
      cwd: this.directory,
      // A group of its own, so that Ctrl-C reaches the benchmark alone and everything stops in order.
      detached: true,
      env: { ...process.env, ...options.env },
      ...(options.unprivileged === true && this.user !== null && this.user),
    });
    const running = new RunningProcess(options, child, file);
    this.onClose(() => running.stop());
    return running;
  }

  /** Runs a command to its end. @throws Error with what it said */
  async run(
    command: string,
    args: readonly string[],
    options: { readonly unprivileged?: boolean } = {},
  ): Promise<string> {
    const { stdout } = await runFile(command, [...args], {
      maxBuffer: 2 ** 26,
      cwd: this.directory,
      ...(options.unprivileged === true && this.user !== null && this.user),
    });
    return stdout;
  }

  /** Stops and deletes everything. */
  close(): Promise<void> {
    this.closing ??= this.closeAll();
    return this.closing;
  }

  private async closeAll(): Promise<void> {
    for (const cleanup of this.cleanups.toReversed()) {
      await cleanup().catch((error: unknown) => this.say(`while stopping: ${String(error)}`));
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class RunningProcess {
  readonly pid: number;
  private readonly options: StartOptions;
  private readonly child: ChildProcess;
  private readonly log: string;

  constructor(options: StartOptions, child: ChildProcess, log: string) {
    this.options = options;
    this.child = child;
    this.log = log;
    this.pid = child.pid ?? 0;
    child.once('error', () => undefined);
  }

  get hasEnded(): boolean {
    return this.child.pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** What it wrote, the last lines. */
  get lastOutput(): string {
    return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-15).join('\n');
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.child, 'exit');
    this.child.kill(this.options.stopSignal ?? 'SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), stopMs);
    await ended;
    clearTimeout(timer);
  }

  /** Resolves with what `probe` gives once it does not throw. @throws Error when the process ends, or after `timeoutMs`. */
  async until<T>(probe: () => Promise<T>, timeoutMs: number): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      try {
        return await probe();
      } catch (error) {
        if (this.hasEnded) throw new Error(`${this.options.name} ended:\n${this.lastOutput}`);
        if (performance.now() > deadline)
          throw new Error(
            `${this.options.name} is not ready within ${timeoutMs} ms (${String(error)}):\n${this.lastOutput}`,
          );
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }
}

function nobody(): User {
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** The first of `directories` and the PATH that holds `program`; null when none does. */
export function findProgram(program: string, directories: readonly string[] = []): string | null {
  const path = (process.env.PATH ?? '').split(delimiter);
  // Servers lie where the PATH of ordinary users does not lead.
  const all = [...directories, ...path, '/usr/sbin', '/usr/local/sbin'];
  return all.map((directory) => join(directory, program)).find((file) => existsSync(file)) ?? null;
}
