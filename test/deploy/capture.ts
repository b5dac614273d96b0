/** What somebody sees who listens on the switch of a network, recorded by tcpdump. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from './network.ts';

const program = '/usr/bin/tcpdump';
const startMs = 10_000;

/** Why nothing can be recorded here, in a sentence; undefined when it can. */
export function captureProblem({ lan }: Network): string | undefined {
  if (lan === null) return 'there is no switch between addresses of loopback';
  return existsSync(program) ? undefined : 'tcpdump is not installed';
}

export class Capture {
  readonly #file: string;
  readonly #child: ChildProcess;
  #said = '';

  private constructor(lan: string, file: string) {
    this.#file = file;
    // Every packet whole, from the ports of all machines, written as it comes.
    const args = ['-i', 'any', '-s', '0', '-U', '-w', file, 'tcp'];
    this.#child = spawn('ip', ['netns', 'exec', lan, program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
  }

  static async start({ lan }: Network, file: string): Promise<Capture> {
    const capture = new Capture(lan ?? '', file);
    const deadline = performance.now() + startMs;
    while (!capture.#said.includes('listening on')) {
      if (performance.now() > deadline) throw new Error(`tcpdump does not listen: ${capture.#said}`);
      await sleep(50);
    }
    return capture;
  }

  /** Ends it. @returns all packets as text, byte for byte. */
  async stop(): Promise<string> {
    await sleep(500);
    const ended = new Promise((done) => this.#child.once('exit', done));
    this.#child.kill('SIGINT');
    await ended;
    return readFileSync(this.#file).toString('latin1');
  }
}
