/** What runs on the machines of a test: long-lived processes by name, and commands to their end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { commandOn, type Machine } from './network.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
}

const commandTimeoutMs = 180_000;
const stopGraceMs = 15_000;

const sextantIn = (tree: string): string => join(tree, 'regions/cli/sextant.mjs');

export class Machines {
  readonly #running = new Map<string, { readonly machine: Machine; readonly child: ChildProcess }>();
  readonly #logs: string;

  constructor(logs: string) {
    this.#logs = logs;
    process.on('exit', () => {
      for (const { child } of this.#running.values()) child.kill('SIGKILL');
    });
  }

  /** Starts `sextant …` of the code in `tree` on a machine, and leaves it running under `id`. */
  start(machine: Machine, id: string, args: readonly string[], tree: string): void {
    if (this.pid(id) !== null) throw new Error(`${id} runs already`);
    const log = openSync(this.logOf(id), 'a', 0o600);
    const [program, ...rest] = commandOn(machine, [process.execPath, sextantIn(tree), ...args]);
    const env = { ...process.env, NODE_COMPILE_CACHE: join(this.#logs, 'compile-cache') };
    const child = spawn(program, rest, { stdio: ['ignore', log, log], env });
    closeSync(log);
    this.#running.set(id, { machine, child });
  }

  /** Runs `sextant …` on a machine to its end. */
  run(machine: Machine, args: readonly string[], environment: NodeJS.ProcessEnv, tree: string): Promise<Ran> {
    const [program, ...rest] = commandOn(machine, [process.execPath, sextantIn(tree), ...args]);
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...environment },
      timeout: commandTimeoutMs,
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += String(chunk)));
    return new Promise((done) => child.once('close', (code) => done({ code: code ?? -1, out: out.trim() })));
  }

  /** Of a process that runs; null when it has ended. */
  pid(id: string): number | null {
    const child = this.#running.get(id)?.child;
    return child === undefined || child.exitCode !== null || child.signalCode !== null
      ? null
      : (child.pid ?? null);
  }

  get running(): readonly string[] {
    return [...this.#running.keys()].filter((id) => this.pid(id) !== null);
  }

  signal(id: string, signal: NodeJS.Signals): void {
    if (this.pid(id) === null) throw new Error(`${id} does not run; its log: ${this.logOf(id)}`);
    this.#running.get(id)?.child.kill(signal);
  }

  /** Ends what runs under `id`: as a lost machine would (SIGKILL), or in an orderly way. */
  async stop(id: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const entry = this.#running.get(id);
    const runs = this.pid(id) !== null;
    this.#running.delete(id);
    if (entry === undefined || !runs) return;
    const ended = new Promise((done) => entry.child.once('exit', () => done(true)));
    entry.child.kill(signal);
    if ((await Promise.race([ended, sleep(stopGraceMs, false)])) === true) return;
    entry.child.kill('SIGKILL');
    await ended;
    throw new Error(`${id} did not end within ${stopGraceMs} ms of ${signal}; its log: ${this.logOf(id)}`);
  }

  /** All that runs on a machine is gone at once. */
  async lose(machine: Machine): Promise<void> {
    const ids = [...this.#running].filter(([, entry]) => entry.machine === machine).map(([id]) => id);
    await Promise.all(ids.map((id) => this.stop(id, 'SIGKILL')));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.stop(id, 'SIGKILL')));
  }

  logOf(id: string): string {
    return join(this.#logs, `${id.replace('/', '-')}.log`);
  }
}
