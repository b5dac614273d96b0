/** `sextant losses`: what failovers lost, write by write, as the rows and statements that those writes come to, and brought back. */
import type { Command } from 'commander';
import { z } from 'zod';
import { comparePlaces } from '../../compare/compare-places.ts';
import { bringBack } from '../../compare/core/bring-back.ts';
import { type Difference, rowsIn } from '../../compare/core/difference.ts';
import { type Unanswered, unansweredSchema, whoIsMissing } from '../../moves/core/loss-answers.ts';
import {
  branchOfLoss,
  type LossReport,
  lossPlaces,
  lossReportSchema,
  pathOfLoss,
} from '../../moves/core/loss-report.ts';
import { SqlLink } from '../../transfer/sql-link.ts';
import { askAny, failWith, gatewayOf, type Target, targetOf } from '../ask/admin-client.ts';
import { toldNowAndThen } from '../ask/long-command.ts';
import { type AskOptions, withAsk, withExample } from '../ask/options.ts';
import { CliError, formatBytes, note, printJson, table } from '../ask/output.ts';
import { needsSqlite } from '../ask/postgres-place.ts';
import { differenceJson, differenceLines } from './difference-text.ts';
import { bringBackLoss, lossesNamed, readIn } from './replay-loss.ts';

const lossSummarySchema = lossReportSchema.omit({ commits: true });
type LossSummary = z.output<typeof lossSummarySchema>;
const lossListSchema = z.looseObject({
  losses: z.array(lossSummarySchema),
  unreachable: z.array(z.string()).default([]),
  unanswered: z.array(unansweredSchema).default([]),
});

type LossOptions = AskOptions & {
  readonly rows?: boolean;
  readonly sql?: boolean;
  readonly replay?: boolean;
  readonly dryRun?: boolean;
  readonly only?: readonly string[];
  readonly limit?: string;
};

const rowsLimit = 10_000;
/** A replay holds all rows that differ in memory. */
const replayLimit = 1_000_000;

/** @throws CliError when the options do not go together. */
function checkOptions(epoch: string | undefined, options: LossOptions): void {
  const { rows, sql, replay, dryRun, only, limit } = options;
  const ways = [rows, sql, replay].filter((each) => each === true).length;
  if (ways > 0 && epoch === undefined)
    throw new CliError(
      '--rows, --sql and --replay are about one loss: give the epoch that `sextant losses` lists it under',
    );
  if (replay === true && ways > 1) throw new CliError('--replay does not go with --rows or --sql');
  if (dryRun === true && replay !== true) throw new CliError('--dry-run goes with --replay');
  if (only !== undefined && replay !== true) throw new CliError('--only goes with --replay');
  if (limit !== undefined && ways === 0) throw new CliError('--limit goes with --rows, --sql or --replay');
}

async function losses(epoch: string | undefined, options: LossOptions): Promise<void> {
  if (epoch !== undefined && !/^\d+$/.test(epoch)) throw new CliError(`an epoch is a number, not ${epoch}`);
  checkOptions(epoch, options);
  const wantsRows = options.rows === true || options.sql === true;
  const limit = limitOf(options);
  const target = targetOf(options);
  const answer = await askAny(
    target.gateways,
    epoch === undefined ? '/v1/losses' : `/v1/losses/${epoch}`,
    target.headers,
  );
  const body = answer.kind === 'ok' ? answer.body : failWith(answer);
  if (epoch !== undefined) {
    const report = parsed(lossReportSchema, body);
    if (options.replay === true)
      return bringBackLoss(report, target, {
        limit,
        dryRun: options.dryRun === true,
        only: options.only ?? null,
        json: options.json === true,
      });
    if (wantsRows) return showRows(report, target, limit, options);
    if (options.json === true) return printJson({ ...report, ...lossPlaces(report) });
    return printLoss(report);
  }
  const list = parsed(lossListSchema, body);
  if (options.json === true)
    return printJson({ ...list, losses: list.losses.map((loss) => ({ ...loss, ...lossPlaces(loss) })) });
  if (list.losses.length === 0) console.log(noneKnown(list.unreachable, list.unanswered));
  else console.log(lossTable(list.losses));
  for (const line of whoIsMissing(list.unreachable, list.unanswered)) note(line);
}

/** "None" is said only when everybody has looked. */
function noneKnown(unreachable: readonly string[], unanswered: readonly Unanswered[]): string {
  const missing = unreachable.length + unanswered.length;
  if (missing === 0) return 'no lost writes: every region has looked';
  return `no lost writes are known yet, and ${missing === 1 ? 'one region has' : `${missing} regions have`} not said`;
}

const time = (us: number | null): string => (us === null ? '–' : new Date(us / 1000).toISOString());

function lossTable(list: readonly LossSummary[]): string {
  return table(
    [
      'EPOCH',
      'BRANCH',
      'FOUND UNDER',
      'REGION',
      'WRITES',
      'REDO',
      'BEFORE',
      'AFTER',
      'FIRST COMMIT',
      'LAST COMMIT',
    ],
    list.map((loss) => [
      `${loss.orphanEpoch}`,
      branchOfLoss(loss),
      `${loss.epoch}`,
      loss.region,
      // R85: what was collected before the loss was known is in no count.
      loss.unlistedTo === undefined ? `${loss.count}` : `${loss.count} above LSN ${loss.unlistedTo}`,
      formatBytes(loss.lostBytes),
      lossPlaces(loss).before,
      lossPlaces(loss).after,
      time(loss.firstCommitTimeUs),
      time(loss.lastCommitTimeUs),
    ]),
  );
}

function printLoss(report: LossReport): void {
  console.log(lossTable([report]));
  console.log(
    table(
      ['LSN', 'COMMITTED', 'TRACE'],
      report.commits.map((commit) => [`${commit.lsn}`, time(commit.commitTimeUs), commit.traceId ?? '–']),
    ),
  );
  if (report.truncated) note(`the list holds the first ${report.commits.length} of ${report.count} writes`);
  const { before, after } = lossPlaces(report);
  note(
    `to look by hand: PRAGMA sextant_at = '${before}', and '${after}', ${whereAt(report)}; ` +
      `as rows: sextant losses ${report.orphanEpoch} --rows; to bring it back: sextant losses ${report.orphanEpoch} --replay --dry-run`,
  );
}

const whereAt = (report: LossReport): string =>
  report.branch === undefined
    ? `at a gateway of ${report.region}`
    : `with sextant shell ${report.region} --branch ${report.branch}`;

function limitOf({ limit, replay }: LossOptions): number {
  if (limit === undefined) return replay === true ? replayLimit : rowsLimit;
  if (!/^\d{1,9}$/.test(limit) || Number(limit) === 0)
    throw new CliError(`--limit is a number of rows from 1 to 999999999, not ${limit}`);
  return Number(limit);
}

async function showRows(
  report: LossReport,
  target: Target,
  limit: number,
  options: LossOptions,
): Promise<void> {
  const { region, orphanEpoch, branch } = report;
  const places = lossPlaces(report);
  const gateway = await gatewayOf(target, region);
  await needsSqlite(
    target,
    region,
    gateway,
    'lost rows are read where SQLite keeps the databases',
    lossesNamed,
  );
  const link = new SqlLink(`${gateway}${pathOfLoss(report)}`, target.clientToken);
  const difference = await readIn(region, () =>
    comparePlaces(link, {
      ...places,
      limit,
      progress: toldNowAndThen((name: string, rows: number) => `comparing ${name}: ${rows} rows read`),
    }),
  );
  const rows = rowsIn(difference);
  const about = { orphanEpoch, ...(branch !== undefined && { branch }), region, ...places, limit };
  if (options.sql === true) {
    showSql(difference, about, options.json === true);
    if (branch !== undefined)
      note(
        `they are for branch ${branch}: run them with --branch ${branch}, or at ${pathOfLoss(report)} of a gateway`,
      );
    return;
  }
  if (options.json === true) return printJson({ ...about, ...differenceJson(difference) });
  console.log(`from ${places.before} to ${places.after} in ${region}`);
  for (const line of differenceLines(difference)) console.log(line);
  if (rows > limit) note(`the first ${limit} of ${rows} rows are shown: --limit ${rows} shows all`);
}

function showSql(difference: Difference, about: { readonly limit: number }, json: boolean): void {
  const rows = rowsIn(difference);
  if (rows > about.limit)
    throw new CliError(
      `${rows} rows differ, more than --limit ${about.limit}, and half of them would bring back half a loss: give --limit ${rows}`,
    );
  const statements = bringBack(difference);
  if (json) printJson({ ...about, rows, statements });
  else for (const statement of statements) console.log(statement);
}

function parsed<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (!result.success) throw new CliError('the gateway gave an answer this version cannot read');
  return result.data;
}

export function addLossCommands(program: Command): void {
  withExample(
    withAsk(program.command('losses').argument('[epoch]'))
      .description('what failovers lost: all of them, or one by either of the epochs in the list')
      .option(
        '--rows',
        'as rows inserted, changed and deleted, table by table; the region that has them has to be there',
      )
      .option('--sql', 'as statements that bring the rows back where nobody has changed them since')
      .option(
        '--replay',
        'bring the rows back where nobody has changed them since, and list the rest; exit code 2 when there is a rest',
      )
      .option('--dry-run', 'with --replay: say what would come of it, and change nothing')
      .option(
        '--only <trace...>',
        'with --replay: the lost writes of these traces alone; an LSN of the list names one, too',
      )
      .option(
        '--limit <rows>',
        `rows shown or, with --sql and --replay, taken at most (default: ${rowsLimit}, of a replay ${replayLimit})`,
      )
      .action(losses),
    'sextant losses 3 --json',
    'sextant losses 3 --rows',
    'sextant losses 3 --sql > back.sql',
    'sextant losses 3 --replay --dry-run',
    'sextant losses 3 --replay --only 4bf92f3577b34da6a3ce929d0e0e4736',
  );
}
