/** PostgreSQL's own load generator, as its users know it: one run, and what it says. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Histogram } from '../measure/histogram.ts';
import { findProgram, type Workbench } from '../workbench.ts';

export const pgbenchNames = ['select', 'tpcb', 'update'] as const;
export type PgbenchName = (typeof pgbenchNames)[number];

export interface PgbenchPlan {
  readonly port: number;
  readonly workload: PgbenchName;
  readonly clients: number;
  /** At least one, whole. */
  readonly seconds: number;
  /** What the tables were made with. */
  readonly scale: number;
}

export interface PgbenchResult {
  readonly perSecond: number;
  readonly transactions: number;
  readonly failed: number;
  readonly latency: Histogram;
}

const updateScript = `\\set aid random(1, 100000 * :scale)
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;
`;

export class Pgbench {
  private readonly bench: Workbench;
  private readonly program: string;
  private readonly script: string;
  private runs = 0;

  private constructor(bench: Workbench, program: string) {
    this.bench = bench;
    this.program = program;
    this.script = join(bench.directory, 'update.sql');
    writeFileSync(this.script, updateScript);
  }

  /** Null when it is not installed. */
  static find(bench: Workbench): Pgbench | null {
    const program = findProgram('pgbench');
    return program === null ? null : new Pgbench(bench, program);
  }

  private at(port: number): readonly string[] {
    return ['-h', '127.0.0.1', '-p', String(port), '-U', 'bench'];
  }

  /** Makes its tables, and fills them. @param scale of 100,000 accounts each. @throws Error with what it said */
  async prepare(port: number, scale: number): Promise<void> {
    await this.bench.run(this.program, [...this.at(port), '-i', '-q', '-s', String(scale), 'postgres']);
  }

  /** Runs one workload, with prepared statements. @throws Error with what it said */
  async run({ port, workload, clients, seconds, scale }: PgbenchPlan): Promise<PgbenchResult> {
    this.runs += 1;
    const prefix = `pgbench-${this.runs}`;
    const script = {
      select: ['-S'],
      tpcb: [],
      update: ['-f', this.script, '-D', `scale=${scale}`],
    }[workload];
    const said = await this.bench.run(this.program, [
      ...this.at(port),
      ...['-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(seconds)],
      ...['-l', `--log-prefix=${prefix}`],
      ...script,
      'postgres',
    ]);
    return { ...parsePgbench(said), latency: this.latencies(prefix) };
  }

  /** Each line of its log is a transaction: client, number, microseconds, … */
  private latencies(prefix: string): Histogram {
    const histogram = new Histogram();
    const { directory } = this.bench;
    for (const name of readdirSync(directory).filter((file) => file.startsWith(`${prefix}.`))) {
      const path = join(directory, name);
      for (const line of readFileSync(path, 'utf8').split('\n')) {
        const us = Number(line.split(' ')[2]);
        if (us > 0) histogram.record(us);
      }
      rmSync(path);
    }
    return histogram;
  }
}

/** @param said what pgbench prints at its end. @throws Error when that has no rate */
export function parsePgbench(said: string): Pick<PgbenchResult, 'perSecond' | 'transactions' | 'failed'> {
  const number = (pattern: RegExp): number | null => {
    const found = pattern.exec(said)?.[1];
    return found === undefined ? null : Number(found);
  };
  const perSecond = number(/^tps = ([\d.]+)/m);
  if (perSecond === null) throw new Error(`pgbench says no rate: ${said.slice(-300)}`);
  return {
    perSecond,
    transactions: number(/^number of transactions actually processed: (\d+)/m) ?? 0,
    failed: number(/^number of failed transactions: (\d+)/m) ?? 0,
  };
}
