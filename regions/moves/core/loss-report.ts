/**
 * What a failover left behind: every commit that was durable in a region and is not on the new primary's path. The
 * records themselves stay on that region's disks as an orphan; this is the list an operator reads.
 */
import { z } from 'zod';
import {
  type BranchName,
  type Epoch,
  framePayload,
  type Lsn,
  lsn,
  mainBranch,
  type ReceivedFrame,
  RecordCursor,
  type RegionId,
} from '../../../storage/core.ts';
import { readTraceContext, type TraceContext } from '../../../telemetry/core.ts';
import { moveLimits } from '../../control/core/move-limits.ts';

/** One commit that is no longer part of history. */
export const lostCommitSchema = z.object({
  lsn: z.int().min(0),
  commitTimeUs: z.number(),
  /** Hex trace id of the write; null when it was untraced. */
  traceId: z.string().nullable(),
});
export type LostCommit = z.infer<typeof lostCommitSchema>;

/** A lost write with the trace that its commit record carries. */
export interface LostTrace {
  readonly lsn: number;
  readonly commitTimeUs: number;
  /** Of its `commit` span. */
  readonly context: TraceContext;
}

export const lossReportSchema = z.object({
  v: z.literal(1),
  /** The branch that the writes were made on; left out for `main`. */
  branch: z.string().exactOptional(),
  /** The reign under which the region found out. */
  epoch: z.int(),
  /** The reign whose writes are concerned. */
  orphanEpoch: z.int(),
  region: z.string(),
  /** Records in (fromLsn, toLsn] of `orphanEpoch` are the orphan. */
  fromLsn: z.int(),
  toLsn: z.int(),
  /** The log up to here was collected before anybody knew that it would be lost: no commit at or below is counted or listed. */
  unlistedTo: z.int().optional(),
  lostBytes: z.int(),
  count: z.int(),
  firstCommitTimeUs: z.number().nullable(),
  lastCommitTimeUs: z.number().nullable(),
  /** True when there were more than the list holds; count and times still cover them all. */
  truncated: z.boolean(),
  commits: z.array(lostCommitSchema),
  foundAtMs: z.number(),
});
export type LossReport = z.infer<typeof lossReportSchema>;

/** The branch that the writes of a report were made on. */
export const branchOfLoss = ({ branch }: Pick<LossReport, 'branch'>): string => branch ?? mainBranch;

/** The path in the URL of a gateway at which the branch of a report is read and written; empty for `main`. */
export const pathOfLoss = ({ branch }: Pick<LossReport, 'branch'>): string =>
  branch === undefined ? '' : `/branch/${branch}/`;

/**
 * Where the region of a report can be read, as `PRAGMA sextant_at` takes it: `before` with nothing of the orphan, `after` with all
 * of it.
 */
export const lossPlaces = ({
  orphanEpoch,
  fromLsn,
  toLsn,
}: Pick<LossReport, 'orphanEpoch' | 'fromLsn' | 'toLsn'>): {
  readonly before: string;
  readonly after: string;
} => ({
  before: `${orphanEpoch}:${fromLsn}`,
  after: `${orphanEpoch}:${toLsn}`,
});

/** Collects the commits of an orphan, frame by frame: each of its range, and each once (R9). */
export class LossCollector {
  private readonly from: Lsn;
  private readonly to: Lsn;
  /** Frames may be handed in again, whole or in part: nothing at or below this is counted twice. */
  private reached: Lsn;
  private readonly commits: LostCommit[] = [];
  private readonly traced: LostTrace[] = [];
  private unlistedTo: Lsn | null = null;
  private count = 0;
  private first: number | null = null;
  private last: number | null = null;

  constructor(range: { readonly from: Lsn; readonly to: Lsn }) {
    this.from = range.from;
    this.to = range.to;
    this.reached = range.from;
  }

  /** Takes the next frame along the orphan; frames come in LSN order. */
  add(frame: ReceivedFrame): void {
    const cursor = new RecordCursor(framePayload(frame.bytes));
    while (cursor.next()) {
      const at = lsn(frame.header.base + cursor.end);
      if (!cursor.isCommit || at <= this.reached || at > this.to) continue;
      const { commitTimeUs, trace } = cursor;
      this.reached = at;
      this.count += 1;
      this.first ??= commitTimeUs;
      this.last = commitTimeUs;
      const context = trace === null ? null : readTraceContext(trace);
      if (context?.sampled === true && this.traced.length < moveLimits.lossSpansMax)
        this.traced.push({ lsn: at, commitTimeUs, context });
      if (this.commits.length >= moveLimits.lossCommitsMax) continue;
      const traceId = trace === null ? null : Buffer.from(trace.subarray(0, 16)).toString('hex');
      this.commits.push({ lsn: at, commitTimeUs, traceId });
    }
  }

  /** No node has what lies below `at`. */
  skip(at: Lsn): void {
    this.unlistedTo = at;
  }

  /** Of the first writes whose traces were kept by the sampler, so many as get a span. */
  get traces(): readonly LostTrace[] {
    return this.traced;
  }

  report(about: {
    readonly branch?: BranchName;
    readonly epoch: Epoch;
    readonly orphanEpoch: Epoch;
    readonly region: RegionId;
    readonly foundAtMs: number;
  }): LossReport {
    return {
      v: 1,
      ...about,
      fromLsn: this.from,
      toLsn: this.to,
      ...(this.unlistedTo !== null && { unlistedTo: this.unlistedTo }),
      lostBytes: this.to - this.from,
      count: this.count,
      firstCommitTimeUs: this.first,
      lastCommitTimeUs: this.last,
      truncated: this.count > this.commits.length,
      commits: this.commits,
    };
  }
}

/**
 * One list per lost reign out of what several regions found: the same commit may be an orphan in more than one, and is
 * counted once.
 */
export function mergeLosses(reports: readonly LossReport[]): readonly LossReport[] {
  const byEpoch = new Map<number, LossReport>();
  for (const report of [...reports].sort((a, b) => b.count - a.count || a.region.localeCompare(b.region))) {
    const known = byEpoch.get(report.orphanEpoch);
    byEpoch.set(report.orphanEpoch, known === undefined ? report : merged(known, report));
  }
  return [...byEpoch.values()].sort((a, b) => a.orphanEpoch - b.orphanEpoch);
}

/** @param known the report with more commits; its time of finding stays. The region is the one whose orphan reaches further: it holds all of it. */
function merged(known: LossReport, other: LossReport): LossReport {
  const have = new Set(known.commits.map((commit) => commit.lsn));
  const more = other.commits.filter((commit) => !have.has(commit.lsn));
  const commits = [...known.commits, ...more].sort((a, b) => a.lsn - b.lsn);
  const count = Math.max(known.count, commits.length);
  const fromLsn = Math.min(known.fromLsn, other.fromLsn);
  const toLsn = Math.max(known.toLsn, other.toLsn);
  // What one of them lists from its beginning on is in the list.
  const unlistedTo = Math.min(known.unlistedTo ?? fromLsn, other.unlistedTo ?? fromLsn);
  return {
    ...withoutUnlisted(known),
    ...(unlistedTo > fromLsn && { unlistedTo }),
    region: other.toLsn > known.toLsn ? other.region : known.region,
    fromLsn,
    toLsn,
    lostBytes: toLsn - fromLsn,
    count,
    firstCommitTimeUs: extreme(Math.min, known.firstCommitTimeUs, other.firstCommitTimeUs),
    lastCommitTimeUs: extreme(Math.max, known.lastCommitTimeUs, other.lastCommitTimeUs),
    truncated: count > commits.length,
    commits,
  };
}

function withoutUnlisted({ unlistedTo: _, ...report }: LossReport): LossReport {
  return report;
}

function extreme(pick: (a: number, b: number) => number, a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : pick(a, b);
}
