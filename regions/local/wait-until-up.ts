/** Whether a supervised process has come up: it accepts connections and, where it says so itself, is ready. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { logFile } from './layout/local-layout.ts';
import { lastLines, type ManagedProcess } from './managed-process.ts';

/** Why a deployment did not become ready. `logTail` are the last lines of the process's log. */
export type StartFailure = {
  readonly process: string;
  readonly reason: string;
  readonly log: string;
  readonly logTail: readonly string[];
};

const pollMs = 50;
const probeTimeoutMs = 1_000;
const restartPatience = 3;
const logTailLines = 12;

/** True when something accepts connections on the loopback port. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: probeTimeoutMs });
    const finish = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
    socket.once('timeout', () => finish(false));
  });
}

/** Undefined when `url` answers 2xx; else why not. */
async function unreadiness(url: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(probeTimeoutMs) });
    const text = (await response.text()).trim().slice(0, 300);
    return response.ok ? undefined : `${url} answers ${response.status} ${text}`;
  } catch {
    return `${url} does not answer`;
  }
}

/** A failure of this process, with the last lines of its log. */
export function failureOf(managed: ManagedProcess, reason: string): StartFailure {
  const log = logFile(managed.spec.dir);
  return { process: managed.spec.id, reason, log, logTail: lastLines(log, logTailLines) };
}

/** The failure for people, with the end of the log. */
export function failureText({ process, reason, log, logTail }: StartFailure): string {
  const tail = logTail.map((line) => `  | ${line}`).join('\n');
  return `${process} ${reason}\nlast lines of ${log}:\n${tail === '' ? '  | (empty)' : tail}`;
}

export interface UpWait {
  /** On the clock of `performance`. */
  readonly deadline: number;
  /** False once nobody waits any more. */
  readonly isWanted: () => boolean;
  /** That it listens is not enough where it says itself whether it is ready. */
  readonly untilReady: boolean;
}

/** @returns why the process did not come up; undefined once it has, or nobody waits any more. */
export async function waitUntilUp(
  managed: ManagedProcess,
  { deadline, isWanted, untilReady }: UpWait,
): Promise<StartFailure | undefined> {
  const { ports, readyUrl } = managed.spec;
  let reason = `does not listen on port ${ports.join(' and ')}`;
  while (isWanted()) {
    const { state, restarts, lastExit } = managed.status;
    if (restarts >= restartPatience && state !== 'running')
      return failureOf(managed, `keeps ending (${lastExit})`);
    if ((await Promise.all(ports.map(accepts))).every(Boolean)) {
      const asked = untilReady ? readyUrl : undefined;
      const problem = asked === undefined ? undefined : await unreadiness(asked);
      if (problem === undefined) return undefined;
      reason = problem;
    }
    if (performance.now() >= deadline) return failureOf(managed, `was not ready in time: ${reason}`);
    await sleep(pollMs);
  }
  return undefined;
}
