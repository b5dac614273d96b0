/**
 * Whether a planned move of the primary may begin: the one rule by which the target's agent refuses a switchover and by which
 * readiness is told beforehand. What it knows of others comes from their reports and decides nothing but this.
 */
import { quorumLimits, type RegionId } from '../../../storage/core.ts';
import type { ControlRecord } from './control-record.ts';
import { moveLimits } from './move-limits.ts';
import { describeRecord } from './record-claims.ts';

/** How the two regions of a switchover are, as far as is heard. */
export interface SwitchoverQuestion {
  readonly target: RegionId;
  readonly record: ControlRecord;
  /** A gateway of the primary that says it writes, heard lately; null when none does. */
  readonly writer: string | null;
  /** The agent of the primary was heard lately. */
  readonly primaryHeard: boolean;
  /** The target receives from a primary that was heard lately, in its newest reign. */
  readonly following: boolean;
  /** Age of the oldest commit that the target lacks; null while unknown. */
  readonly lagMs: number | null;
  /** How long the target has stood still behind the primary; 0 while it gets on. */
  readonly stalledMs: number;
  /** Storage nodes of the target that answer and take writes. */
  readonly writableNodes: number;
  /** Gateways of the target that were heard lately. */
  readonly gateways: number;
  /** The target has no gateway at all, by what its agent says. */
  readonly headless: boolean;
}

export type SwitchoverCode =
  | 'ALREADY_PRIMARY'
  | 'MOVE_IN_PROGRESS'
  | 'NO_WRITER'
  | 'TARGET_NOT_READY'
  | 'TARGET_BEHIND';

export interface SwitchoverRefusal {
  readonly code: SwitchoverCode;
  /** For an operator, with the way out. */
  readonly message: string;
  /** It is expected to pass by itself: a switchover waits for that, up to `moveLimits.switchoverTargetMs`. */
  readonly passes: boolean;
}

/** @returns why a switchover to the target is refused now; null when it may begin. */
export function switchoverProblem(question: SwitchoverQuestion): SwitchoverRefusal | null {
  const { record, target, writer, primaryHeard } = question;
  const { primary, move } = record;
  if (primary === target) return alreadyPrimary(record);
  if (move !== null)
    return refusal(
      'MOVE_IN_PROGRESS',
      `${move.kind} ${move.id} to ${move.to} is under way: wait for its end, or give it up with \`sextant cancel ${move.id}\``,
    );
  if (writer === null || record.holder === null)
    // A region that is lost gets no writer, and its operator is not kept waiting for one.
    return refusal(
      'NO_WRITER',
      `${primary} has no writer to take over from; if it is lost, use a failover`,
      primaryHeard && record.holder !== null,
    );
  return couldWrite(question) ?? notLevel(question);
}

/** Why a target that could write does not follow closely enough; null when it does. All of it passes while redo arrives. */
function notLevel({
  target,
  record: { primary },
  following,
  lagMs,
  stalledMs,
}: SwitchoverQuestion): SwitchoverRefusal | null {
  if (!following)
    return refusal(
      'TARGET_NOT_READY',
      `${target} is not receiving from ${primary}. It joins by itself once the two hear each other; if it does not within a few seconds, ` +
        '`sextant status` says what is wrong with it',
      true,
    );
  if (stalledMs > 0)
    return refusal(
      'TARGET_BEHIND',
      `${target} has stored nothing for ${Math.round(stalledMs)} ms and lacks redo that is durable in ${primary}; ` +
        'its lane begins anew by itself, and a switchover may begin once it gets on',
      true,
    );
  if (lagsBehind({ following, stalledMs, lagMs })) {
    const how = lagMs === null ? 'how far it is behind is not known yet' : `it is ${lagMs} ms behind`;
    return refusal(
      'TARGET_BEHIND',
      `${target} is not close enough: ${how}; a switchover begins at ${moveLimits.switchoverLagMsMax} ms or less. ` +
        'Wait until it has caught up: `sextant status` shows its lag',
      true,
    );
  }
  return null;
}

/** Whether a secondary is too far behind to serve or to take over: the one rule of `status`, of readiness and of switchovers. */
export function lagsBehind({
  following,
  stalledMs,
  lagMs,
}: Pick<SwitchoverQuestion, 'following' | 'stalledMs' | 'lagMs'>): boolean {
  return !following || stalledMs > 0 || lagMs === null || lagMs > moveLimits.switchoverLagMsMax;
}

/** @returns why the target could not write if it were primary, whatever the move; null when it could. */
export function couldWrite({
  target,
  writableNodes,
  gateways,
  headless,
}: Pick<SwitchoverQuestion, 'target' | 'writableNodes' | 'gateways' | 'headless'>): SwitchoverRefusal | null {
  const { copies, writeQuorum } = quorumLimits;
  if (writableNodes < writeQuorum)
    return refusal(
      'TARGET_NOT_READY',
      `${target} could not write: ${writableNodes} of its ${copies} storage nodes take writes, and ${writeQuorum} have to. ` +
        'Start the others, or wait until they answer',
    );
  if (headless)
    return refusal(
      'TARGET_NOT_READY',
      `${target} is headless: it has no gateway that could become the writer. Give it one first (\`sextant gateway add ${target}\`, ` +
        'or an entry in `gateways` of its region.yaml)',
    );
  if (gateways === 0)
    return refusal(
      'TARGET_NOT_READY',
      `${target} has no gateway that could become the writer: none of its gateways is heard. Start one, or wait until it is up`,
    );
  return null;
}

/** Refuses any move to the region that is primary already, by a record that was read just now. */
export function alreadyPrimary(record: ControlRecord): SwitchoverRefusal {
  return refusal(
    'ALREADY_PRIMARY',
    `${record.primary} is the primary region already: name another one. By the control record as read just now, ${describeRecord(record)}`,
  );
}

function refusal(code: SwitchoverCode, message: string, passes = false): SwitchoverRefusal {
  return { code, message, passes };
}
