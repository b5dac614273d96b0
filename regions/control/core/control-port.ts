/**
 * What the control plane promises to whoever drives a lease or a move: a record that changes only by compare-and-set (R5).
 * Callbacks, not promises, so that the simulator's twin can answer on its own clock. Implemented by
 * `../shell/control-store.ts` (JetStream) and by the simulator's twin; one conformance suite runs against both.
 */
import type { ControlRecord } from './control-record.ts';

/** A record with the revision it was read at. Compare-and-set names that revision. */
export interface ControlView {
  /** Sequence of the last change in the store; a later change has a higher one. */
  readonly seq: number;
  readonly record: ControlRecord;
}

/**
 * What a read found. A read may be stale (no released NATS server offers linearizable reads), so it is a hint about what
 * to attempt and never a proof of who writes; but one store never reads backwards.
 */
export type ControlReading =
  | { readonly kind: 'record'; readonly view: ControlView }
  /** There is no control record: the cluster was never bootstrapped, or its bucket was lost. */
  | { readonly kind: 'absent' }
  /** The bucket or its record is not one this version may work with; an operator has to look. */
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Outcome of a compare-and-set. */
export type ControlWrite =
  /**
   * The record was written at `seq`, by this call or by an earlier one with the same record and revision. Records of two
   * callers differ, because acquisitions and renewals name an incarnation and moves an id.
   */
  | { readonly kind: 'won'; readonly seq: number }
  /** The revision had changed; this record was not written and never will be. */
  | { readonly kind: 'lost' }
  /**
   * Nobody answered in time. The record may have been written, or may still be later: assume neither.
   * Attempting the same record at the same revision again is safe and settles it.
   */
  | { readonly kind: 'unknown'; readonly reason: string };

export interface ControlStore {
  /** Reads through the store's leader. Answers exactly once, within the store's read timeout. Never creates anything. */
  read(done: (reading: ControlReading) => void): void;

  /**
   * Writes `record` if nothing has changed since `expectedSeq`. Answers exactly once, within the store's write timeout.
   * A write that was answered `unknown` may still take effect afterwards.
   * @throws AssertionError when `expectedSeq` is not a sequence some read or write answered.
   */
  compareAndSet(expectedSeq: number, record: ControlRecord, done: (write: ControlWrite) => void): void;

  /**
   * Reports each newer record this process learns of, and each failure to look; in between, every poll that succeeded
   * again after a failure. A lost notification delays a report by at most the poll interval. Returns how to stop.
   */
  watch(onReading: (reading: ControlReading) => void): () => void;
}
