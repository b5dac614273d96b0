/** What must not grow with the database: recovery of a killed writer, attach of a reader, latency of a commit. */
import { runLoad } from '../load/load-client.ts';
import type { Target } from '../load/plan.ts';
import { cpuShare } from '../measure/accounting.ts';
import { measure } from '../measure/cell.ts';
import { Histogram } from '../measure/histogram.ts';
import { figure, median, msOfUs, ratio } from '../measure/stats.ts';
import type { Goal } from '../report/report.ts';
import { startGateway } from '../systems/extra-gateway.ts';
import { type RunningSextant, startSextant } from '../systems/sextant.ts';
import { querySql } from '../systems/system.ts';
import type { Workbench } from '../workbench.ts';
import { isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const mebibyte = 2 ** 20;
const fillStatement =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) INSERT INTO filler (data) SELECT randomblob(4000) FROM n';
const fillsAtOnce = 8;
const readyMs = 60_000;
const probeMs = 10;
/** A gateway that ran so long before it was killed is started again after the supervisor's shortest pause. */
const stableMs = 10_500;
/** Nodes fold what is a minute old; a deployment that takes less of a core after that has folded what it was filled with. */
const foldAfterMs = 62_000;
const restShare = 0.25;
const restMs = 60_000;

interface Point {
  readonly mebibytes: number;
  readonly databaseBytes: number;
  readonly recoveryMs: readonly number[];
  readonly attachMs: readonly number[];
  readonly commitP50Us: readonly number[];
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

/** Waits until the nodes have folded what they were given at once: a database is not large only in the minute it was loaded. */
async function rest(system: RunningSextant): Promise<void> {
  await pause(foldAfterMs);
  const deadline = performance.now() + restMs;
  while ((await cpuShare(system.roles(), 1_000)) > restShare && performance.now() < deadline);
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

/** Starts one more gateway of the region and waits for its first answer. */
async function attach(bench: Workbench, system: RunningSextant): Promise<number> {
  const startMs = performance.now();
  const { process: reader, target } = await startGateway(bench, system);
  try {
    return await timeUntil(startMs, () => {
      if (reader.hasEnded) throw new Error(`the reader ended:\n${reader.lastOutput}`);
      return querySql(target('hrana-http'), ['SELECT v FROM bench WHERE id = 1']);
    });
  } finally {
    await reader.stop();
  }
}

export const growth: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const sizes = options.quick ? [10, 50] : [10, 100, 1_024];
  const repeats = options.quick ? 1 : 3;
  const attaches = 3;
  const system = await startSextant(bench);
  if (isMissing(system)) return nothing(system.missing);
  await system.prepare();
  const target = system.target(system.regions[0] ?? '', 'hrana-http');
  await querySql(target, ['CREATE TABLE filler (id INTEGER PRIMARY KEY, data BLOB)']);
  const points: Point[] = [];
  let startedMs = performance.now();
  const lone = planOf(options, system.target(system.regions[0] ?? ''), 'update', 1);
  await runLoad({ ...lone, warmMs: 0, measureMs: 2 * options.heatMs });
  for (const mebibytes of sizes) {
    const size = await fill(target, mebibytes);
    if (!options.quick) await rest(system);
    const commitP50Us: number[] = [];
    for (let round = 0; round < repeats; round++) {
      const plan = planOf(options, system.target(system.regions[0] ?? ''), 'update', 1);
      const { result } = await measure(system, plan);
      commitP50Us.push(Histogram.of([result.latency]).quantileUs(0.5));
    }
    const recoveryMs: number[] = [];
    const attachMs: number[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      while (attachMs.length < Math.ceil((attaches * (repeat + 1)) / repeats))
        attachMs.push(await attach(bench, system));
      await pause(Math.max(0, stableMs - (performance.now() - startedMs)));
      recoveryMs.push(await recover(system, target));
      startedMs = performance.now();
    }
    points.push({ mebibytes, databaseBytes: size, recoveryMs, attachMs, commitP50Us });
    bench.say(
      `  ${mebibytes} MiB: writes again after ${figure(median(recoveryMs))} ms, reader after ${figure(median(attachMs))} ms, commit ${msOfUs(median(commitP50Us))} ms`,
    );
  }
  await system.stop();
  const grown = (of: (point: Point) => readonly number[]): number | null => {
    const [first, last] = [points[0], points.at(-1)];
    return first === undefined || last === undefined ? null : ratio(median(of(last)), median(of(first)));
  };
  const span = `${sizes.at(-1)} MiB ÷ ${sizes[0]} MiB`;
  const goal = (what: string, of: (point: Point) => readonly number[]): Goal => ({
    text: `${what}, database of ${span}`,
    value: grown(of),
    bound: 1.5,
    better: 'atMost',
  });
  return {
    missing: [],
    goals: [
      goal('writer killed: next write', ({ recoveryMs }) => recoveryMs),
      goal('new reader: first answer', ({ attachMs }) => attachMs),
      goal('commit p50', ({ commitP50Us }) => commitP50Us),
    ],
    sections: [
      {
        name: 'growth',
        title: 'Against the size of the database',
        notes: [
          'recovery: from SIGKILL of the writer’s gateway to the next acknowledged write, the supervisor’s restart and the start of Node.js included',
          'attach: from the start of one more gateway process to its first answer',
          options.quick
            ? 'measured while the nodes fold what was loaded (without --quick: afterwards)'
            : 'measured once the nodes have folded what was loaded',
          `medians: ${repeats} kills, ${attaches} readers, ${repeats} rounds of commits at each size; each kill after the gateway has run for ten seconds, so that the supervisor’s pause is the same`,
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
              msOfUs(median(point.commitP50Us)),
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
