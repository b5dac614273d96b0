/**
 * Who a process id belongs to. A number from a pid file may have been given to a stranger since, so every signal that outlives
 * the process's own parent goes through here: a pid counts only together with the time its process started.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process for as long as this machine stays up: `startedAt` is opaque, and differs for every process that ever has `pid`. */
export type ProcessIdentity = { readonly pid: number; readonly startedAt: string };

const pollMs = 20;

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Fields of /proc/<pid>/stat after the command name, which may itself hold spaces and parentheses. */
function statFields(pid: number): readonly string[] | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function startOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    const fields = statFields(pid);
    // A zombie has ended; only its parent has not looked yet.
    if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const boot = readText('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
    return `${boot}:${fields[19]}`;
  }
  try {
    const answer = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
    }).trim();
    const [state = '', ...start] = answer.split(/\s+/);
    return answer === '' || state.startsWith('Z') ? undefined : start.join(' ');
  } catch {
    return undefined;
  }
}

/** Identity of the running process `pid`, or undefined when there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startedAt = startOf(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** True while the very process `identity` names still runs (or is stopped by a signal). */
export function isAlive(identity: ProcessIdentity): boolean {
  return startOf(identity.pid) === identity.startedAt;
}

/** Writes the pid file: the pid on the first line, for people and their scripts, what makes it certain on the second. */
export function writePidFile(file: string, identity: ProcessIdentity): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${identity.pid}\n${identity.startedAt}\n`, { mode: 0o600 });
}

/** What the pid file says, or undefined when it is missing or not one of ours. Says nothing about whether it still runs. */
export function readPidFile(file: string): ProcessIdentity | undefined {
  return readNote(file)?.identity;
}

/** A pid file with the lines that follow what identifies the process. */
export function readNote(
  file: string,
): { readonly identity: ProcessIdentity; readonly more: readonly string[] } | undefined {
  const [pidText = '', startedAt = '', ...more] = (readText(file) ?? '').trimEnd().split('\n');
  if (!/^[1-9]\d*$/.test(pidText) || startedAt === '') return undefined;
  return { identity: { pid: Number(pidText), startedAt }, more };
}

export function removePidFile(file: string): void {
  rmSync(file, { force: true });
}

/** Sends `signal` if the process is still the same. Answers whether it was sent. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Waits until the process has ended. Answers false when it still runs after `timeoutMs`. */
export async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(identity)) {
    if (performance.now() >= deadline) return false;
    await sleep(pollMs);
  }
  return true;
}

/**
 * Ends a process: SIGTERM (and SIGCONT, in case it is frozen), then SIGKILL after `graceMs`.
 * Answers false when it was not running, or the pid belongs to another process by now.
 */
export async function stopProcess(identity: ProcessIdentity, graceMs: number): Promise<boolean> {
  if (!signalProcess(identity, 'SIGTERM')) return false;
  signalProcess(identity, 'SIGCONT');
  if (!(await waitForExit(identity, graceMs))) {
    signalProcess(identity, 'SIGKILL');
    await waitForExit(identity, graceMs);
  }
  return true;
}
