/**
 * The control record: the one small value that says which region writes, who holds the pen there, and what move is
 * under way. This file is its whole transition table, without I/O: each function takes the record somebody read and
 * answers the record to write in its place, or why not. Writing it is a compare-and-set (see `control-port.ts`), so a
 * transition computed from an old record cannot take effect.
 *
 * What every sequence of transitions keeps (`checkControlRecord` and `checkControlStep` assert it):
 * - R20 the epoch never decreases, and every acquisition and every change of primary takes the next one;
 *   epoch numbers, also those of branches, are allotted here and in `branch-record.ts` and nowhere else;
 * - R21 `n` increases by one with each change, renewals included, so that no two records of a cluster are equal;
 * - R22 `stable` means no move, `switching` a switchover away from `primary`, `failing-over` a failover without holder;
 * - R23 a holder is replaced only after it released, was superseded by a later incarnation of itself, or was judged
 *   lapsed by somebody who waited out its lease (`lease.ts`);
 * - R26 the policy changes by `setPolicy` alone, which changes nothing else; every other change keeps it;
 * - R54 the regions change by `setRegions` alone, which changes nothing else, while nothing moves; the primary is one of them;
 * - R69, R70 the branches and their epochs: `branch-list.ts`, and their transitions in `branch-record.ts`;
 * - R96 from where on branches may leave: `promised-record.ts`;
 * - R75 a rewind: `rewind-record.ts`. It takes an epoch as an acquisition does, under the same holder.
 */
import assert from 'node:assert/strict';
import {
  type Epoch,
  type Floor,
  genesisEpoch,
  type Lsn,
  type RegionId,
  unreachable,
} from '../../../storage/core.ts';
import {
  allottedIn,
  type Branch,
  checkBranches,
  checkBranchStep,
  nextEpoch,
  sameBranches,
} from './branch-list.ts';
import { changedPolicy, defaultPolicy, type Policy, type PolicyChange, samePolicy } from './policy.ts';
import { checkPromise, checkPromiseStep, samePromise } from './promised-record.ts';
import { beginsRewind, checkRewind, checkRewindStep, type Rewind, sameRewind } from './rewind-record.ts';

/** The process that writes: a gateway of the primary region, and which start of it. */
export interface Holder {
  /** Gateway name within its region, such as `g1`. */
  readonly gateway: string;
  /** Differs between any two starts of the same gateway. */
  readonly incarnation: string;
}

export type MoveKind = 'switchover' | 'failover';

/** A change of primary under way. */
export interface Move {
  /** Chosen by whoever began it; unique, so that a report and a retry can name it. */
  readonly id: string;
  readonly kind: MoveKind;
  readonly from: RegionId;
  readonly to: RegionId;
  /** Whether the operator accepted that acknowledged writes may become orphans. Always false for a switchover. */
  readonly allowDataLoss: boolean;
  /** Wall clock of whoever began it, in milliseconds. For people; nothing is decided by it. */
  readonly startedAtMs: number;
  /** Where the new history starts, once the old writer has drained and released. */
  readonly fork?: { readonly lsn: Lsn };
}

export type ControlState = 'stable' | 'switching' | 'failing-over';

export interface ControlRecord {
  /** Version of this format. */
  readonly v: 1;
  /** The newest epoch of `main`. */
  readonly epoch: Epoch;
  readonly primary: RegionId;
  readonly holder: Holder | null;
  readonly state: ControlState;
  readonly move: Move | null;
  /** Changes so far, renewals included. */
  readonly n: number;
  /**
   * What an operator has decided beforehand (`policyOf`). Left out while it is the default: versions that know no policy
   * refuse a record that has one, so they can neither drop it nor work beside it.
   */
  readonly policy?: Policy;
  /**
   * Every region of the deployment, once one has come or gone; the processes' own files count no more then (`regionsOf`).
   * Left out before: as with the policy, a version that does not know it refuses the record.
   */
  readonly regions?: readonly RegionId[];
  /** The highest epoch allotted to any line of history, where that is a branch's and not `epoch`. Left out else. */
  readonly allotted?: Epoch;
  /** The epoch of `main` before `epoch`, where branches took those between. Left out where it is `epoch - 1`. */
  readonly before?: Epoch;
  /** The branches beside `main`, oldest first; left out while there is none. As with the policy, older versions refuse it. */
  readonly branches?: readonly Branch[];
  /** From here on branches may leave (R96); left out while all log is kept. As with the policy, older versions refuse it. */
  readonly promised?: Floor;
  /** Under way; left out while none is. As with the policy, older versions refuse it. */
  readonly rewind?: Rewind;
}

export type RefusalCode =
  | 'not-primary'
  | 'held'
  | 'moving'
  | 'not-holder'
  | 'already-primary'
  | 'no-move'
  | 'other-move'
  | 'not-drained'
  | 'not-target'
  | 'same-policy'
  | 'same-regions'
  | 'no-region'
  | 'not-member'
  | 'branch-exists'
  | 'too-many-branches'
  | 'no-branch'
  | 'main-branch'
  | 'has-branches'
  | 'no-writer'
  | 'no-epoch'
  | 'no-rewind'
  | 'rewinding'
  | 'promised';

export type Transition =
  | { readonly kind: 'next'; readonly record: ControlRecord }
  | { readonly kind: 'refused'; readonly code: RefusalCode; readonly reason: string };

/**
 * The record a new cluster starts with. `highestEpoch` is above genesis, and there are branches, only when a lost record is being
 * rebuilt.
 */
export function initialControlRecord(
  primary: RegionId,
  highestEpoch: Epoch = genesisEpoch,
  branches: readonly Branch[] = [],
): ControlRecord {
  const record = {
    v: 1,
    epoch: highestEpoch,
    primary,
    holder: null,
    state: 'stable',
    move: null,
    n: 0,
  } as const;
  return branches.length === 0 ? record : { ...record, branches };
}

/** What an operator has decided beforehand; the default where nobody has. */
export function policyOf(record: ControlRecord): Policy {
  return record.policy ?? defaultPolicy;
}

/** True when both name the same start of the same gateway. */
export function sameHolder(a: Holder | null, b: Holder | null): boolean {
  return a !== null && b !== null && a.gateway === b.gateway && a.incarnation === b.incarnation;
}

/**
 * A gateway of the primary region becomes the writer, in the next epoch.
 * `lapsed` is the caller's own judgement that the lease of the holder in *this* revision has run out.
 * A later incarnation of the holder need not wait: its predecessor's process has ended, and the new epoch fences it anyway.
 */
export function acquire(
  record: ControlRecord,
  by: { readonly region: RegionId; readonly holder: Holder; readonly lapsed: boolean },
): Transition {
  if (record.primary !== by.region) {
    return refused('not-primary', `${record.primary} is the primary region, not ${by.region}`);
  }
  if (record.state === 'failing-over') return refused('moving', `${by.region} is being failed away from`);
  if (record.move?.fork !== undefined) {
    return refused('moving', `${by.region} has drained and released for ${record.move.to}`);
  }
  if (record.holder !== null && record.holder.gateway !== by.holder.gateway && !by.lapsed) {
    return refused('held', `gateway ${record.holder.gateway} holds the lease`);
  }
  if (sameHolder(record.holder, by.holder))
    return refused('held', 'this incarnation holds the lease already');
  return newReign(record, { holder: by.holder });
}

/** The holder says it is alive. Changes `n` only. */
export function renew(record: ControlRecord, holder: Holder): Transition {
  if (!sameHolder(record.holder, holder)) return notHolder(record);
  return next(record, {});
}

/**
 * The holder gives the pen back, so that nobody has to wait out its lease. During a switchover it must say where it
 * drained to (`drainedTo`, its last LSN, durable): from then on only the target may complete, or anybody abort.
 */
export function release(
  record: ControlRecord,
  by: { readonly holder: Holder; readonly drainedTo: Lsn },
): Transition {
  if (!sameHolder(record.holder, by.holder)) return notHolder(record);
  if (record.move === null) return next(record, { holder: null });
  return next(record, { holder: null, move: { ...record.move, fork: { lsn: by.drainedTo } } });
}

/** Begins a planned move. The holder keeps writing until it sees this record, then drains and releases. */
export function beginSwitchover(
  record: ControlRecord,
  by: { readonly id: string; readonly to: RegionId; readonly startedAtMs: number },
): Transition {
  if (record.move !== null) return moveUnderWay(record.move);
  if (record.rewind !== undefined) return rewindUnderWay(record.rewind);
  if (record.primary === by.to) return refused('already-primary', `${by.to} is the primary region already`);
  if (!isMember(record, by.to)) return notMember(by.to);
  return next(record, {
    state: 'switching',
    move: { ...by, kind: 'switchover', from: record.primary, allowDataLoss: false },
  });
}

/**
 * Begins a move away from a region that no longer answers, and deposes its holder. `lapsed` as in `acquire`.
 * A switchover under way is superseded, since its source may be what was lost; so is a failover to another region, since
 * its target may be lost by now, too.
 */
export function beginFailover(
  record: ControlRecord,
  by: {
    readonly id: string;
    readonly to: RegionId;
    readonly allowDataLoss: boolean;
    readonly startedAtMs: number;
    readonly lapsed: boolean;
  },
): Transition {
  if (record.state === 'failing-over' && record.move?.to === by.to) return moveUnderWay(record.move);
  if (record.primary === by.to) return refused('already-primary', `${by.to} is the primary region already`);
  if (!isMember(record, by.to)) return notMember(by.to);
  if (record.holder !== null && !by.lapsed) {
    return refused('held', `gateway ${record.holder.gateway} of ${record.primary} holds the lease`);
  }
  const { lapsed: _, ...move } = by;
  return next(record, {
    state: 'failing-over',
    holder: null,
    move: { ...move, kind: 'failover', from: record.primary },
  });
}

/**
 * The target takes over, in the next epoch: directly under its gateway (`holder`), or with the pen free for its first
 * gateway to acquire (null). Whoever calls has made sure that the target has reached `move.fork.lsn` (a switchover), or
 * that what it lacks is known and accepted (a failover).
 */
export function completeMove(
  record: ControlRecord,
  by: { readonly id: string; readonly region: RegionId; readonly holder: Holder | null },
): Transition {
  const { move } = record;
  if (move === null) return refused('no-move', 'no move is under way');
  if (move.id !== by.id) return refused('other-move', `move ${move.id} is under way, not ${by.id}`);
  if (move.to !== by.region) return refused('not-target', `the move goes to ${move.to}, not to ${by.region}`);
  switch (move.kind) {
    case 'switchover':
      if (move.fork === undefined || record.holder !== null) {
        return refused('not-drained', `${move.from} has not drained and released yet`);
      }
      break;
    case 'failover':
      break;
    default:
      return unreachable(move.kind);
  }
  return newReign(record, {
    primary: move.to,
    holder: by.holder,
    state: 'stable',
    move: null,
  });
}

/** Gives a move up: the primary stays where it is, and its holder, when it has not released, simply continues. */
export function abortMove(record: ControlRecord, by: { readonly id: string }): Transition {
  if (record.move === null) return refused('no-move', 'no move is under way');
  if (record.move.id !== by.id)
    return refused('other-move', `move ${record.move.id} is under way, not ${by.id}`);
  return next(record, { state: 'stable', move: null });
}

/**
 * Changes the policy, whatever else is under way; what `change` leaves out stays. Whether a deployment can keep it is asked
 * before (`policyProblem`). A change that changes nothing is refused: its record would equal a renewal by the holder, which
 * would take it for its own and date its lease from the wrong sending (R24).
 */
export function setPolicy(record: ControlRecord, change: PolicyChange): Transition {
  const before = policyOf(record);
  const policy = changedPolicy(before, change);
  if (samePolicy(before, policy)) return refused('same-policy', 'the policy is like this already');
  if (!samePolicy(policy, defaultPolicy)) return next(record, { policy });
  const { policy: _, ...without } = record;
  return next(record, {}, without);
}

/** The regions that the record names; `configured`, those of the process's own file, where none has come or gone yet. */
export function regionsOf(
  record: ControlRecord | null,
  configured: readonly RegionId[],
): readonly RegionId[] {
  return record?.regions ?? configured;
}

/** Whether the record leaves a region among those of the deployment. A record that names none leaves all of them. */
export function isMember(record: ControlRecord | null, region: RegionId): boolean {
  return record?.regions?.includes(region) ?? true;
}

/**
 * A region comes or goes: `regions` is every one of the deployment from now on. Not while something moves, and never without
 * the primary. A change that changes nothing is refused, for the reason of `setPolicy`.
 */
export function setRegions(record: ControlRecord, regions: readonly RegionId[]): Transition {
  if (record.move !== null) return moveUnderWay(record.move);
  if (!regions.includes(record.primary))
    return refused('no-region', `${record.primary} is the primary region: move the primary elsewhere first`);
  if (record.regions !== undefined && sameRegions(record.regions, regions))
    return refused('same-regions', 'these are the regions already');
  return next(record, { regions: [...regions] });
}

/** True when both name the same regions in the same order, or neither names any. */
export const sameRegions = (
  a: readonly RegionId[] | undefined,
  b: readonly RegionId[] | undefined,
): boolean => a?.join() === b?.join();

/** @throws AssertionError when `record` is not one that the transitions can produce (R22, R54, R69, R70). */
export function checkControlRecord(record: ControlRecord): void {
  const { state, move, holder, primary, regions } = record;
  assert(Number.isSafeInteger(record.n) && record.n >= 0, `R21: n counts changes, not ${record.n}`);
  assert(
    (state === 'stable') === (move === null),
    `R22: state ${state} ${move === null ? 'without' : 'with'} a move`,
  );
  if (regions !== undefined) {
    assert(new Set(regions).size === regions.length, 'R54: a region is named twice');
    assert(regions.includes(primary), `R54: the primary ${primary} is none of the regions`);
    assert(move === null || regions.includes(move.to), 'R54: a move to a region that is none of them');
  }
  checkBranches(record);
  checkRewind(record);
  checkPromise(record);
  if (record.before !== undefined)
    assert(record.before < record.epoch - 1, `R20: epoch ${record.before} before ${record.epoch}`);
  if (move === null) return;
  assert(
    move.from === primary && move.to !== primary,
    `R22: a move ${move.from} to ${move.to} from primary ${primary}`,
  );
  assert(
    move.kind === (state === 'switching' ? 'switchover' : 'failover'),
    `R22: a ${move.kind} while ${state}`,
  );
  if (move.kind === 'failover') assert(holder === null, 'R22: a holder during a failover');
  else assert(!move.allowDataLoss, 'R22: a switchover that allows data loss');
  if (move.fork !== undefined) assert(holder === null, 'R22: a holder after it drained');
}

/** @throws AssertionError when `after` cannot follow `before` directly (R20, R21, R23, R26, R54, R69, R70). */
export function checkControlStep(before: ControlRecord, after: ControlRecord): void {
  checkControlRecord(after);
  assert(after.n === before.n + 1, `R21: n went from ${before.n} to ${after.n}`);
  const reigns =
    after.primary !== before.primary ||
    (after.holder !== null && !sameHolder(after.holder, before.holder)) ||
    beginsRewind(before, after);
  const taken = reigns ? nextEpoch(before) : before.epoch;
  assert(after.epoch === taken, `R20: epoch went from ${before.epoch} to ${after.epoch}`);
  if (!sameBranches(before, after)) {
    onlyChanged(before, after, ['branches', 'allotted'], 'R69: a change of the branches');
    checkBranchStep(before, after);
  } else {
    const allotted = reigns ? after.epoch : allottedIn(before);
    assert(allottedIn(after) === allotted, 'R70: an epoch was allotted to nobody, or forgotten');
  }
  assert(
    epochBefore(after) === (reigns ? before.epoch : epochBefore(before)),
    'R20: the epoch before is not the one before',
  );
  if (!sameRewind(before, after)) {
    onlyChanged(before, after, ['rewind', 'epoch', 'before', 'allotted'], 'R75: a change of the rewind');
    checkRewindStep(before, after);
  }
  if (!samePromise(before, after)) {
    onlyChanged(before, after, ['promised'], 'R96: a change of the promise');
    checkPromiseStep(before, after);
  }
  if (!sameRegions(before.regions, after.regions)) {
    onlyChanged(before, after, ['regions'], 'R54: a change of the regions');
    assert(before.move === null, 'R54: the regions changed during a move');
  }
  if (!samePolicy(policyOf(before), policyOf(after)))
    onlyChanged(before, after, ['policy'], 'R26: a change of the policy');
}

function onlyChanged(
  before: ControlRecord,
  after: ControlRecord,
  fields: readonly (keyof ControlRecord)[],
  what: string,
): void {
  const rest = (record: ControlRecord): object =>
    Object.fromEntries(
      Object.entries(record).filter(([field]) => field !== 'n' && !fields.some((name) => name === field)),
    );
  assert.deepStrictEqual(rest(after), rest(before), `${what} changed something else`);
}

/** `change`, with the next epoch allotted to `main` (R20). */
export function newReign(
  record: ControlRecord,
  change: Partial<ControlRecord> | ((taken: Epoch) => Partial<ControlRecord>),
): Transition {
  const { allotted: _, before: __, ...kept } = record;
  const taken = nextEpoch(record);
  const skipped = taken === record.epoch + 1 ? {} : { before: record.epoch };
  const changed = typeof change === 'function' ? change(taken) : change;
  return next(record, { ...changed, epoch: taken, ...skipped }, kept);
}

/** The epoch of `main` before the one that it has. */
export const epochBefore = ({ epoch: now, before }: Pick<ControlRecord, 'epoch' | 'before'>): number =>
  before ?? now - 1;

/** The record that follows `read`: `change` made to it, or to `kept` where fields had to go. */
export function next(read: ControlRecord, change: Partial<ControlRecord>, kept = read): Transition {
  const after = { ...kept, ...change, n: read.n + 1 };
  checkControlStep(read, after);
  return { kind: 'next', record: after };
}

export function refused(code: RefusalCode, reason: string): Transition {
  return { kind: 'refused', code, reason };
}

export function notHolder(record: ControlRecord): Transition {
  const now = record.holder === null ? 'nobody does' : `gateway ${record.holder.gateway} does`;
  return refused('not-holder', `this incarnation does not hold the lease, ${now}`);
}

function notMember(region: RegionId): Transition {
  return refused(
    'not-member',
    `${region} is none of the regions of this deployment any more: \`sextant region add ${region}\` takes it in`,
  );
}

export function moveUnderWay(move: Move): Transition {
  return refused('moving', `${move.kind} ${move.id} from ${move.from} to ${move.to} is under way`);
}

export function rewindUnderWay({ id, to }: Rewind): Transition {
  return refused('rewinding', `rewind ${id} to LSN ${to.lsn} of epoch ${to.epoch} is under way`);
}
