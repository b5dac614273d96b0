/** What a drill asserts: each check in words, each objective with its limit and its figure. Red is whatever did not hold. */
import type { DrillRequest } from './drill-kinds.ts';
import type { DrillPlan } from './drill-plan.ts';
import type { Check, Objective } from './drill-report.ts';
import type { LedgerEntry, LoadClient } from './ledger.ts';
import type { DiscrepancyKind, LedgerAccount } from './ledger-account.ts';
import type { Recovery } from './stopwatch.ts';

const check = (name: string, held: boolean, detail: string): Check => ({ name, held, detail });

const clientName = ({ region, transport }: LoadClient): string => `${region} (${transport})`;

/** Clients to whom no write was acknowledged yet. */
export const unserved = (
  entries: readonly LedgerEntry[],
  clients: readonly LoadClient[],
): readonly string[] =>
  clients
    .filter(
      (_, index) => !entries.some(({ client, outcome }) => client === index && outcome === 'acknowledged'),
    )
    .map(clientName);

/** Before the fault every client is served, and nothing fails: otherwise what follows says nothing about the fault. */
export function steadyCheck(entries: readonly LedgerEntry[], clients: readonly LoadClient[]): Check {
  const name = 'before the fault every client in every region is served';
  const idle = unserved(entries, clients);
  const failed = entries.filter(({ endedAtMs, outcome }) => endedAtMs !== null && outcome !== 'acknowledged');
  if (idle.length > 0) return check(name, false, `no write acknowledged to ${idle.join(', ')}`);
  if (failed.length > 0) return check(name, false, failuresText(failed));
  return check(name, true, `${entries.length} writes, all acknowledged`);
}

/** What clients were told of writes that failed, and how often, the most frequent first. */
export function failuresOf(
  entries: readonly LedgerEntry[],
): readonly { readonly code: string; readonly outcome: 'refused' | 'unknown'; readonly count: number }[] {
  const counts = new Map<string, { code: string; outcome: 'refused' | 'unknown'; count: number }>();
  for (const { outcome, code, endedAtMs } of entries) {
    if (outcome === 'acknowledged') continue;
    const told = code ?? (endedAtMs === null ? 'no answer' : 'unknown error');
    const known = counts.get(told);
    if (known === undefined) counts.set(told, { code: told, outcome, count: 1 });
    else known.count += 1;
  }
  return [...counts.values()].toSorted((a, b) => b.count - a.count);
}

const failuresText = (entries: readonly LedgerEntry[]): string =>
  failuresOf(entries)
    .map(({ code, count }) => `${count} × ${code}`)
    .join(', ');

/** The plan's promises about service, by the clients that are the stopwatch. @param entries theirs, since the fault. */
export function serviceChecks(
  plan: DrillPlan,
  recovery: Recovery,
  entries: readonly LedgerEntry[],
): readonly Check[] {
  const back = check(
    'writes are acknowledged again after the fault',
    recovery.rtoMs !== null,
    recovery.rtoMs === null
      ? 'no write was acknowledged any more'
      : `longest time without one: ${recovery.writeStallMs} ms`,
  );
  const { stallMsMax } = plan;
  const goesOn =
    stallMsMax === null
      ? []
      : [
          check(
            `writes do not pause for longer than ${stallMsMax} ms`,
            recovery.writeStallMs <= stallMsMax,
            `longest pause: ${recovery.writeStallMs} ms`,
          ),
        ];
  return [back, ...goesOn, ...(plan.strict ? [noneFailed('no request of a client fails', entries)] : [])];
}

/** No write of these failed. */
export function noneFailed(name: string, entries: readonly LedgerEntry[]): Check {
  const failed = entries.filter(({ outcome }) => outcome !== 'acknowledged');
  return check(
    name,
    failed.length === 0,
    failed.length === 0 ? `${entries.length} writes` : failuresText(failed),
  );
}

/** Each question that the ledger answers, and which discrepancies are its no. */
const questions: readonly (readonly [string, readonly DiscrepancyKind[]])[] = [
  ['every region shows the same rows', ['region-unread', 'regions-differ']],
  ['every acknowledged write is in the data or named as lost', ['acknowledged-unaccounted']],
  ['no write is there that was refused or reported as lost', ['refused-present', 'reported-present']],
  ['every row has the checksum of what was written', ['row-damaged', 'row-unknown']],
  ['every region has answered about lost writes', ['losses-incomplete']],
];

/** The ledger against the data. @param when said with each check, when the account is taken more than once. */
export function dataChecks(plan: DrillPlan, account: LedgerAccount, when: string): readonly Check[] {
  const answers = questions.map(([name, kinds]) => {
    const against = account.discrepancies.filter(({ kind }) => kinds.includes(kind));
    return check(
      `${name}${when}`,
      against.length === 0,
      against.length === 0
        ? `${account.acknowledged} acknowledged, ${account.lost.length} lost, ${account.reportedLost} reported`
        : against.map(({ text }) => text).join('; '),
    );
  });
  if (!plan.lossless) return answers;
  const nothingLost = check(
    `nothing acknowledged is lost${when}`,
    account.lost.length === 0,
    account.lost.length === 0
      ? `${account.acknowledged} acknowledged writes are there`
      : `lost: ${account.lost
          .map(({ id }) => id)
          .slice(0, 20)
          .join(', ')}`,
  );
  return [...answers, nothingLost];
}

/** The limits that were asked for, against what was measured. What could not be measured has not held. */
export function objectivesOf(
  request: DrillRequest,
  measured: { readonly rtoMs: number | null; readonly rpoCommits: number | null },
): readonly Objective[] {
  const objective = (
    name: Objective['name'],
    limit: number | undefined,
    actual: number | null,
  ): readonly Objective[] =>
    limit === undefined ? [] : [{ name, limit, actual, held: actual !== null && actual <= limit }];
  return [
    ...objective('rtoMs', request.rtoMs, measured.rtoMs),
    ...objective('rpoCommits', request.rpoCommits, measured.rpoCommits),
  ];
}
