/** What must not grow with the database: recovery of a killed writer, attach of a reader, latency of a commit. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { measure } from '../cell.ts';
import { Histogram } from '../histogram.ts';
import type { Target } from '../plan.ts';
import { figure, median, msOfUs } from '../stats.ts';
import { gatewayFile, type RunningSextant, startSextant } from '../systems/sextant.ts';
import { querySql } from '../systems/system.ts';
import { freePorts, type Workbench } from '../workbench.ts';
import { isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const mebibyte = 2 ** 20;
const fillStatement =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO filler (data) SELECT randomblob(4000) FROM n';
const fillsAtOnce = 8;
const readyMs = 60_000;
const probeMs = 10;

interface Point {
  readonly mebibytes: number;
  readonly databaseBytes: number;
  readonly recoveryMs: readonly number[];
  readonly attachMs: readonly number[];
  readonly commitP50Us: number;
}

async function databaseBytes(target: Target): Promise<number> {
  return Number(
    await querySql(target, ['SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()']),
  );
}

async function fill(target: Target, mebibytes: number): Promise<number> {
  let size = await databaseBytes(target);
  while (size < mebibytes * mebibyte) {
    await querySql(
      target,
      Array.from({ length: fillsAtOnce }, () => fillStatement),
    );
    size = await databaseBytes(target);
  }
  return size;
}

/** Time until `probe` succeeds, from `startMs`. */
async function timeUntil(startMs: number, probe: () => Promise<unknown>): Promise<number> {
  for (;;) {
    try {
      await probe();
      return performance.now() - startMs;
    } catch (error) {
      if (performance.now() - startMs > readyMs) throw error;
      await pause(probeMs);
    }
  }
}

/** Kills the writer's gateway and waits for the next acknowledged write. The deployment's supervisor starts it again. */
async function recover(system: RunningSextant, target: Target): Promise<number> {
  const pid = system.pidOf(system.regions[0] ?? '', 'gateway');
  const startMs = performance.now();
  process.kill(pid, 'SIGKILL');
  return timeUntil(startMs, () => querySql(target, ['UPDATE bench SET v = v + 1 WHERE id = 1']));
}

const configSchema = z.looseObject({ gateway: z.string(), listen: z.string() });
let attached = 0;

/** Starts one more gateway of the region and waits for its first answer. */
async function attach(bench: Workbench, system: RunningSextant): Promise<number> {
  const [port = 0] = await freePorts(1);
  const region = system.regions[0] ?? '';
  const own = join(system.dataDir, region, 'gateway', 'config.json');
  const config = configSchema.parse(JSON.parse(readFileSync(own, 'utf8')));
  attached += 1;
  const name = `reader-${attached}`;
  const file = join(bench.directory, `${name}.json`);
  writeFileSync(
    file,
    JSON.stringify({ ...config, gateway: `bench-${attached}`, listen: `127.0.0.1:${port}` }),
    { mode: 0o600 },
  );
  const target: Target = { protocol: 'hrana-http', host: '127.0.0.1', port };
  const startMs = performance.now();
  const reader = bench.start({ name, command: process.execPath, args: [gatewayFile, '--config', file] });
  try {
    return await timeUntil(startMs, () => {
      if (reader.hasEnded) throw new Error(`the reader ended:\n${reader.lastOutput}`);
      return querySql(target, ['SELECT v FROM bench WHERE id = 1']);
    });
  } finally {
    await reader.stop();
  }
}

export const growth: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const sizes = options.quick ? [10, 50] : [10, 100, 1_024];
  const repeats = options.quick ? 1 : 3;
  const system = await startSextant(bench);
  if (isMissing(system)) return nothing(system.missing);
  await system.prepare();
  const target = system.target(system.regions[0] ?? '', 'hrana-http');
  await querySql(target, ['CREATE TABLE filler (id INTEGER PRIMARY KEY, data BLOB)']);
  const points: Point[] = [];
  for (const mebibytes of sizes) {
    const size = await fill(target, mebibytes);
    const round = await measure(system, planOf(options, system.target(system.regions[0] ?? ''), 'update', 1));
    const recoveryMs: number[] = [];
    const attachMs: number[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      attachMs.push(await attach(bench, system));
      recoveryMs.push(await recover(system, target));
    }
    const commitP50Us = Histogram.of([round.result.latency]).quantileUs(0.5);
    points.push({ mebibytes, databaseBytes: size, recoveryMs, attachMs, commitP50Us });
    bench.say(
      `  ${mebibytes} MiB: writes again after ${figure(median(recoveryMs))} ms, reader after ${figure(median(attachMs))} ms`,
    );
  }
  await system.stop();
  return {
    missing: [],
    sections: [
      {
        name: 'growth',
        title: 'Against the size of the database',
        notes: [
          'recovery: from SIGKILL of the writer’s gateway to the next acknowledged write, the supervisor’s restart and the start of Node.js included',
          'attach: from the start of one more gateway process to its first answer',
          'the log is at least as long as the database: every page was written through it',
        ],
        tables: [
          {
            title: 'Recovery and attach, ms',
            head: [
              'database, MiB',
              'writer killed: next write after',
              'new reader: first answer after',
              'commit p50',
            ],
            rows: points.map((point) => [
              String(Math.round(point.databaseBytes / mebibyte)),
              figure(median(point.recoveryMs)),
              figure(median(point.attachMs)),
              msOfUs(point.commitP50Us),
            ]),
          },
        ],
        panels: [
          {
            title: 'Recovery and attach against the size of the database',
            unit: 'ms',
            series: ['writer killed: next write', 'new reader: first answer'],
            groups: points.map((point) => ({
              label: `${point.mebibytes} MiB`,
              values: [median(point.recoveryMs), median(point.attachMs)],
            })),
          },
        ],
        data: points,
      },
    ],
  };
};
