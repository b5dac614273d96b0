/** What the writer role is told and what it asks for. */
import type { Epoch, Lsn, RegionId } from '../../../../storage/core.ts';
import type { ControlView, ControlWrite } from '../../core/control-port.ts';
import type { ControlRecord } from '../../core/control-record.ts';
import type { Rewind } from '../../core/rewind-record.ts';

export type WriterPhase = 'reading' | 'claiming' | 'recovering' | 'writing' | 'draining' | 'releasing';

/** Why a reign ended. */
export type EndReason =
  | 'deposed'
  | 'fenced'
  | 'quorum-lost'
  | 'engine-lost'
  | 'drained'
  /** It drained, and goes back in history under the next epoch. */
  | 'rewound'
  | 'recovery-failed'
  | 'shutdown';

export type RoleEvent =
  | { readonly kind: 'record'; readonly view: ControlView }
  /** A look at the record brought none. */
  | { readonly kind: 'unseen' }
  | { readonly kind: 'written'; readonly write: ControlWrite }
  | { readonly kind: 'recovered'; readonly epoch: Epoch; readonly vdl: Lsn }
  | { readonly kind: 'recoveryFailed'; readonly epoch: Epoch }
  /** Too few nodes answered in time. `mayHaveForked`: a fork request may have left, and with it the epoch is spent. */
  | { readonly kind: 'recoveryTimedOut'; readonly epoch: Epoch; readonly mayHaveForked: boolean }
  | { readonly kind: 'fenced'; readonly epoch: Epoch }
  | { readonly kind: 'quorumLost'; readonly epoch: Epoch }
  /** The SQL engine that writes is stuck or has died: a new one has to begin at what is durable. */
  | { readonly kind: 'engineLost'; readonly epoch: Epoch }
  /** Nothing is open any more and everything committed is durable. */
  | { readonly kind: 'drained'; readonly epoch: Epoch; readonly lsn: Lsn }
  /**
   * What is durable in this region has moved: a switchover's target waits for it. `head` is the epoch whose path that
   * is: durable redo of another path than the drained writer's counts for nothing.
   */
  | { readonly kind: 'regionVdl'; readonly head: Epoch; readonly vdl: Lsn }
  /** Enough of this region's nodes are sealed against `reign`, which is another gateway's: its lease need not be waited for (R28, R78). */
  | { readonly kind: 'holderFenced'; readonly reign: Epoch }
  /** How many of this region's storage nodes answer now. */
  | { readonly kind: 'nodes'; readonly up: number }
  /** The process is about to end and wants nobody to wait for its lease. */
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'tick' };

export type RoleEffect =
  | { readonly kind: 'write'; readonly expectedSeq: number; readonly record: ControlRecord }
  /** Look at the record again: what we know of it is out of date. */
  | { readonly kind: 'read' }
  /** `rewind` is what the record asks for, which this recovery makes on its way (S41). */
  | { readonly kind: 'recover'; readonly epoch: Epoch; readonly atLeast: Lsn; readonly rewind?: Rewind }
  | { readonly kind: 'open'; readonly epoch: Epoch }
  /** Hold new writes, let open ones finish; answer with `drained`. For a rewind `to` is null. */
  | { readonly kind: 'drain'; readonly epoch: Epoch; readonly to: RegionId | null }
  /** The move was given up: go on writing. */
  | { readonly kind: 'resume'; readonly epoch: Epoch }
  /** The lease has lapsed: answers wait, and new writes with them, until `reopen` or `close`. */
  | { readonly kind: 'suspend'; readonly epoch: Epoch }
  /** The lease is valid again, after it had lapsed for `afterMs`: answers may leave. */
  | { readonly kind: 'reopen'; readonly epoch: Epoch; readonly afterMs: number }
  /** Stop acknowledging at once; what is in flight is unknown to its clients. */
  | { readonly kind: 'close'; readonly epoch: Epoch; readonly reason: EndReason };

export type ChangeKind = 'claim' | 'renew' | 'release' | 'abort' | 'endRewind';

/** A change of the record on its way. */
export interface Pending {
  readonly what: ChangeKind;
  readonly record: ControlRecord;
  readonly expectedSeq: number;
  /** When this change was first sent at this revision, which may be the sending that made it (R24). */
  readonly sentAtMs: number;
  /** The lease's number for the renewal. */
  readonly attempt: number;
}

/** How the lease is given back: with the word that everything is drained, which lets a switchover go on, or without. */
export type GiveBack = { readonly kind: 'drained'; readonly lsn: Lsn } | { readonly kind: 'given-up' };
