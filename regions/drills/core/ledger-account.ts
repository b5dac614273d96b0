/**
 * The judge of a drill's data: the ledger of its clients against the rows that every region shows and the loss reports of the
 * deployment. Whatever does not fit is named. Nothing here trusts the deployment: a write counts as lost when its client was
 * told that it is durable and no region has it, whether the deployment says so or not.
 */
import { expectedChecksum, type LedgerEntry, type LoadClient } from './ledger.ts';

/** What one region shows: the checksum of each row by its id; null when it could not be read. */
export interface RegionRows {
  readonly region: string;
  readonly rows: ReadonlyMap<number, number> | null;
  /** Why it could not be read, in words. */
  readonly reason?: string | null;
}

/** What the deployment reports as lost, beyond what it reported before the drill. */
export interface ReportedLosses {
  /** Commits reported; more than are listed when the list was cut short. */
  readonly count: number;
  readonly bytes: number;
  /** Commit by commit: the trace id it carries, when it carries one. */
  readonly traceIds: readonly (string | null)[];
  /** The list names every commit that is counted. */
  readonly complete: boolean;
  /** Regions that did not answer, or have not looked yet, in words. */
  readonly missing: readonly string[];
}

export type DiscrepancyKind =
  | 'region-unread'
  | 'regions-differ'
  | 'acknowledged-unaccounted'
  | 'refused-present'
  | 'reported-present'
  | 'row-damaged'
  | 'row-unknown'
  | 'losses-incomplete';

/** Something that does not fit, in words that name it. */
export interface Discrepancy {
  readonly kind: DiscrepancyKind;
  readonly text: string;
}

/** An acknowledged write that no region has. */
export interface LostWrite {
  readonly id: number;
  readonly region: string;
  readonly sentAtMs: number;
  readonly acknowledgedAtMs: number;
  readonly traceId: string;
  /** The deployment's loss report names it. */
  readonly reported: boolean;
}

export interface LedgerAccount {
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  readonly lost: readonly LostWrite[];
  readonly reportedLost: number;
  readonly reportedBytes: number;
  readonly regionsEqual: boolean;
  readonly discrepancies: readonly Discrepancy[];
}

export interface LedgerCase {
  readonly drill: string;
  readonly clients: readonly LoadClient[];
  readonly entries: readonly LedgerEntry[];
  readonly regions: readonly RegionRows[];
  readonly losses: ReportedLosses;
}

/** So many are named of a kind; the rest is counted. */
const namedMax = 20;

/** Lists ids, the first of them by name. */
function named(ids: readonly number[]): string {
  const shown = ids.slice(0, namedMax).join(', ');
  return ids.length > namedMax ? `${shown} and ${ids.length - namedMax} more` : shown;
}

const writes = (count: number): string => (count === 1 ? 'one write' : `${count} writes`);

export function accountFor(given: LedgerCase): LedgerAccount {
  const { entries, clients, losses, regions } = given;
  const read = regions.filter(
    (region): region is { region: string; rows: ReadonlyMap<number, number> } => region.rows !== null,
  );
  const unread = regions.filter(({ rows }) => rows === null);
  const present = new Set(read.flatMap(({ rows }) => [...rows.keys()]));
  const reported = new Set(losses.traceIds.filter((traceId) => traceId !== null));
  const acknowledged = entries.filter(({ outcome }) => outcome === 'acknowledged');
  // Without a region to read, nothing is known to be lost, and the drill is red for that reason.
  const gone = read.length === 0 ? [] : acknowledged.filter(({ id }) => !present.has(id));
  const lost = gone.map(
    (entry): LostWrite => ({
      id: entry.id,
      region: clients[entry.client]?.region ?? '?',
      sentAtMs: entry.sentAtMs,
      acknowledgedAtMs: entry.endedAtMs ?? entry.sentAtMs,
      traceId: entry.traceId,
      reported: reported.has(entry.traceId),
    }),
  );
  const differences = differing(read);
  const discrepancies: Discrepancy[] = [
    ...unread.map(
      ({ region, reason = null }): Discrepancy => ({
        kind: 'region-unread',
        text: `${region} could not be read${reason === null ? '' : ` (${reason})`}`,
      }),
    ),
    ...differences,
    ...unaccounted(lost, losses),
    ...leftOver(entries, present, reported),
    ...damaged(given, read),
    ...(losses.missing.length === 0
      ? []
      : [{ kind: 'losses-incomplete' as const, text: losses.missing.join('; ') }]),
  ];
  return {
    acknowledged: acknowledged.length,
    refused: entries.filter(({ outcome }) => outcome === 'refused').length,
    unknown: entries.filter(({ outcome }) => outcome === 'unknown').length,
    lost,
    reportedLost: losses.count,
    reportedBytes: losses.bytes,
    regionsEqual: unread.length === 0 && differences.length === 0,
    discrepancies,
  };
}

/** Where two regions show something different, row by row. */
function differing(
  read: readonly { readonly region: string; readonly rows: ReadonlyMap<number, number> }[],
): readonly Discrepancy[] {
  const all = new Set(read.flatMap(({ rows }) => [...rows.keys()]));
  return read.flatMap(({ region, rows }) => {
    const missing = [...all].filter((id) => !rows.has(id)).sort((a, b) => a - b);
    const others = read.filter((other) => other.region > region);
    const different = others.flatMap((other) => {
      const ids = [...rows].filter(([id, sum]) => (other.rows.get(id) ?? sum) !== sum).map(([id]) => id);
      return ids.length === 0
        ? []
        : [`${region} and ${other.region} differ in the content of ${writes(ids.length)}: ${named(ids)}`];
    });
    return [
      ...(missing.length === 0
        ? []
        : [`${region} lacks ${writes(missing.length)} that another region has: ${named(missing)}`]),
      ...different,
    ].map((text): Discrepancy => ({ kind: 'regions-differ', text }));
  });
}

/** Acknowledged writes that are gone and that the loss report does not name. */
function unaccounted(lost: readonly LostWrite[], losses: ReportedLosses): readonly Discrepancy[] {
  const silent = lost.filter(({ reported }) => !reported).map(({ id }) => id);
  if (silent.length === 0) return [];
  // A list that was cut short cannot name all; then the count has to cover them.
  if (!losses.complete && losses.count >= lost.length) return [];
  return [
    {
      kind: 'acknowledged-unaccounted',
      text:
        `${writes(silent.length)} acknowledged, in no region, and in no loss report: ${named(silent)} ` +
        `(${lost.length} lost, ${losses.count} reported)`,
    },
  ];
}

/** What is there and should not be: refused writes, and writes that are reported as lost. */
function leftOver(
  entries: readonly LedgerEntry[],
  present: ReadonlySet<number>,
  reported: ReadonlySet<string>,
): readonly Discrepancy[] {
  const there = entries.filter(({ id }) => present.has(id));
  const refused = there.filter(({ outcome }) => outcome === 'refused').map(({ id }) => id);
  const notLost = there.filter(({ traceId }) => reported.has(traceId)).map(({ id }) => id);
  return [
    ...(refused.length === 0
      ? []
      : [
          {
            kind: 'refused-present' as const,
            text: `${writes(refused.length)} refused to its client and there all the same: ${named(refused)}`,
          },
        ]),
    ...(notLost.length === 0
      ? []
      : [
          {
            kind: 'reported-present' as const,
            text: `${writes(notLost.length)} reported as lost and there all the same: ${named(notLost)}`,
          },
        ]),
  ];
}

/** Rows whose content is not what was written, and rows that nobody wrote. */
function damaged(
  { drill, entries }: LedgerCase,
  read: readonly { readonly region: string; readonly rows: ReadonlyMap<number, number> }[],
): readonly Discrepancy[] {
  const clientOfWrite = new Map(entries.map(({ id, client }) => [id, client]));
  return read.flatMap(({ region, rows }) => {
    const strangers: number[] = [];
    const broken: number[] = [];
    for (const [id, checksum] of rows) {
      const client = clientOfWrite.get(id);
      if (client === undefined) strangers.push(id);
      else if (expectedChecksum(drill, id, client) !== checksum) broken.push(id);
    }
    return [
      ...(broken.length === 0
        ? []
        : [
            {
              kind: 'row-damaged' as const,
              text: `${region} shows another content than was written: ${named(broken)}`,
            },
          ]),
      ...(strangers.length === 0
        ? []
        : [
            {
              kind: 'row-unknown' as const,
              text: `${region} shows rows that nobody wrote: ${named(strangers)}`,
            },
          ]),
    ];
  });
}
