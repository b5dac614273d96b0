/** What the system itself said was lost or undone: the reports of failovers, and rewinds asked for by an operator. */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';

/** Records of `epoch` with `afterLsn < lsn ≤ throughLsn`. */
export type LostRange = {
  readonly epoch: Epoch;
  readonly afterLsn: Lsn;
  /** Undefined when the lost region could not be asked how far it got. */
  readonly throughLsn: Lsn | undefined;
};

export type LossReport = {
  /** The epoch that was forked. */
  readonly epoch: Epoch;
  readonly reason: 'failover' | 'rewind';
  readonly ranges: readonly LostRange[];
  /** Commits in the ranges, once they could be counted. */
  readonly count: number | undefined;
};

/** A place in the history tree. */
export type Position = { readonly epoch: Epoch; readonly lsn: Lsn };

/** Does the report cover this position? */
export function covers(report: LossReport, position: Position): boolean {
  return report.ranges.some(
    (range) =>
      range.epoch === position.epoch &&
      position.lsn > range.afterLsn &&
      (range.throughLsn === undefined || position.lsn <= range.throughLsn),
  );
}
