/**
 * Which place of a history a time or an LSN means: the last consistency point (S40) on a path that lies at or before it. The
 * search says which entry of the index of frames has to be read next, and is told the points in it. One writer's commits are in
 * the order of its clock, so a step of the path is searched by halves; steps go newest first, since clocks of regions differ.
 */
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { HeldFrame } from '../../log/core/held-frames.ts';
import type { Segment } from '../../log/core/segment.ts';
import { framePayload, type ReceivedFrame } from '../../redo/frame.ts';
import { type Epoch, type Lsn, lsn, minLsn } from '../../redo/ids.ts';
import { RecordCursor } from '../../redo/record-cursor.ts';

/** Where a transaction, or a group of them that commits as one (S11), ends. */
export interface CommitPoint {
  readonly lsn: Lsn;
  /** Where its first commit ends; the same as `lsn` outside groups. */
  readonly first: Lsn;
  /** The latest time of its commits by their writer's clock, Unix microseconds. */
  readonly commitTimeUs: number;
}

export interface LocateQuestion {
  readonly head: Epoch;
  /** Nothing above is looked at, but for the rest of a group that begins at or below. */
  readonly upTo: Lsn;
  /** Nothing that was committed later, Unix microseconds; null for any time. */
  readonly atUs: number | null;
}

/** The points of frames that follow one another, in LSN order. */
export function commitPointsIn(frames: readonly ReceivedFrame[]): readonly CommitPoint[] {
  const points: CommitPoint[] = [];
  for (const { header, bytes } of frames) {
    const cursor = new RecordCursor(framePayload(bytes));
    let group: CommitPoint | null = null;
    while (cursor.next()) {
      if (cursor.isCommit) {
        const end = lsn(header.base + cursor.end);
        group = joined(group, { lsn: end, first: end, commitTimeUs: cursor.commitTimeUs });
      } else if (group !== null) {
        points.push(group);
        group = null;
      }
    }
    if (group !== null) points.push(group);
  }
  return points;
}

const joined = (group: CommitPoint | null, next: CommitPoint): CommitPoint =>
  group === null
    ? next
    : { ...next, first: group.first, commitTimeUs: Math.max(group.commitTimeUs, next.commitTimeUs) };

/** What is left of one step of the path: the point that is looked for lies in the last of `entries` that has one. */
interface StepSearch {
  readonly until: Lsn;
  readonly entries: readonly HeldFrame[];
  /** Entries before `low` have been seen to hold one, those from `high` on hold none. */
  low: number;
  high: number;
}

export class CommitSearch {
  private readonly question: LocateQuestion;
  private readonly segment: Pick<Segment, 'framesAbove'>;
  private readonly steps: { readonly epoch: Epoch; readonly from: Lsn; readonly until: Lsn }[];
  private step: StepSearch | null = null;
  private best: CommitPoint | null = null;

  constructor(tree: EpochTree, segment: Pick<Segment, 'framesAbove'>, question: LocateQuestion) {
    this.question = question;
    this.segment = segment;
    this.steps = tree.path(question.head).filter(({ from }) => from < question.upTo);
    this.nextStep();
  }

  /** The entry whose points have to be told next; null when the search is over. */
  get wanted(): HeldFrame | null {
    const { step } = this;
    return step === null ? null : (step.entries[(step.low + step.high) >>> 1] ?? null);
  }

  /** What was found; null when nothing on the path is old enough. Final once nothing is wanted any more. */
  get found(): CommitPoint | null {
    return this.best;
  }

  /** @param points those of the entry that was wanted. */
  heard(points: readonly CommitPoint[]): void {
    const { step, question } = this;
    if (step === null) return;
    const limit = minLsn(step.until, question.upTo);
    const { atUs } = question;
    const fits = points.filter(
      ({ lsn: end, first, commitTimeUs }) =>
        first <= limit && end <= step.until && (atUs === null || commitTimeUs <= atUs),
    );
    const middle = (step.low + step.high) >>> 1;
    const last = fits.at(-1);
    if (last === undefined) step.high = middle;
    else {
      this.best = last;
      step.low = middle + 1;
    }
    if (step.low < step.high) return;
    if (this.best === null) this.nextStep();
    else this.step = null;
  }

  private nextStep(): void {
    this.step = null;
    for (let next = this.steps.pop(); next !== undefined; next = this.steps.pop()) {
      const { epoch, from, until } = next;
      const limit = minLsn(until, this.question.upTo);
      const entries = this.segment
        .framesAbove(epoch, from)
        .filter(({ base, lastCpl }) => lastCpl !== null && base < limit);
      if (entries.length === 0) continue;
      this.step = { until, entries, low: 0, high: entries.length };
      return;
    }
  }
}
