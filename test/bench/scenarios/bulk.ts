/** Work on many rows at once: how fast, in how much memory, and what becomes of everybody else meanwhile. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { startLoad } from '../load/load-client.ts';
import type { Target } from '../load/plan.ts';
import type { WorkloadName } from '../load/workload.ts';
import { Histogram } from '../measure/histogram.ts';
import { largest, type Memory, together, watchPeaks } from '../measure/peaks.ts';
import { bytes, figure, msOfUs, ratio, times } from '../measure/stats.ts';
import type { Goal, Table } from '../report/report.ts';
import { peers } from '../systems/index.ts';
import { type RunningSextant, startSextant } from '../systems/sextant.ts';
import { querySql, type RunningSystem } from '../systems/system.ts';
import { type Context, isMissing, nothing, type Outcome, pause, planOf, type Scenario } from './scenario.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const mebibyte = 2 ** 20;
/** Beside the bulk work, each at this rate. */
const besidePerSecond = 20;
const besideConnections = 8;
const besideWorkloads = ['update', 'select'] as const;
/** The longest that one step is followed. */
const stepMs = 900_000;
const levelEveryMs = 100;
const blobBytes = 16_384;

/** One piece of work, with the same SQL for every system unless it is Sextant's own. */
interface Step {
  readonly id: string;
  readonly title: string;
  /** Rows it writes, or reads to make an index; 0 when that says nothing. */
  readonly rows: number;
  readonly run: (target: Target) => Promise<unknown>;
  readonly sextantOnly: boolean;
}

interface Beside {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly errors: number;
  readonly firstError: string | null;
}

type BesideBoth = Readonly<Record<(typeof besideWorkloads)[number], Beside>>;

interface StepRun {
  readonly system: string;
  readonly step: string;
  readonly title: string;
  readonly rows: number;
  readonly seconds: number;
  /** Why it was refused, or null. */
  readonly refused: string | null;
  /** Redo of Sextant, or WAL of a peer; null where nobody counts it. */
  readonly redoBytes: number | null;
  /** From the answer until every secondary had it durable; null without secondaries. */
  readonly levelSeconds: number | null;
  readonly peaks: Memory;
  readonly beside: BesideBoth;
}

const statusSchema = z.looseObject({
  regions: z.array(z.looseObject({ role: z.string(), vdl: z.number().nullish() })),
});

/** 10 to the power of `digits` rows out of a table of ten: the same SQL everywhere. */
function rowsOf(digits: number, columns: (id: string) => string): string {
  const places = Array.from({ length: digits }, (_, at) => `d${at}`);
  const id = `(1 + ${places.map((place, at) => `${10 ** at} * ${place}.d`).join(' + ')})`;
  return `SELECT ${columns(id)} FROM ${places.map((place) => `bulk_digits ${place}`).join(', ')}`;
}

const tables = [
  'CREATE TABLE bulk_digits (d INTEGER PRIMARY KEY)',
  `INSERT INTO bulk_digits VALUES ${Array.from({ length: 10 }, (_, d) => `(${d})`).join(', ')}`,
  ...['bulk_rows', 'bulk_copy'].map(
    (name) => `CREATE TABLE ${name} (id INTEGER PRIMARY KEY, a INTEGER NOT NULL, b INTEGER NOT NULL)`,
  ),
];

function stepsOf(quick: boolean): readonly Step[] {
  const digits = quick ? 5 : 7;
  const rows = 10 ** digits;
  const blobs = quick ? 1_000 : 60_000;
  const sql = (id: string, title: string, count: number, text: string, sextantOnly = false): Step => {
    const run = (target: Target): Promise<unknown> => querySql(target, [text]);
    return { id, title, rows: count, run, sextantOnly };
  };
  const made = rowsOf(digits, (id) => `${id}, (${id} * 131) % 1000003, ${id} % 100`);
  const blobRows = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${blobs}) SELECT i, randomblob(${blobBytes}) FROM n`;
  return [
    sql('rows', 'INSERT … SELECT, rows made', rows, `INSERT INTO bulk_rows ${made}`),
    sql('copy', 'INSERT … SELECT, rows read', rows, 'INSERT INTO bulk_copy SELECT id, a, b FROM bulk_rows'),
    sql('index', 'CREATE INDEX', rows, 'CREATE INDEX bulk_rows_a ON bulk_rows (a)'),
    sql(
      'blobs',
      `one transaction of ${Math.round((blobs * blobBytes) / mebibyte)} MiB`,
      blobs,
      `CREATE TABLE bulk_blobs AS ${blobRows}`,
      true,
    ),
    sql('vacuum', 'VACUUM', 0, 'VACUUM', true),
    sql(
      'beyond',
      'one transaction of 1.25 GiB: beyond the limit',
      0,
      `CREATE TABLE bulk_beyond AS ${blobRows.replace(`< ${blobs}`, '< 81920')}`,
      true,
    ),
  ];
}

/** A file to import: rows of some hundred bytes. */
function makeFile(path: string, mebibytes: number): number {
  const rowsEach = 1_000;
  const file = new DatabaseSync(path);
  file.exec('PRAGMA journal_mode = off; PRAGMA synchronous = off');
  file.exec('CREATE TABLE bulk_imported (id INTEGER PRIMARY KEY, data BLOB)');
  const fill = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rowsEach})
    INSERT INTO bulk_imported (data) SELECT randomblob(1000) FROM n`;
  for (let mib = 0; mib < mebibytes; mib++) file.exec(fill);
  file.close();
  return mebibytes * rowsEach;
}

function importStep({ bench, options }: Context, system: RunningSextant): Step {
  const mebibytes = options.quick ? 8 : 1_024;
  const path = join(bench.directory, 'bulk.db');
  const rows = makeFile(path, mebibytes);
  const [primary] = regions;
  return {
    id: 'import',
    title: `sextant import, a file of ${mebibytes} MiB`,
    rows,
    sextantOnly: true,
    run: async () => {
      await system.cli(['import', primary, path, '--into-existing', '--json'], stepMs);
      rmSync(path);
    },
  };
}

/** Two clients of other people, at a fixed rate, until they are told to stop: from when each statement was due. */
async function startBeside(context: Context, target: Target): Promise<() => Promise<BesideBoth>> {
  const plan = (workload: WorkloadName) =>
    planOf(context.options, target, workload, besideConnections, {
      measureMs: stepMs,
      perSecond: besidePerSecond,
    });
  const loads = besideWorkloads.map((workload) => ({ workload, load: startLoad(plan(workload)) }));
  await Promise.all(loads.map(({ load }) => load.measuring));
  return async () => {
    const found: Partial<Record<(typeof besideWorkloads)[number], Beside>> = {};
    for (const { load } of loads) load.stop();
    for (const { workload, load } of loads) {
      const { latency, errors, firstError } = await load.measured;
      await load.finished;
      load.close();
      const histogram = Histogram.of([latency]);
      found[workload] = {
        p50Us: histogram.quantileUs(0.5),
        p99Us: histogram.quantileUs(0.99),
        errors,
        firstError,
      };
    }
    const { update, select } = found;
    if (update === undefined || select === undefined) throw new Error('both loads were measured');
    return { update, select };
  };
}

/** What only Sextant has of what is measured. */
interface Regions {
  /** Resolves when every secondary has durable what the primary has now. */
  readonly level: () => Promise<void>;
}

async function regionsLevel(system: RunningSextant): Promise<void> {
  const status = async () => statusSchema.parse(await system.status()).regions;
  const primary = (await status()).find(({ role }) => role === 'primary');
  const wanted = primary?.vdl ?? 0;
  const deadline = performance.now() + stepMs;
  for (;;) {
    // The gateway may be busy: it is asked again.
    const seen = await status().catch(() => []);
    if (seen.length > 0 && seen.every(({ vdl }) => (vdl ?? 0) >= wanted)) return;
    if (performance.now() > deadline) throw new Error('the secondaries are not level in time');
    await pause(levelEveryMs);
  }
}

/** What an error says; of Sextant's the code comes first. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const [, message, code] = /"message":"((?:[^"\\]|\\.)*)","code":"(\w+)"/.exec(text) ?? [];
  return code === undefined ? text : `${code}: ${message}`;
}

const redoCounters = ['redoBytes', 'walBytes'] as const;
async function redoOf(system: RunningSystem): Promise<number | null> {
  const counters = await system.counters();
  const name = redoCounters.find((counter) => counter in counters);
  return name === undefined ? null : (counters[name] ?? null);
}

async function runStep(
  context: Context,
  system: RunningSystem,
  target: Target,
  memory: () => Memory | Promise<Memory>,
  step: Step,
  others: Regions | null,
): Promise<StepRun> {
  const before = await redoOf(system);
  const endBeside = await startBeside(context, target);
  const endPeaks = watchPeaks(memory);
  const startMs = performance.now();
  const refused = await step.run(target).then(() => null, reasonOf);
  const answeredMs = performance.now();
  await others?.level();
  const levelMs = performance.now();
  const beside = await endBeside();
  const after = await redoOf(system);
  const run: StepRun = {
    system: system.title,
    step: step.id,
    title: step.title,
    rows: step.rows,
    seconds: (answeredMs - startMs) / 1_000,
    refused,
    redoBytes: before === null || after === null ? null : after - before,
    levelSeconds: others === null ? null : (levelMs - answeredMs) / 1_000,
    peaks: await endPeaks(),
    beside,
  };
  const outcome = refused === null ? `${figure(run.seconds)} s` : `refused: ${refused.slice(0, 200)}`;
  context.bench.say(
    `  ${system.title}, ${step.title}: ${outcome}; beside it UPDATE p99 ${msOfUs(beside.update.p99Us)} ms, SELECT p99 ${msOfUs(beside.select.p99Us)} ms`,
  );
  return run;
}

/** The two clients alone, for comparison. */
function quietStep(ms: number): Step {
  return { id: 'none', title: 'nothing', rows: 0, sextantOnly: false, run: () => pause(ms) };
}

async function runSystem(
  context: Context,
  system: RunningSystem,
  target: Target,
  memory: () => Memory | Promise<Memory>,
  steps: readonly Step[],
  others: Regions | null,
): Promise<readonly StepRun[]> {
  await querySql(target, tables);
  const runs: StepRun[] = [];
  for (const step of [quietStep(2 * context.options.measureMs), ...steps])
    runs.push(await runStep(context, system, target, memory, step, others));
  return runs;
}

async function onSextant(context: Context): Promise<readonly StepRun[] | string> {
  const system = await startSextant(context.bench, { regions, env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(system)) return system.missing;
  await system.prepare();
  const steps = [...stepsOf(context.options.quick), importStep(context, system)];
  const level = () => regionsLevel(system);
  const memory = () => largest(system.kinds());
  const runs = await runSystem(context, system, system.target(regions[0]), memory, steps, { level });
  await system.stop();
  return runs;
}

async function onPeer(context: Context, name: 'postgres' | 'mariadb'): Promise<readonly StepRun[] | string> {
  const system = await peers[name](context.bench);
  if (isMissing(system)) return system.missing;
  await system.prepare();
  const target = system.targets[name === 'postgres' ? 'postgres' : 'mysql'];
  if (target === undefined) return `${system.title} has no address`;
  const steps = stepsOf(context.options.quick).filter(({ sextantOnly }) => !sextantOnly);
  const runs = await runSystem(context, system, target, () => together(system.roles()), steps, null);
  await system.stop();
  return runs;
}

const perSecond = (amount: number, { seconds, refused }: StepRun): number | null =>
  refused === null && seconds > 0 && amount > 0 ? amount / seconds : null;

function workTable(runs: readonly StepRun[]): Table {
  const own = (step: string) => runs.find((run) => run.step === step);
  return {
    title: 'The work itself',
    head: [
      'system',
      'work',
      's',
      'rows/s',
      'redo',
      'redo MiB/s',
      'secondaries level after s',
      'time ÷ Sextant',
    ],
    rows: runs
      .filter(({ step }) => step !== 'none')
      .map((run) => [
        run.system,
        run.title,
        run.refused === null
          ? figure(run.seconds)
          : `${run.refused.split(':')[0]} after ${figure(run.seconds)}`,
        figure(perSecond(run.rows, run)),
        run.redoBytes === null ? '–' : bytes(run.redoBytes),
        figure(perSecond((run.redoBytes ?? 0) / mebibyte, run)),
        figure(run.levelSeconds),
        own(run.step)?.refused === null ? times(ratio(run.seconds, own(run.step)?.seconds)) : '–',
      ]),
  };
}

function besideTable(runs: readonly StepRun[]): Table {
  return {
    title: 'Other clients meanwhile, ms from when a statement was due',
    head: ['system', 'beside', 'UPDATE p50', 'p99', 'refused', 'SELECT p50', 'p99', 'refused'],
    rows: runs.map(({ system, title, beside: { update, select } }) => [
      system,
      title,
      ...[update, select].flatMap(({ p50Us, p99Us, errors }) => [
        msOfUs(p50Us),
        msOfUs(p99Us),
        String(errors),
      ]),
    ]),
  };
}

function memoryTable(runs: readonly StepRun[]): Table {
  const list = (peaks: StepRun['peaks']): string =>
    Object.entries(peaks)
      .map(([kind, peak]) => `${kind} ${bytes(peak)}`)
      .join(', ');
  return {
    title: 'Most memory (PSS): of the largest process of each kind; of a peer of all of them',
    head: ['system', 'during', 'memory'],
    rows: runs.map(({ system, title, peaks }) => [system, title, list(peaks)]),
  };
}

/** What a gateway takes beside the bounds of its engines for one transaction: SQLite's memory, pages that are kept, and those not yet in files. */
const writerBytesMax = 1_536 * mebibyte;

export const bulk: Scenario = async (context): Promise<Outcome> => {
  const { options } = context;
  const own = await onSextant(context);
  if (typeof own === 'string') return nothing(own);
  const runs = [...own];
  const missing: string[] = [];
  for (const name of ['postgres', 'mariadb'] as const) {
    if (!options.peers.includes(name)) continue;
    const found = await onPeer(context, name);
    if (typeof found === 'string') missing.push(found);
    else runs.push(...found);
  }
  const peak = Math.max(...own.map(({ peaks }) => peaks.writer ?? 0));
  const goals: Goal[] = [
    {
      text: 'bulk work: most memory of the gateway that writes, MiB',
      value: peak === 0 ? null : peak / mebibyte,
      bound: writerBytesMax / mebibyte,
      better: 'atMost',
    },
    {
      text: 'bulk work: SELECTs of other clients that were refused',
      value: own.reduce((sum, { beside }) => sum + beside.select.errors, 0),
      bound: 0,
      better: 'atMost',
    },
  ];
  return {
    missing,
    goals,
    sections: [
      {
        name: 'bulk',
        title: 'Work on many rows at once',
        notes: [
          `each a single statement, and so one transaction, except the import; three regions on this machine; beside it ${besidePerSecond} single-row UPDATEs and ${besidePerSecond} point SELECTs a second`,
          'systems one after the other; peers keep the copies they keep elsewhere in this benchmark',
          'secondaries level: every region has durable what the primary had when the work was answered',
        ],
        tables: [workTable(runs), besideTable(runs), memoryTable(runs)],
        panels: [
          {
            title: 'Time of bulk work',
            unit: 's',
            series: [...new Set(runs.map(({ system }) => system))],
            groups: stepsOf(options.quick)
              .filter(({ sextantOnly }) => !sextantOnly)
              .map(({ id, title }) => ({
                label: title,
                values: [...new Set(runs.map(({ system }) => system))].map((system) => {
                  const run = runs.find((one) => one.system === system && one.step === id);
                  return run === undefined || run.refused !== null ? null : run.seconds;
                }),
              })),
          },
        ],
        data: runs,
      },
    ],
  };
};
