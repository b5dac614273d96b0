/** `sextant drill`: rehearsals of faults under a verified load, and the history of those that were. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { loadConfig } from '../../../storage/index.ts';
import {
  type DrillKind,
  type DrillRequest,
  drillKinds,
  drillLimits,
  drillPurpose,
  drillRegion,
  drillRequestSchema,
} from '../../drills/core/drill-kinds.ts';
import type { DrillReport, DrillSummary } from '../../drills/core/drill-report.ts';
import { listDrills, showDrill } from '../../drills/run/drill-history.ts';
import type { DrillTarget } from '../../drills/run/drill-target.ts';
import { executeDrill } from '../../drills/run/execute.ts';
import { localTarget } from '../../drills/run/local-target.ts';
import { DrillRefused } from '../../drills/run/preflight.ts';
import { remoteSchema, remoteTarget } from '../../drills/run/remote-target.ts';
import { supervisorStatus } from '../../local/control-socket.ts';
import { requireDeployment } from '../../local/deployment-file.ts';
import { runningJaeger } from '../../local/jaeger-processes.ts';
import { controlSocket } from '../../local/layout/local-layout.ts';
import { runningSupervisor } from '../../local/local-deployment.ts';
import { actLocally, ask } from '../ask/admin-client.ts';
import { type CommonOptions, withCommon, withExample } from '../ask/options.ts';
import { CliError, formatMs, note, paint, printJson, table } from '../ask/output.ts';

type DrillOptions = CommonOptions & {
  readonly region?: string;
  readonly rtoMs?: string;
  readonly rpoCommits?: string;
  readonly load: string;
  readonly seconds: string;
  readonly report?: string;
  readonly on?: string;
};

function requestOf(kind: DrillKind, options: DrillOptions): DrillRequest {
  const given = {
    kind,
    ...(options.region !== undefined && { region: options.region }),
    ...(options.rtoMs !== undefined && { rtoMs: Number(options.rtoMs) }),
    ...(options.rpoCommits !== undefined && { rpoCommits: Number(options.rpoCommits) }),
    load: Number(options.load),
    seconds: Number(options.seconds),
  };
  const parsed = drillRequestSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const flags: Readonly<Record<string, string>> = { rtoMs: '--rto-ms', rpoCommits: '--rpo-commits' };
  const problems = parsed.error.issues.map(({ path, message }) => {
    const key = String(path[0] ?? '');
    return `${flags[key] ?? `--${key}`}: ${message}`;
  });
  throw new CliError(problems.join('; '));
}

function targetOf(options: DrillOptions): DrillTarget {
  if (options.on !== undefined) {
    const loaded = loadConfig(options.on, remoteSchema);
    if (loaded.kind !== 'ok') throw new CliError(loaded.message);
    return remoteTarget(loaded.value, ask);
  }
  const deployment = requireDeployment(options.data);
  if (runningSupervisor(resolve(options.data)) === undefined)
    throw new CliError(
      `the deployment in ${resolve(options.data)} does not run: start it with \`sextant up --detach\`, or name another --data or --on`,
      'NOT_RUNNING',
    );
  actLocally(options.data, deployment);
  return localTarget(options.data, deployment, ask, process.env.SEXTANT_TOKEN ?? null);
}

/** A deployment that runs with its own Jaeger has its drills there too. */
async function collectorOf({ data, on }: DrillOptions): Promise<{ readonly collector?: string }> {
  if (on !== undefined) return {};
  const collector = runningJaeger(requireDeployment(data), await supervisorStatus(controlSocket(data)))?.otlp;
  return collector === undefined ? {} : { collector };
}

/** Aborts with the first signal; the second one ends the process at once. */
function stopAsked(onStop: () => void): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(1);
      onStop();
      stop.abort();
    });
  return stop.signal;
}

async function drill(kind: DrillKind, options: DrillOptions): Promise<void> {
  const json = options.json === true;
  const tell = json ? () => undefined : note;
  const request = requestOf(kind, options);
  try {
    const { report, dirs } = await executeDrill({
      request,
      target: targetOf(options),
      dataDir: options.data,
      ...(await collectorOf(options)),
      ...(options.report !== undefined && { reportDir: options.report }),
      onProgress: tell,
      signal: stopAsked(() =>
        tell('stopping: what is broken is healed first (once more: at once, and nothing is)'),
      ),
    });
    if (json) printJson(report);
    else printReport(report, dirs.at(-1) ?? '');
    if (!report.passed) process.exitCode = 1;
  } catch (error) {
    if (error instanceof DrillRefused) throw new CliError(error.message, error.code);
    throw error;
  }
}

const mark = (held: boolean): string => (held ? paint('green', '✓') : paint('red', '✗'));

function printReport(report: DrillReport, dir: string): void {
  for (const { name, limit, actual, held } of report.objectives)
    console.log(`${mark(held)} ${name} ${actual ?? 'not measured'}, at most ${limit}`);
  for (const { name, held, detail } of report.checks) console.log(`${mark(held)} ${name}: ${detail}`);
  const noRto = report.interrupted ? 'stopped before writes were back' : 'writes did not come back';
  const { rtoMs, dataCompared, rpoCommits, rpoMs, rpoBytes, writeStallMs, failbackMs } = report;
  console.log(
    [
      `RTO ${rtoMs === null ? `none: ${noRto}` : formatMs(rtoMs)}`,
      `longest pause ${formatMs(writeStallMs)}`,
      dataCompared
        ? `RPO ${rpoCommits} commits (${formatMs(rpoMs)}, ${rpoBytes} B)`
        : 'RPO unknown: the data could not be compared',
      ...(failbackMs === null ? [] : [`failback ${formatMs(failbackMs)}`]),
    ].join('  '),
  );
  const verdict = report.passed ? paint('green', 'PASSED') : paint('red', 'FAILED');
  console.log(`${verdict}  ${report.id}  ${dir}`);
}

const summaryRow = (summary: DrillSummary): readonly string[] => [
  summary.id,
  summary.kind,
  summary.state,
  summary.rtoMs === null ? '–' : formatMs(summary.rtoMs),
  summary.rpoCommits === null ? '–' : `${summary.rpoCommits}`,
  summary.startedAt,
];

function list(options: CommonOptions): void {
  const drills = listDrills(options.data);
  if (options.json === true) printJson({ drills });
  else if (drills.length === 0) console.log('no drill has been run here');
  else console.log(table(['DRILL', 'KIND', 'STATE', 'RTO', 'LOST', 'STARTED'], drills.map(summaryRow)));
}

function show(id: string, options: CommonOptions): void {
  const found = showDrill(options.data, id);
  if (found === null)
    throw new CliError(`there is no drill ${id}: \`sextant drill list\` names those there are`);
  if (options.json === true) printJson(found);
  else if (found.report !== null) printReport(found.report, '');
  else console.log(`${found.id} is ${found.state}`);
}

/** Examples that show more than the plain command. */
const examples: Readonly<Partial<Record<DrillKind, string>>> = {
  'region-loss': 'sextant drill region-loss --rto-ms 20000 --rpo-commits 50 --report drill-report',
  partition: 'sextant drill partition --region us-east-1',
  switchover: 'sextant drill switchover --on production.yaml --load 5 --json',
};

export function addDrillCommands(program: Command): void {
  const parent = program
    .command('drill')
    .description('rehearse a fault under a verified load, and report what it cost');
  for (const kind of drillKinds) {
    withExample(
      withCommon(parent.command(kind))
        .description(drillPurpose[kind])
        .option('--region <region>', drillRegion[kind])
        .option('--rto-ms <n>', 'red when writes are not back within so many milliseconds')
        .option('--rpo-commits <n>', 'red when more acknowledged writes are lost')
        .option('--load <n>', 'writes per second, over all regions', `${drillLimits.loadDefault}`)
        .option(
          '--seconds <n>',
          'how long the load runs before the fault, and a fault lasts that ends by itself',
          `${drillLimits.secondsDefault}`,
        )
        .option('--report <dir>', 'write report.json, report.html and junit.xml there too')
        .option(
          '--on <file>',
          'a deployment elsewhere: YAML or JSON with its gateways and tokens (switchover only)',
        )
        .action((options: DrillOptions) => drill(kind, options)),
      examples[kind] ?? `sextant drill ${kind}`,
    );
  }
  withExample(
    withCommon(parent.command('list')).description('the drills that were run, the newest first').action(list),
    'sextant drill list',
  );
  withExample(
    withCommon(parent.command('show').argument('<id>'))
      .description('one drill: its checks, or its whole report with --json')
      .action(show),
    'sextant drill show 20261129-101500-region-loss-3fa2 --json',
  );
}
