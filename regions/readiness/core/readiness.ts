/**
 * Which region could take over now, what would be lost, and how long it would take: asked all the time and not only on the bad
 * day. It judges by the rules that refuse the moves themselves, by reports that are recent, and by nothing else.
 *
 * R40 A region is called ready only while a switchover to it would not be refused, and a failover neither if the primary
 *     were lost now; what was not heard lately is not ready.
 */
import { z } from 'zod';
import type { RegionId } from '../../../storage/core.ts';
import type { ControlRecord } from '../../control/core/control-record.ts';
import type { ControlProblem } from '../../control/core/control-sight.ts';
import { defaultLeaseLimits } from '../../control/core/lease.ts';
import { moveLimits } from '../../control/core/move-limits.ts';
import { describeReading, formatAge } from '../../control/core/record-claims.ts';
import { holdsMore, judgeFailover } from '../../control/core/survivors.ts';
import { couldWrite, switchoverProblem } from '../../control/core/switchover-rules.ts';
import type { ClusterView } from '../../status/core/cluster-view.ts';
import { reportLimits } from '../../status/core/report-limits.ts';
import { type FailoverWait, failoverTime, switchoverTime, type TakeoverTime } from './takeover-time.ts';

const moveSchema = {
  possible: z.boolean(),
  reason: z.string().nullable().describe('Why not, with the way out; null when it is possible.'),
  aboutMs: z.number().nullable().describe('About how long writes would wait; null when it is not possible.'),
  madeOf: z.string().nullable().describe('What that figure is made of.'),
};

export const readinessSchema = z.object({
  epoch: z.int(),
  primary: z.string().nullable(),
  regions: z
    .array(
      z.object({
        region: z.string(),
        ready: z.boolean(),
        reasons: z.array(z.string()).describe('Why not; empty when ready.'),
        ageMs: z.number().nullable().describe('How old the region’s own word is; null when never heard.'),
        switchover: z.object(moveSchema),
        failover: z.object({
          ...moveSchema,
          wouldLose: z
            .object({
              commits: z.int().nullable(),
              commitsExact: z.boolean().describe('False: at least so many.'),
              bytes: z.number().nullable(),
              ms: z.number().nullable(),
            })
            .describe('If the primary were lost now. Null while unknown.'),
        }),
      }),
    )
    .describe('Every region but the primary.'),
});
export type Readiness = z.output<typeof readinessSchema>;
export type RegionReadiness = Readiness['regions'][number];

export interface ReadinessFacts {
  readonly view: ClusterView;
  readonly regions: readonly RegionId[];
  /** Why the last look at the control record brought none: then no move can begin. Null when it did. */
  readonly problem: ControlProblem | null;
  /** The newest epoch that this region's storage nodes know of. */
  readonly highestEpoch: number;
}

/** Judges every secondary as of now. */
export function readinessOf(facts: ReadinessFacts, nowMs: number): Readiness {
  const { record } = facts.view;
  const primary = record?.primary ?? null;
  return {
    epoch: record?.epoch ?? 0,
    primary,
    regions: facts.regions
      .filter((region) => region !== primary)
      .map((region) => regionReadiness(region, facts, nowMs)),
  };
}

function regionReadiness(region: RegionId, facts: ReadinessFacts, nowMs: number): RegionReadiness {
  const { view, problem, highestEpoch } = facts;
  const { record } = view;
  const ageMs = view.ageMs(region, nowMs);
  const unread = record === null ? 'the control record has not been read yet' : null;
  const unreadable = problem === null ? unread : describeReading(problem, highestEpoch).reason;
  const why = unreadable ?? silence(region, ageMs);
  const missing = view.missing(region, nowMs);
  const wouldLose = {
    commits: missing.commits,
    commitsExact: missing.commitsExact,
    bytes: missing.lagBytes,
    ms: missing.lagMs,
  };
  if (record === null || why !== null) {
    const refused = { possible: false, reason: why, aboutMs: null, madeOf: null };
    const reasons = why === null ? [] : [why];
    return { region, ready: false, reasons, ageMs, switchover: refused, failover: { ...refused, wouldLose } };
  }
  const took = view.region(region, nowMs)?.took ?? { switchoverMs: null, promotionMs: null };
  const switchover = told(switchoverRefusal(region, record, view, nowMs), () =>
    switchoverTime(took, missing.lagMs ?? 0),
  );
  const failover = told(failoverRefusal(region, record, view, nowMs), () =>
    failoverTime(took, failoverWait(region, record, view, nowMs), defaultLeaseLimits),
  );
  const unready = view.gateways(region, nowMs).some(({ ready }) => ready)
    ? null
    : `no gateway of ${region} says that it is ready to serve; its /readyz says why`;
  const found = [switchover.reason, failover.reason, unready].filter((reason) => reason !== null);
  const reasons = [...new Set(found)];
  return {
    region,
    ready: reasons.length === 0,
    reasons,
    ageMs,
    switchover,
    failover: { ...failover, wouldLose },
  };
}

function told(reason: string | null, time: () => TakeoverTime): RegionReadiness['switchover'] {
  return reason === null
    ? { possible: true, reason, ...time() }
    : { possible: false, reason, aboutMs: null, madeOf: null };
}

function silence(region: RegionId, ageMs: number | null): string | null {
  if (ageMs === null) return `${region} has not been heard yet: is its agent running, and joined over NATS?`;
  if (ageMs < reportLimits.offlineAfterMs) return null;
  return `${region} was heard last ${formatAge(ageMs)} ago: is its agent running, and joined over NATS?`;
}

function switchoverRefusal(
  target: RegionId,
  record: ControlRecord,
  view: ClusterView,
  nowMs: number,
): string | null {
  return switchoverProblem(view.switchoverQuestion(target, record, nowMs))?.message ?? null;
}

/** Whether a failover would be refused if the primary were lost now: its own voice would be gone. */
function failoverRefusal(
  target: RegionId,
  record: ControlRecord,
  view: ClusterView,
  nowMs: number,
): string | null {
  const question = view.switchoverQuestion(target, record, nowMs);
  const mute = couldWrite(question);
  if (mute !== null) return mute.message;
  const survivors = view
    .survivors(nowMs, reportLimits.offlineAfterMs)
    .filter(({ region }) => region !== record.primary);
  const verdict = judgeFailover({ target, record, survivors, sacrifice: [] });
  if (verdict.kind === 'possible') return null;
  const { following, stalledMs, lagMs } = question;
  // Reports of two secondaries are never of the same moment: while the primary ships, what one has more is on its way.
  const getsOn =
    verdict.code === 'TARGET_BEHIND' &&
    view.region(record.primary, nowMs) !== null &&
    following &&
    stalledMs === 0 &&
    lagMs !== null &&
    lagMs <= moveLimits.switchoverLagMsMax;
  if (!getsOn) return verdict.reason;
  const sacrifice = survivors
    .map(({ region }) => region)
    .filter((region) => view.region(region, nowMs)?.following === true);
  const again = judgeFailover({ target, record, survivors, sacrifice });
  return again.kind === 'refused' ? again.reason : null;
}

/** A failover whose primary was heard to hold more than the target waits until that one counts as lost (`FailoverJudge.onRevision`). */
function failoverWait(
  target: RegionId,
  record: ControlRecord,
  view: ClusterView,
  nowMs: number,
): FailoverWait {
  const { offlineAfterMs } = reportLimits;
  const heard = view.survivors(nowMs, offlineAfterMs);
  const heldBy = (name: RegionId) => heard.find(({ region }) => region === name)?.held ?? null;
  const [mine, told] = [heldBy(target), heldBy(record.primary)];
  const tellsOfMore = mine !== null && told !== null && holdsMore(told, mine);
  return {
    isHeld: record.holder !== null,
    primary: tellsOfMore ? { name: record.primary, silenceMs: offlineAfterMs } : null,
  };
}
