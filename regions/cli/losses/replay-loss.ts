/** `sextant losses <epoch> --replay`: brings a loss back at the primary, and shows what came of it. */
import { type LossReport, lossPlaces, pathOfLoss } from '../../moves/core/loss-report.ts';
import { allWrites, type Chosen, writesOf } from '../../replay/core/chosen-writes.ts';
import { isSettled } from '../../replay/core/replay-summary.ts';
import { readLoss, replayLoss } from '../../replay/replay.ts';
import { SqlLink } from '../../transfer/sql-link.ts';
import { TransferError } from '../../transfer/transfer-error.ts';
import { failWith, fetchStatus, gatewayOf, type Target } from '../ask/admin-client.ts';
import { endOnSignal, toldNowAndThen } from '../ask/long-command.ts';
import { CliError, note, printJson } from '../ask/output.ts';
import { needsSqlite } from '../ask/postgres-place.ts';
import { replayJson, replayLines } from './replay-text.ts';

/** What there is without rows. */
export const lossesNamed = (): string => 'sextant losses counts the commits, with their times and traces';

/** Something is left for a person to settle. */
const exitUnsettled = 2;
/** An error names so many traces. */
const namedMax = 20;

export interface ReplayOptions {
  readonly limit: number;
  readonly dryRun: boolean;
  /** Traces and LSNs of writes; null for all of the loss. */
  readonly only: readonly string[] | null;
  readonly json: boolean;
}

/** @throws CliError when one is no write of the loss, naming those there are. */
function chosenOf(report: LossReport, only: readonly string[] | null): Extract<Chosen, { kind: 'chosen' }> {
  const chosen = only === null ? allWrites(report) : writesOf(report, only);
  if (chosen.kind === 'chosen') return chosen;
  const { names, traces } = chosen;
  const list = `sextant losses ${report.orphanEpoch}`;
  const more = traces.length > namedMax ? ` and ${traces.length - namedMax} more` : '';
  const there =
    traces.length === 0
      ? `none of its ${report.commits.length} writes has a trace; give LSNs (${list})`
      : `there are the traces ${traces.slice(0, namedMax).join(', ')}${more} (${list})`;
  const cut = report.truncated
    ? `; the list holds the first ${report.commits.length} of ${report.count} writes`
    : '';
  throw new CliError(
    `no lost write of epoch ${report.orphanEpoch} has the trace or LSN ${names.join(', ')}: ${there}${cut}`,
  );
}

/** @throws TransferError that says which region has to be there, when it does not answer. */
export async function readIn<T>(region: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof TransferError) || error.code !== undefined) throw error;
    throw new TransferError(
      `${error.message}. The lost writes are on the disks of ${region}, which has to be up`,
    );
  }
}

async function primaryOf(target: Target): Promise<string> {
  const answer = await fetchStatus(target);
  if (answer.kind !== 'ok') return failWith(answer);
  const { primary } = answer.status;
  if (primary === null || primary === undefined)
    throw new CliError('no region writes now: bring one back (sextant status), and run this again');
  return primary;
}

export async function bringBackLoss(
  report: LossReport,
  target: Target,
  options: ReplayOptions,
): Promise<void> {
  const { limit, dryRun, only, json } = options;
  const { region, orphanEpoch, branch } = report;
  const { spans, writes } = chosenOf(report, only);
  const primary = await primaryOf(target);
  const gateway = await gatewayOf(target, primary);
  await needsSqlite(
    target,
    primary,
    gateway,
    'lost writes are brought back where SQLite keeps the databases',
    lossesNamed,
  );
  // What was lost on a branch comes back on that branch.
  const linkIn = async (of: string): Promise<SqlLink> =>
    new SqlLink(`${await gatewayOf(target, of)}${pathOfLoss(report)}`, target.clientToken);
  const from = await linkIn(region);
  const to = await linkIn(primary);
  endOnSignal(() =>
    note(
      dryRun
        ? 'stopped: nothing has been changed'
        : 'stopped: what was brought back stays, and the same command goes on',
    ),
  );
  const loss = await readIn(region, () =>
    readLoss(from, {
      spans,
      fork: lossPlaces(report).before,
      limit,
      comparing: toldNowAndThen((name: string, rows: number) => `comparing ${name}: ${rows} rows read`),
    }),
  );
  const result = await replayLoss(
    to,
    loss,
    { dryRun },
    {
      progress: toldNowAndThen(
        (done: number, total: number) => `${dryRun ? 'trying' : 'bringing back'}: ${done} of ${total} rows`,
      ),
      note,
    },
  );
  const ofBranch = branch !== undefined && { branch };
  const about = { orphanEpoch, ...ofBranch, region, ...lossPlaces(report), only, writes, primary, dryRun };
  if (json) printJson({ ...about, ...replayJson(result) });
  else for (const line of replayLines(result, about)) console.log(line);
  if (!isSettled(result)) process.exitCode = exitUnsettled;
}
