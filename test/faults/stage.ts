/** The deployment that faults are made on: its addresses, its processes, and a clean state before each check. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { operationSchema } from '../../regions/moves/core/operations.ts';
import { TestDeployment } from '../system/local-deployment.ts';
import { once as ask, shortly } from './hrana.ts';
import { Others } from './others.ts';

export const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
export type Region = (typeof regions)[number];
export const primary: Region = 'us-east-1';
export const secondary: Region = 'eu-west-1';
export const third: Region = 'ap-northeast-1';

const ticksPerSecond = 100;
const operation = operationSchema.pick({ id: true, state: true, error: true });
const localStatus = z.object({
  local: z.object({
    processes: z.array(
      z.object({ id: z.string(), role: z.string(), region: z.string(), pid: z.number().nullable() }),
    ),
  }),
});

export interface Readiness {
  readonly ready: boolean;
  readonly atMs: number;
}

export class Stage {
  readonly deployment: TestDeployment;
  readonly table = 'faults';

  private constructor(deployment: TestDeployment) {
    this.deployment = deployment;
  }

  static async open(basePort?: number): Promise<Stage> {
    const options = basePort === undefined ? {} : { basePort };
    return new Stage(await TestDeployment.start({ regions, ...options }));
  }

  address(region: Region): string {
    return this.deployment.gateway(region);
  }

  /** Everything up, us-east-1 primary, the table filled. What a check has broken is started again. */
  async reset(): Promise<void> {
    const usable = await this.usable();
    if (!usable) await this.restartGateways();
    await this.deployment.settled(90_000);
    const { primary: now } = await this.deployment.status();
    if (now !== primary) await this.deployment.run('switchover', '--to', primary);
    await this.deployment.settled(90_000);
    for (const sql of [
      `CREATE TABLE IF NOT EXISTS ${this.table} (id INTEGER PRIMARY KEY, n INTEGER)`,
      `INSERT OR IGNORE INTO ${this.table} VALUES (1, 0), (2, 0), (3, 0), (4, 0)`,
    ]) {
      const answer = await ask(this.address(primary), sql);
      if (!answer.ok) throw new Error(`${sql}: ${shortly(answer)}`);
    }
    await this.deployment.settled(30_000);
  }

  private async usable(): Promise<boolean> {
    for (const region of regions) {
      const answer = await ask(this.address(region), 'SELECT 1', 3_000);
      if (!answer.ok) return false;
    }
    return true;
  }

  /** Kills and starts every gateway, and waits until each is ready. */
  async restartGateways(): Promise<void> {
    for (const region of regions) {
      await this.deployment.cli(['gateway', 'kill', region]);
      await this.deployment.cli(['gateway', 'start', region]);
    }
    await this.ready();
  }

  /** Every gateway says that it is ready. @throws when one does not in 90 s. */
  private async ready(): Promise<void> {
    const deadlineMs = performance.now() + 90_000;
    for (const region of regions) {
      while (!(await this.readiness(region)).ready) {
        if (performance.now() > deadlineMs)
          throw new Error(`the gateway of ${region} is not ready after 90 s`);
        await pause(200);
      }
    }
  }

  /** Moves the primary and waits until the move has ended. @returns how it ended. */
  async switchover(target: Region, limitMs: number): Promise<string> {
    const url = `http://${this.address(third)}/v1`;
    const begun = await fetch(`${url}/switchover`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ target }),
      signal: AbortSignal.timeout(limitMs),
    });
    if (begun.status !== 202) return `${begun.status} ${await begun.text()}`;
    const deadlineMs = performance.now() + limitMs;
    let { id, state, error } = operation.parse(await begun.json());
    while (state === 'running' && performance.now() < deadlineMs) {
      await pause(100);
      const asked = await fetch(`${url}/operations/${id}`, { signal: AbortSignal.timeout(limitMs) });
      if (asked.ok) ({ id, state, error } = operation.parse(await asked.json()));
    }
    return error == null ? state : `${state} ${JSON.stringify(error)}`;
  }

  others(region: Region): Others {
    return new Others(this.address(region), this.table);
  }

  async gatewayPid(region: Region): Promise<number> {
    const { local } = localStatus.parse(JSON.parse(await this.deployment.run('status', '--json')));
    const found = local.processes.find((one) => one.region === region && one.role === 'gateway');
    if (found?.pid == null) throw new Error(`the gateway of ${region} does not run`);
    return found.pid;
  }

  async readiness(region: Region): Promise<Readiness> {
    const answer = await fetch(`http://${this.address(region)}/readyz`, {
      signal: AbortSignal.timeout(2_000),
    }).catch(() => null);
    return { ready: answer?.status === 200, atMs: performance.now() };
  }

  close(): Promise<void> {
    return this.deployment.stop();
  }
}

export const pause = (timeMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, timeMs));

/** CPU time a process has used, in milliseconds; 0 when it is gone. */
function cpuMs(pid: number): number {
  try {
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th field after it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond;
  } catch {
    return 0;
  }
}

const spinner = `
const { parentPort } = require('node:worker_threads');
const end = performance.now() + 3_000;
while (performance.now() < end);
const { user, system } = process.threadCpuUsage();
parentPort.postMessage((user + system) / 1_000);
`;

/**
 * CPU time of a process in three seconds, as a share of what a thread gets meanwhile that never rests: near 1 for a process
 * with one busy thread, on an idle machine as on a full one.
 */
export async function busyShare(pid: number): Promise<number> {
  const beforeMs = cpuMs(pid);
  const [spunMs]: unknown[] = await once(new Worker(spinner, { eval: true }), 'message');
  return typeof spunMs === 'number' && spunMs > 0 ? (cpuMs(pid) - beforeMs) / spunMs : 0;
}

/** Memory of a process in MiB; 0 when it is gone. */
export function residentMiB(pid: number): number {
  try {
    const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(found?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
