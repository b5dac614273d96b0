/**
 * Switchover and failover as one table: what each event means in each phase, total at compile time. The machine does nothing
 * itself. It says what to do, the driver (`../moves.ts`) does it and tells the outcome, in production as in the simulator.
 *
 * Whoever drives, the control record decides: a machine that dies is made anew from the record's move (`resumedMove`), and a
 * change computed from an old record does not take effect (R5).
 */
import type { Epoch, Lsn, RegionId } from '../../../storage/core.ts';
import type { ControlView } from '../../control/core/control-port.ts';
import type { ControlRecord, Move, MoveKind } from '../../control/core/control-record.ts';
import { moveLimits } from '../../control/core/move-limits.ts';
import {
  formatAge,
  isAlive,
  moveGone,
  type Renewals,
  renewalsSeen,
} from '../../control/core/record-claims.ts';
import type { SwitchoverRefusal } from '../../control/core/switchover-rules.ts';
import { isHolderFenced } from './region-fence.ts';

/** In the order they may come; `ended` is the last. As `GET /v1/operations/{id}` names them. */
export type MovePhase =
  /** Switchover: the target, or the writer to take over from, is about to be ready. Nothing has been changed. */
  | 'waiting-for-target'
  /** Switchover: the record is being changed to say that it begins. */
  | 'preparing'
  /** The old writer holds new writes and finishes open ones, until it releases with its last LSN. */
  | 'draining'
  /** The target waits for that LSN to be durable in its region. */
  | 'catching-up'
  /** Failover: until the lease of the lost region's writer has lapsed, or its storage is sealed. */
  | 'waiting-for-lease'
  /** Redo that another survivor has and the target lacks is fetched from there. */
  | 'pulling'
  /** The record is being changed to depose the old writer. */
  | 'deposing'
  /** The target's gateway claims, recovers, forks and writes. */
  | 'promoting'
  /** The record is being changed back. */
  | 'giving-up'
  | 'ended';

export type MoveEvent =
  /** What is known by now; told at least every `lookMs`, and whenever something may have changed. */
  | {
      readonly kind: 'looked';
      /** The newest record seen; null before the first. */
      readonly view: ControlView | null;
      /** How long ago that revision was first seen, on this clock. */
      readonly stillMs: number;
      /** Whether the lease in that revision may be challenged (R25), or nobody holds it. */
      readonly lapsed: boolean;
      /** The survivor that holds most redo beyond the target's; null when none does. */
      readonly better: RegionId | null;
      /** What is durable in the target by now, to tell whether pulling gets on. */
      readonly vdl: Lsn;
      /** The newest epoch in which a gateway of the target is heard to write; null when none is. */
      readonly writing: Epoch | null;
      /** Why a switchover may not begin yet; null when it may. Looked at while it waits for its target. */
      readonly unready: SwitchoverRefusal | null;
    }
  /** The change that was asked for has taken effect, as this revision. */
  | { readonly kind: 'changed'; readonly view: ControlView }
  /** It was refused: by the record's own rules, or by a judgement on the revision that was read. */
  | { readonly kind: 'refused'; readonly code: string; readonly reason: string }
  /** The record could be neither read nor changed. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** Nodes of the old region are sealed against this reign: its writer can make nothing durable any more (R28). */
  | { readonly kind: 'fenced'; readonly epoch: Epoch }
  | { readonly kind: 'cancelled' };

export type MoveEffect =
  /** Change the record: the switchover begins. */
  | { readonly kind: 'begin' }
  /** Change the record: the old writer is deposed, if the failover is still justified on the revision that is read. */
  | { readonly kind: 'depose' }
  /** Change the record back. */
  | { readonly kind: 'abort' }
  /** Seal the old region's nodes if they can be reached; repeated, and no harm. */
  | { readonly kind: 'seal'; readonly region: RegionId; readonly epoch: Epoch }
  /** Ask a survivor for its redo; repeated while it is wanted. */
  | { readonly kind: 'pull'; readonly from: RegionId };

/** How a move ended. */
export type MoveOutcome =
  | { readonly kind: 'done'; readonly epoch: Epoch; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export interface MoveState {
  readonly id: string;
  readonly kind: MoveKind;
  readonly target: RegionId;
  /** The region that is left; a failover may learn that another one is primary by now. */
  readonly from: RegionId;
  readonly phase: MovePhase;
  /** Driven by another region's agent than the target's, which is silent: it is given up when its time is over. */
  readonly isGuarded: boolean;
  /** Times are the driver's monotonic clock. */
  readonly begunAtMs: number;
  readonly deadlineMs: number;
  /** When writes were held (a switchover), from the first change of the record on. */
  readonly heldAtMs: number | null;
  /** The revision of our own change: what is seen may still be from before it. */
  readonly since: number;
  /** The epoch in which the target took over; null before. */
  readonly taken: Epoch | null;
  /** The reign that is fenced at the old region's storage (R28). */
  readonly fenced: Epoch | null;
  readonly renewals: Renewals | null;
  /** How far pulling has got, and when it last got on. */
  readonly pulled: { readonly vdl: Lsn; readonly atMs: number } | null;
  /** Why the move is given up, once it is. */
  readonly why: { readonly code: string; readonly message: string } | null;
  readonly outcome: MoveOutcome | null;
}

export interface MoveStep {
  readonly move: MoveState;
  readonly effects: readonly MoveEffect[];
}

type EventKind = MoveEvent['kind'];
type Of<K extends EventKind> = Extract<MoveEvent, { readonly kind: K }>;
type Cell<K extends EventKind> = (move: MoveState, event: Of<K>, nowMs: number) => MoveStep;
type Table = { readonly [P in MovePhase]: { readonly [K in EventKind]: Cell<K> } };

/**
 * Begins a move from a record that was read just now.
 * @param waits a switchover waits for its target first.
 */
export function beginMove(
  about: Pick<MoveState, 'id' | 'kind' | 'target' | 'from'>,
  nowMs: number,
  waits = false,
): MoveStep {
  const { kind } = about;
  const move: MoveState = {
    ...about,
    phase: kind === 'failover' ? 'waiting-for-lease' : waits ? 'waiting-for-target' : 'preparing',
    isGuarded: false,
    begunAtMs: nowMs,
    deadlineMs: nowMs + limitMs(kind),
    heldAtMs: null,
    since: 0,
    taken: null,
    fenced: null,
    renewals: null,
    pulled: null,
    why: null,
    outcome: null,
  };
  return { move, effects: kind === 'switchover' && !waits ? [{ kind: 'begin' }] : [] };
}

/**
 * Takes up a move that the record names and nobody drives: whoever began it died. Its time begins anew, since only the one
 * who began it knew how much of it was spent.
 */
export function resumedMove(move: Move, view: ControlView, isGuarded: boolean, nowMs: number): MoveState {
  const { id, kind, from, to } = move;
  const begun = beginMove({ id, kind, target: to, from }, nowMs).move;
  const phase = kind === 'failover' ? 'promoting' : move.fork === undefined ? 'draining' : 'catching-up';
  return { ...begun, phase, isGuarded, since: view.seq, heldAtMs: kind === 'switchover' ? nowMs : null };
}

/** A move that has left the record meanwhile, because the target took over: only its writer is waited for. */
export function takenMove(
  about: Pick<MoveState, 'id' | 'kind' | 'target' | 'from'>,
  taken: Epoch,
  nowMs: number,
): MoveState {
  return { ...beginMove(about, nowMs).move, phase: 'promoting', taken };
}

/** What happens to the move. After `ended`, nothing. */
export function stepMove<K extends EventKind>(move: MoveState, event: Of<K>, nowMs: number): MoveStep {
  const row: { readonly [E in EventKind]: Cell<E> } = table[move.phase];
  const cell: Cell<K> = row[event.kind as K];
  return cell(move, event, nowMs);
}

/** Why a move cannot be cancelled any more; null while it can. */
export function cancelProblem(move: MoveState): string | null {
  if (move.phase === 'ended') return 'it has ended';
  if (move.phase === 'promoting' && move.taken !== null)
    return `${move.target} has taken over in epoch ${move.taken}; a switchover back undoes it`;
  return null;
}

const limitMs = (kind: MoveKind): number =>
  kind === 'switchover' ? moveLimits.switchoverMs : moveLimits.failoverMs;

const stay = (move: MoveState, effects: readonly MoveEffect[] = []): MoveStep => ({ move, effects });

function fail(move: MoveState, code: string, message: string): MoveStep {
  return stay({ ...move, phase: 'ended', outcome: { kind: 'failed', code, message } });
}

/** The record has to be changed back; until it is, the move is still in it. */
function giveUp(move: MoveState, code: string, message: string): MoveStep {
  return stay({ ...move, phase: 'giving-up', why: { code, message } }, [{ kind: 'abort' }]);
}

const ignore = (move: MoveState): MoveStep => stay(move);

/** For a phase in which a change of the record is under way: it is dealt with once its outcome is known. */
const cancelLater = (move: MoveState): MoveStep => stay({ ...move, why: cancelled(move) });
const cancelled = ({ kind, target }: MoveState) => ({
  code: 'CANCELLED',
  message: `the ${kind} to ${target} was cancelled`,
});
const giveUpCancelled = (move: MoveState): MoveStep => {
  const { code, message } = cancelled(move);
  return giveUp(move, code, message);
};

/** Nothing has been changed yet, so that stopping is all there is to do. */
const stopCancelled = (move: MoveState): MoveStep => {
  const { code, message } = cancelled(move);
  return fail(move, code, `${message}; nothing had been changed`);
};

const rememberFence = (move: MoveState, { epoch }: Of<'fenced'>): MoveStep =>
  stay({ ...move, fenced: epoch });

function refuse(move: MoveState, { code, reason }: Of<'refused'>): MoveStep {
  return fail(move, operationCode(code), reason);
}

/** The record's own words for a refusal, as operations tell them. */
function operationCode(code: string): string {
  if (code === 'moving') return 'MOVE_IN_PROGRESS';
  if (code === 'held') return 'PRIMARY_ALIVE';
  return code.toUpperCase().replaceAll('-', '_');
}

function failUnavailable(move: MoveState, { reason }: Of<'unavailable'>): MoveStep {
  return fail(move, 'CONTROL_UNAVAILABLE', reason);
}

/** The record as it is from our change on; null while what is seen may be older. */
function recordSince({ since }: MoveState, { view }: Of<'looked'>): ControlRecord | null {
  return view !== null && view.seq >= since ? view.record : null;
}

/** The move has left the record: the target took over, or somebody gave the move up. */
function leftRecord(move: MoveState, record: ControlRecord, nowMs: number): MoveStep {
  if (record.primary === move.target) {
    const deadlineMs = Math.max(move.deadlineMs, nowMs + moveLimits.promoteMs);
    return stay({ ...move, phase: 'promoting', taken: record.epoch, deadlineMs });
  }
  return fail(move, 'ABORTED', moveGone({ ...move, to: move.target }, record));
}

/** What will not pass by waiting ends it at once; the rest once its time is over. */
const targetLook: Cell<'looked'> = (move, { unready, view }, nowMs) => {
  const from = view?.record.primary ?? move.from;
  if (unready === null) {
    const deadlineMs = nowMs + moveLimits.switchoverMs;
    return stay({ ...move, from, phase: 'preparing', deadlineMs }, [{ kind: 'begin' }]);
  }
  const { code, message, passes } = unready;
  if (!passes) return fail(move, code, message);
  const waitedMs = nowMs - move.begunAtMs;
  if (waitedMs < moveLimits.switchoverTargetMs) return stay({ ...move, from });
  return fail(move, code, `${message}. Waited ${formatAge(waitedMs)} for that; nothing was changed`);
};

const drainLook: Cell<'looked'> = (move, event, nowMs) => {
  const record = recordSince(move, event);
  if (record !== null) {
    if (record.move?.id !== move.id) return leftRecord(move, record, nowMs);
    if (record.move.fork !== undefined) return stay({ ...move, phase: 'catching-up' });
  }
  if (nowMs < move.deadlineMs) return stay(move);
  return giveUp(move, 'TIMEOUT', `${move.from} did not drain within ${moveLimits.switchoverMs} ms`);
};

const catchUpLook: Cell<'looked'> = (move, event, nowMs) => {
  const record = recordSince(move, event);
  if (record !== null && record.move?.id !== move.id) return leftRecord(move, record, nowMs);
  if (nowMs < move.deadlineMs) return stay(move);
  return giveUp(move, 'TIMEOUT', `${move.target} did not take over within ${moveLimits.switchoverMs} ms`);
};

const promoteLook: Cell<'looked'> = (move, event, nowMs) => {
  const record = recordSince(move, event);
  if (move.taken === null && record !== null && record.move?.id !== move.id)
    return leftRecord(move, record, nowMs);
  if (move.taken !== null) {
    // A gateway may have told of an earlier reign of this region, so the epoch has to fit.
    if (event.writing !== null && event.writing >= move.taken) {
      const tookMs = Math.round(nowMs - (move.heldAtMs ?? move.begunAtMs));
      return stay({ ...move, phase: 'ended', outcome: { kind: 'done', epoch: event.writing, tookMs } });
    }
  }
  if (nowMs < move.deadlineMs) return stay(move);
  if (move.kind === 'switchover')
    return fail(move, 'TIMEOUT', `${move.target} is primary, but its gateway does not write yet`);
  // The old region may have its pen back while nobody has taken it; a target that is alive goes on instead.
  if (move.isGuarded && move.taken === null)
    return giveUp(move, 'TIMEOUT', `${move.target} did not take over within ${moveLimits.failoverMs} ms`);
  const going = `no gateway of ${move.target} writes yet; it goes on trying`;
  return fail(move, 'TIMEOUT', `${move.from} is deposed, and ${going}`);
};

const waitLook: Cell<'looked'> = (move, event, nowMs) => {
  const { view, better } = event;
  if (view === null) return fail(move, 'NO_CONTROL_RECORD', 'no control record was ever seen here');
  const { record } = view;
  if (record.primary === move.target)
    return fail(move, 'ALREADY_PRIMARY', `${move.target} is the primary region already`);
  const pull: readonly MoveEffect[] = better === null ? [] : [{ kind: 'pull', from: better }];
  if (event.lapsed || isHolderFenced(record, move.fenced)) {
    const waited: MoveState = { ...move, from: record.primary };
    if (better === null) return stay({ ...waited, phase: 'deposing' }, [{ kind: 'depose' }]);
    return stay({ ...waited, phase: 'pulling', pulled: { vdl: event.vdl, atMs: nowMs } }, pull);
  }
  const renewals = renewalsSeen(move.renewals, view);
  if (isAlive(renewals)) {
    return fail(
      move,
      'PRIMARY_ALIVE',
      `the writer of ${record.primary} renews its lease; use a switchover, or stop that region first`,
    );
  }
  if (nowMs >= move.deadlineMs)
    return fail(move, 'TIMEOUT', `the lease did not lapse within ${moveLimits.failoverMs} ms`);
  // A writer that renews is not lost, and sealing it would end a healthy reign.
  const seal: readonly MoveEffect[] =
    event.stillMs < moveLimits.sealAfterMs
      ? []
      : [{ kind: 'seal', region: record.primary, epoch: record.epoch }];
  return stay({ ...move, renewals, from: record.primary }, [...seal, ...pull]);
};

/** A pull that stands still ends: the judgement on the record's revision then says what is missing. */
const pullLook: Cell<'looked'> = (move, event, nowMs) => {
  const pulled =
    move.pulled === null || event.vdl > move.pulled.vdl ? { vdl: event.vdl, atMs: nowMs } : move.pulled;
  const stands = nowMs - pulled.atMs >= moveLimits.pullStillMs || nowMs >= move.deadlineMs;
  if (event.better === null || stands) return stay({ ...move, phase: 'deposing' }, [{ kind: 'depose' }]);
  return stay({ ...move, pulled }, [{ kind: 'pull', from: event.better }]);
};

const promoteFrom = (move: MoveState, { view }: Of<'changed'>): MoveStep => {
  const begun: MoveState = { ...move, phase: 'promoting', since: view.seq };
  return move.why === null ? stay(begun) : giveUpCancelled(begun);
};

/**
 * Held by somebody else than was waited for, or renewed once more: that lease has to lapse, too. Or the primary was heard a moment ago,
 * holding more: it is heard again, or known to be silent, soon.
 */
const deposeRefused: Cell<'refused'> = (move, event, nowMs) => {
  if (move.why !== null) return stopCancelled(move);
  if ((event.code === 'held' || event.code === 'primary-silent') && nowMs < move.deadlineMs)
    return stay({ ...move, phase: 'waiting-for-lease', renewals: null });
  return refuse(move, event);
};

/** The move may have completed, or been given up, before our change was there. */
const abortRefused: Cell<'refused'> = (move) => {
  const { why } = move;
  const gone = 'the move had ended by then: the status tells where the primary is';
  return fail(move, why?.code ?? 'ABORTED', `${why?.message ?? 'given up'}; ${gone}`);
};

/** Until it is changed back, the move is in the record, and the old writer may be held: it is tried for as long as a failover is. */
const abortUnavailable: Cell<'unavailable'> = (move, { reason }, nowMs) => {
  const { why } = move;
  if (nowMs < move.deadlineMs + moveLimits.failoverMs) return stay(move, [{ kind: 'abort' }]);
  return fail(
    move,
    why?.code ?? 'ABORTED',
    `${why?.message ?? 'given up'}; and giving the move up failed: ${reason}`,
  );
};

const aborted: Cell<'changed'> = (move, { view }) => {
  const { why } = move;
  const gone = moveGone({ ...move, to: move.target }, view.record);
  return fail(move, why?.code ?? 'ABORTED', `${why?.message ?? 'given up'}; ${gone}`);
};

/** While the change back is under way the target may take over all the same. */
const giveUpLook: Cell<'looked'> = (move, event, nowMs) => {
  const record = recordSince(move, event);
  return record !== null && record.primary === move.target ? leftRecord(move, record, nowMs) : stay(move);
};

const table: Table = {
  'waiting-for-target': {
    looked: targetLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: ignore,
    cancelled: stopCancelled,
  },
  preparing: {
    looked: ignore,
    changed: (move, { view }, nowMs) => {
      const begun: MoveState = { ...move, phase: 'draining', since: view.seq, heldAtMs: nowMs };
      return move.why === null ? stay(begun) : giveUpCancelled(begun);
    },
    refused: refuse,
    unavailable: failUnavailable,
    fenced: ignore,
    cancelled: cancelLater,
  },
  draining: {
    looked: drainLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: ignore,
    cancelled: giveUpCancelled,
  },
  'catching-up': {
    looked: catchUpLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: ignore,
    cancelled: giveUpCancelled,
  },
  'waiting-for-lease': {
    looked: waitLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: rememberFence,
    cancelled: stopCancelled,
  },
  pulling: {
    looked: pullLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: rememberFence,
    cancelled: stopCancelled,
  },
  deposing: {
    looked: ignore,
    changed: promoteFrom,
    refused: deposeRefused,
    unavailable: failUnavailable,
    fenced: rememberFence,
    cancelled: cancelLater,
  },
  promoting: {
    looked: promoteLook,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: ignore,
    // R7 holds for a failover, too: until the target has taken over, the old region may have its pen back.
    cancelled: (move) => (move.taken === null ? giveUpCancelled(move) : stay(move)),
  },
  'giving-up': {
    looked: giveUpLook,
    changed: aborted,
    refused: abortRefused,
    unavailable: abortUnavailable,
    fenced: ignore,
    cancelled: ignore,
  },
  ended: {
    looked: ignore,
    changed: ignore,
    refused: ignore,
    unavailable: ignore,
    fenced: ignore,
    cancelled: ignore,
  },
};
