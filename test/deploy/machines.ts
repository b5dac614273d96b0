/**
 * Machines of a test: network namespaces with an address each on one switch, so that processes reach each other by addresses that
 * are not loopback's. Needs root, and iproute2.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export interface Machine {
  readonly name: string;
  readonly address: string;
}

export interface Ran {
  readonly code: number;
  readonly out: string;
}

const sextantFile = fileURLToPath(new URL('../../regions/cli/sextant.mjs', import.meta.url));
const commandTimeoutMs = 180_000;
const stopGraceMs = 10_000;
const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
};

/** Why there can be no such machines here, in a sentence; undefined when there can. */
export function machinesProblem(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const probe = `sx-probe-${process.pid}`;
  try {
    ip('netns', 'add', probe);
    ip('netns', 'delete', probe);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return `\`ip netns\` does not work here (${reason})`;
  }
}

/** Some machines on one switch, and what runs on them. */
export class Machines {
  readonly all: readonly Machine[];
  readonly #lan = `sx${process.pid}-lan`;
  readonly #running = new Map<string, { readonly machine: string; readonly child: ChildProcess }>();
  readonly #logs: string;

  constructor(count: number, logs: string) {
    this.#logs = logs;
    this.all = Array.from({ length: count }, (_, index) => ({
      name: `sx${process.pid}-m${index + 1}`,
      address: `10.77.0.${index + 1}`,
    }));
    ip('netns', 'add', this.#lan);
    ip('-n', this.#lan, 'link', 'add', 'switch', 'type', 'bridge');
    ip('-n', this.#lan, 'link', 'set', 'switch', 'up');
    for (const [index, { name, address }] of this.all.entries()) {
      const port = `port${index + 1}`;
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
      ip('-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', port, 'netns', this.#lan);
      ip('-n', this.#lan, 'link', 'set', port, 'master', 'switch', 'up');
      ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
    }
  }

  /** Starts `sextant …` on a machine and leaves it running under `id`. */
  start(machine: Machine, id: string, args: readonly string[]): void {
    const log = openSync(join(this.#logs, `${id.replace('/', '-')}.log`), 'a', 0o600);
    const child = spawn('ip', ['netns', 'exec', machine.name, process.execPath, sextantFile, ...args], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#running.set(id, { machine: machine.name, child });
  }

  /** Runs `sextant …` on a machine to its end. */
  run(machine: Machine, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
    const child = spawn('ip', ['netns', 'exec', machine.name, process.execPath, sextantFile, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...environment },
      timeout: commandTimeoutMs,
    });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += String(chunk)));
    return new Promise((done) => child.once('close', (code) => done({ code: code ?? -1, out: out.trim() })));
  }

  /** Ends what runs under `id`: as a lost machine would (SIGKILL), or in an orderly way. */
  async stop(id: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const entry = this.#running.get(id);
    this.#running.delete(id);
    if (entry === undefined || entry.child.exitCode !== null || entry.child.signalCode !== null) return;
    const ended = new Promise((done) => entry.child.once('exit', done));
    entry.child.kill(signal);
    await Promise.race([ended, sleep(stopGraceMs)]);
    entry.child.kill('SIGKILL');
  }

  /** All that runs on a machine is gone at once. */
  async lose(machine: Machine): Promise<void> {
    const ids = [...this.#running].filter(([, { machine: name }]) => name === machine.name).map(([id]) => id);
    await Promise.all(ids.map((id) => this.stop(id, 'SIGKILL')));
  }

  /** Stops everything and takes the machines away. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.stop(id, 'SIGKILL')));
    for (const name of [...this.all.map((machine) => machine.name), this.#lan]) ip('netns', 'delete', name);
  }

  /** What was logged, for a failure's report. */
  logOf(id: string): string {
    return join(this.#logs, `${id.replace('/', '-')}.log`);
  }
}

/** Deletes a folder of a test. */
export const forget = (dir: string): void => rmSync(dir, { recursive: true, force: true });
