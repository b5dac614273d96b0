/** Which writes of a loss are meant, and between which places of history they lie. */
import { type LossReport, lossPlaces } from '../../moves/core/loss-report.ts';

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
      /** Those asked for that no listed write has. */
      readonly traces: readonly string[];
      /** Those there are, each once, in the order of history. */
      readonly known: readonly string[];
    };

type Listed = Pick<LossReport, 'orphanEpoch' | 'fromLsn' | 'toLsn' | 'count' | 'commits'>;

/** All of a loss. */
export const allWrites = (report: Listed): Chosen => ({
  kind: 'chosen',
  spans: [lossPlaces(report)],
  writes: report.count,
});

/**
 * The lost writes of these traces. A write begins where the one before it ended: the place one below its own LSN reads there.
 * @param traces hex, in either case.
 */
export function writesOf(report: Listed, traces: readonly string[]): Chosen {
  const wanted = new Set(traces.map((trace) => trace.toLowerCase()));
  const commits = [...report.commits].sort((a, b) => a.lsn - b.lsn);
  const known = new Set(commits.flatMap(({ traceId }) => (traceId === null ? [] : [traceId])));
  const unknown = [...wanted].filter((trace) => !known.has(trace));
  if (unknown.length > 0) return { kind: 'unknown', traces: unknown, known: [...known] };
  const place = (lsn: number): string => `${report.orphanEpoch}:${lsn}`;
  const spans: Span[] = [];
  let writes = 0;
  let isRun = false;
  for (const { lsn, traceId } of commits) {
    const isWanted = traceId !== null && wanted.has(traceId);
    if (isWanted) {
      const before = isRun ? spans.pop()?.before : undefined;
      spans.push({ before: before ?? place(Math.max(report.fromLsn, lsn - 1)), after: place(lsn) });
      writes += 1;
    }
    isRun = isWanted;
  }
  return { kind: 'chosen', spans, writes };
}
