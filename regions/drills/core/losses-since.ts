/** What a deployment reports as lost since a moment: the difference of two looks at its loss reports. */
import { z } from 'zod';
import { type Unanswered, unansweredSchema, whoIsMissing } from '../../moves/core/loss-answers.ts';
import { type LossReport, lossReportSchema } from '../../moves/core/loss-report.ts';
import type { ReportedLosses } from './ledger-account.ts';

/** `GET /v1/losses`, as far as a drill needs it. */
export const lossListSchema = z.object({
  losses: z.array(lossReportSchema.omit({ commits: true })),
  unreachable: z.array(z.string()).default([]),
  unanswered: z.array(unansweredSchema).default([]),
});

/** One look: every report with its commits, and who has not been heard. */
export interface LossLook {
  readonly reports: readonly LossReport[];
  readonly unreachable: readonly string[];
  readonly unanswered: readonly Unanswered[];
}

/** Commits of `after` that `before` does not have, by reign and LSN. */
export function lossesSince(before: LossLook, after: LossLook): ReportedLosses {
  const known = new Map(before.reports.map((report) => [report.orphanEpoch, report]));
  let count = 0;
  let bytes = 0;
  let complete = true;
  const traceIds: (string | null)[] = [];
  for (const report of after.reports) {
    const old = known.get(report.orphanEpoch);
    const have = new Set(old?.commits.map(({ lsn }) => lsn));
    const more = Math.max(0, report.count - (old?.count ?? 0));
    if (more > 0 && report.truncated) complete = false;
    count += more;
    bytes += Math.max(0, report.lostBytes - (old?.lostBytes ?? 0));
    for (const { lsn, traceId } of report.commits) if (!have.has(lsn)) traceIds.push(traceId);
  }
  return { count, bytes, traceIds, complete, missing: whoIsMissing(after.unreachable, after.unanswered) };
}
