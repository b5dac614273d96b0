/**
 * Which databases of a gateway are awake. One that has had nothing to do for long enough gives its engines back; when too many
 * branches are awake, the one that has been idle longest goes first. Pure.
 *
 * G52. A database with an operation under way, an open transaction or redo that is not settled is never put to rest.
 */
import type { BranchName } from '../../../storage/core.ts';
import type { DatabaseLimits } from '../../session/core/service-limits.ts';

type RestLimits = Pick<DatabaseLimits, 'openBranches' | 'branchIdleMs'>;

/** A database that is awake. */
export interface AwakeView {
  readonly name: BranchName;
  /** Operations under way. */
  readonly uses: number;
  /** Nothing of its streams or its redo would be lost. */
  readonly mayRest: boolean;
  readonly lastUsedMs: number;
}

const isIdle = ({ uses, mayRest }: AwakeView): boolean => uses === 0 && mayRest;

/** Whether it has had nothing to do for so long. */
export const restsAfter = (view: AwakeView, idleMs: number, nowMs: number): boolean =>
  isIdle(view) && nowMs - view.lastUsedMs >= idleMs;

/** Those that have had nothing to do for long enough. */
export function chooseToRest(
  awake: readonly AwakeView[],
  limits: RestLimits,
  nowMs: number,
): readonly BranchName[] {
  return awake.filter((branch) => restsAfter(branch, limits.branchIdleMs, nowMs)).map(({ name }) => name);
}

/**
 * How many threads are kept ready for whoever needs one next: one for a statement that finds the others busy, and with branches two,
 * since one that wakes may read and write. None for a gateway that nobody uses.
 * @param isUsed something is awake that was asked for something. @param hasBranches the record names some.
 */
export function threadsKept(isUsed: boolean, hasBranches: boolean): number {
  if (!isUsed) return 0;
  return hasBranches ? 2 : 1;
}

export type Room =
  | { readonly kind: 'room' }
  /** There is room once this one rests. */
  | { readonly kind: 'instead'; readonly name: BranchName }
  | { readonly kind: 'full' };

/** Whether one more may be awake. */
export function roomForOneMore(awake: readonly AwakeView[], limits: RestLimits): Room {
  if (awake.length < limits.openBranches) return { kind: 'room' };
  const idle = awake.filter(isIdle);
  const [first, ...others] = idle;
  if (first === undefined) return { kind: 'full' };
  const { name } = others.reduce(
    (least, other) => (other.lastUsedMs < least.lastUsedMs ? other : least),
    first,
  );
  return { kind: 'instead', name };
}
