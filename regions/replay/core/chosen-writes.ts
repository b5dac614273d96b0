/** Which writes of a loss are meant, and between which places of history they lie. */
import { type LossReport, type LostCommit, lossPlaces } from '../../moves/core/loss-report.ts';

/** Two places, as `PRAGMA sextant_at` takes them. */
export interface Span {
  readonly before: string;
  readonly after: string;
}

export type Chosen =
  | {
      readonly kind: 'chosen';
      /** In the order of history; between two of them lies at least one write that is not meant. */
      readonly spans: readonly Span[];
      readonly writes: number;
    }
  | {
      readonly kind: 'unknown';
      /** Those asked for that are no write of the list. */
      readonly names: readonly string[];
      /** The traces there are, each once, in the order of history. */
      readonly traces: readonly string[];
    };

type Listed = Pick<LossReport, 'orphanEpoch' | 'fromLsn' | 'toLsn' | 'count' | 'commits'>;

/** All of a loss. */
export const allWrites = (report: Listed): Chosen => ({
  kind: 'chosen',
  spans: [lossPlaces(report)],
  writes: report.count,
});

/**
 * The lost writes of that name. A write begins where the one before it ended: the place one below its own LSN reads there.
 * @param names traces, as 32 hexadecimal digits in either case, or LSNs: many a write has no trace.
 */
export function writesOf(report: Listed, names: readonly string[]): Chosen {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const commits = [...report.commits].sort((a, b) => a.lsn - b.lsn);
  const namesOf = ({ lsn, traceId }: LostCommit): readonly string[] =>
    traceId === null ? [`${lsn}`] : [`${lsn}`, traceId.toLowerCase()];
  const known = new Set(commits.flatMap(namesOf));
  const unknown = [...wanted].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    const traces = new Set(commits.flatMap(({ traceId }) => (traceId === null ? [] : [traceId])));
    return { kind: 'unknown', names: unknown, traces: [...traces] };
  }
  const place = (lsn: number): string => `${report.orphanEpoch}:${lsn}`;
  const spans: Span[] = [];
  let writes = 0;
  let isRun = false;
  for (const commit of commits) {
    const { lsn } = commit;
    const isWanted = namesOf(commit).some((name) => wanted.has(name));
    if (isWanted) {
      const before = isRun ? spans.pop()?.before : undefined;
      spans.push({ before: before ?? place(Math.max(report.fromLsn, lsn - 1)), after: place(lsn) });
      writes += 1;
    }
    isRun = isWanted;
  }
  return { kind: 'chosen', spans, writes };
}
