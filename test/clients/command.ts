/** Runs one program with a time limit, and ends whatever it started when the limit, or a signal to this process, says so. */
import { spawn } from 'node:child_process';
import type { Ending } from './verdict.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

export interface Finished extends Ending {
  readonly stdout: string;
}

/** Of what is kept of each output: a program that prints without end must not fill this process. */
const outputMaxChars = 1 << 20;
const running = new Set<number>();

/** A program and its children are one process group. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

/** Ends every program that is running: for the handler of a signal. */
export function endAll(): void {
  for (const pid of running) endGroup(pid);
}

/**
 * Resolves when the program has ended, also when it was killed after `limitMs`.
 *
 * @throws when it cannot be started, which is what a missing toolchain looks like
 */
export function run(
  command: Command,
  options: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv; readonly limitMs: number },
): Promise<Finished> {
  const { cwd, env, limitMs } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(command.file, command.args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const { pid } = child;
    let stdout = '';
    let stderr = '';
    let overTimeMs: number | null = null;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-outputMaxChars);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-outputMaxChars);
    });
    child.on('error', reject);
    if (pid === undefined) return;
    running.add(pid);
    const timer = setTimeout(() => {
      overTimeMs = limitMs;
      endGroup(pid);
    }, limitMs);
    // What the program leaves behind goes with it, or it would hold the pipes open.
    child.on('exit', () => endGroup(pid));
    child.on('close', (code) => {
      clearTimeout(timer);
      running.delete(pid);
      resolve({ code, overTimeMs, stdout, stderr });
    });
  });
}
