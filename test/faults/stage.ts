/** The deployment that faults are made on: its addresses, its processes, and a clean state before each check. */
import { readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { TestDeployment } from '../system/local-deployment.ts';
import { once, shortly } from './hrana.ts';
import { Others } from './others.ts';

export const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
export type Region = (typeof regions)[number];
export const primary: Region = 'us-east-1';
export const secondary: Region = 'eu-west-1';
export const third: Region = 'ap-northeast-1';

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
      const answer = await once(this.address(primary), sql);
      if (!answer.ok) throw new Error(`${sql}: ${shortly(answer)}`);
    }
    await this.deployment.settled(30_000);
  }

  private async usable(): Promise<boolean> {
    for (const region of regions) {
      const answer = await once(this.address(region), 'SELECT 1', 3_000);
      if (!answer.ok) return false;
    }
    return true;
  }

  async restartGateways(): Promise<void> {
    for (const region of regions) {
      await this.deployment.cli(['gateway', 'kill', region]);
      await this.deployment.cli(['gateway', 'start', region]);
    }
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

/** Threads of a process that run or wait for a core at this moment. */
function runnable(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).filter((thread) => {
      // The name in parentheses may hold blanks; the state follows it.
      const state = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8').split(') ')[1]?.[0];
      return state === 'R';
    });
  } catch {
    return [];
  }
}

/** Whether a thread of a process is at work all the time: what a CPU share does not tell on a machine that is full. */
export async function hasBusyThread(pid: number): Promise<boolean> {
  const samples = 20;
  const seen = new Map<string, number>();
  for (let sample = 0; sample < samples; sample++) {
    for (const thread of runnable(pid)) seen.set(thread, (seen.get(thread) ?? 0) + 1);
    await pause(150);
  }
  return [...seen.values()].some((count) => count >= samples - 1);
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
