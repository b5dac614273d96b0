/**
 * Whose turn it is on the one backend. Operations run one after the other, first come first served; a session that has a
 * transaction open, or a batch that is not synced, keeps the backend until that ends, and the others wait. Pure: the caller
 * passes the time in and acts on what is returned (G93). Who may run is W1 to W3 of `write-slot.ts`.
 */
import assert from 'node:assert/strict';
import { WriteSlot } from '../../../core/write-slot.ts';

export interface TurnLimits {
  /** An operation waits this long for its turn. */
  readonly turnWaitMs: number;
  /** A session that keeps the backend and asks nothing is ended after this long, if another waits. */
  readonly idleTransactionMs: number;
  /** Sessions that may wait. */
  readonly writeQueueMax: number;
}

/** @template O an operation */
export interface Turn<O> {
  readonly session: number;
  /** Null when the session has ended: whatever it has open is to be rolled back. */
  readonly operation: O | null;
}

/** What has waited, or idled, too long. */
export interface TurnExpiry<O> {
  /** They get no turn any more. `holderAgeMs`: how long another session has kept the backend; null when nobody did. */
  readonly late: readonly (Turn<O> & { readonly holderAgeMs: number | null })[];
  /** Whose transaction is to be rolled back; `ended` follows. */
  readonly evict: number | null;
}

export class Turns<O> {
  private readonly limits: TurnLimits;
  private readonly queues = new Map<number, (O | null)[]>();
  private slot: WriteSlot;
  /** Sessions that have the backend and something to run, at most one. */
  private ready: number | null = null;
  /** Who runs now. */
  private running: number | null = null;
  /** Whose transaction or batch was open after its last operation. */
  private keeper: number | null = null;

  constructor(limits: TurnLimits) {
    this.limits = limits;
    this.slot = this.newSlot();
  }

  private newSlot(): WriteSlot {
    return new WriteSlot({
      queueTimeoutMs: this.limits.turnWaitMs,
      idleTimeoutMs: this.limits.idleTransactionMs,
      ageTimeoutMs: Number.POSITIVE_INFINITY,
      queueMax: this.limits.writeQueueMax,
    });
  }

  /** Nobody runs, waits, or keeps the backend. */
  get isIdle(): boolean {
    return this.running === null && this.queues.size === 0;
  }

  /** A session keeps the backend between two of its operations, or runs. */
  get isKept(): boolean {
    return this.running !== null || this.keeper !== null;
  }

  /** Whether a session waits, runs, or keeps the backend. */
  knows(session: number): boolean {
    return this.queues.has(session);
  }

  /** Takes an operation. @returns false when too many sessions wait: it gets no turn. */
  post(session: number, operation: O, nowMs: number): boolean {
    return this.add(session, operation, nowMs);
  }

  /** The session ends after what it has posted. */
  close(session: number, nowMs: number): void {
    // One that waits for nothing and keeps nothing is not known here.
    if (this.queues.has(session)) this.add(session, null, nowMs);
  }

  private add(session: number, operation: O | null, nowMs: number): boolean {
    const queue = this.queues.get(session);
    if (queue !== undefined) {
      queue.push(operation);
      if (this.slot.holds(session) && this.running !== session) this.resume(session);
      return true;
    }
    this.queues.set(session, [operation]);
    return this.request(session, nowMs);
  }

  private resume(session: number): void {
    this.slot.busy(session);
    this.ready = session;
  }

  private request(session: number, nowMs: number): boolean {
    switch (this.slot.request(session, nowMs)) {
      case 'granted':
        this.ready = session;
        return true;
      case 'queued':
        return true;
      default:
        this.queues.delete(session);
        return false;
    }
  }

  /** The next to run, until `ended` says what has become of it; null when nobody may. */
  next(): Turn<O> | null {
    const session = this.ready;
    if (session === null || this.running !== null) return null;
    const operation = this.queues.get(session)?.shift();
    assert(operation !== undefined, 'W1: who has the backend has something to run');
    this.ready = null;
    this.running = session;
    return { session, operation };
  }

  /**
   * The operation has run, or the transaction of a session was rolled back for it.
   * @param keeps the session has a transaction open, or a batch that is not synced
   */
  ended(session: number, keeps: boolean, nowMs: number): void {
    if (this.running === session) this.running = null;
    const queue = this.queues.get(session);
    if (queue === undefined || !this.slot.holds(session)) return;
    this.keeper = keeps ? session : null;
    if (keeps) {
      if (queue.length > 0) this.resume(session);
      else this.slot.idle(session, nowMs);
      return;
    }
    if (this.ready === session) this.ready = null;
    this.grant(this.slot.release(session, nowMs));
    if (queue.length === 0) this.queues.delete(session);
    else this.request(session, nowMs); // Behind those who have waited longer.
  }

  private grant(session: number | null): void {
    if (session !== null) this.ready = session;
  }

  /** While blocked nobody new is let in; who keeps the backend goes on. */
  setBlocked(blocked: boolean, nowMs: number): void {
    this.grant(this.slot.setBlocked(blocked, nowMs));
  }

  /** Finds what has waited, or idled, too long. */
  expire(nowMs: number): TurnExpiry<O> {
    const { timedOut, evict } = this.slot.expire(nowMs);
    const late = timedOut.flatMap(({ owner, holderAgeMs }) => {
      const queue = this.queues.get(owner) ?? [];
      this.queues.delete(owner);
      return queue.map((operation) => ({ session: owner, operation, holderAgeMs }));
    });
    return { late, evict: evict?.owner ?? null };
  }

  /**
   * Takes back what waits behind a session that keeps the backend and has asked nothing for `idleMs`.
   * @param may whether an operation can be run elsewhere
   * @returns those that get no turn here
   */
  withdraw(idleMs: number, may: (operation: O) => boolean, nowMs: number): readonly O[] {
    if (this.keeper === null || this.slot.idleMs(nowMs) < idleMs) return [];
    const withdrawn: O[] = [];
    for (const [session, queue] of this.queues) {
      const [operation] = queue;
      const isOne = queue.length === 1 && operation !== undefined && operation !== null;
      if (!isOne || this.slot.holds(session) || !may(operation)) continue;
      this.slot.cancel(session);
      this.queues.delete(session);
      withdrawn.push(operation);
    }
    return withdrawn;
  }

  /** When `expire` has something to find at the earliest; null when nobody waits. */
  nextDeadline(): number | null {
    return this.slot.nextDeadline();
  }

  /** Everything is given up. @returns what had not had its turn, and who kept the backend. */
  reset(): { readonly waiting: readonly Turn<O>[]; readonly kept: number | null } {
    const waiting: Turn<O>[] = [];
    let kept: number | null = null;
    for (const [session, queue] of this.queues) {
      if (this.slot.holds(session)) kept = session;
      for (const operation of queue) waiting.push({ session, operation });
    }
    this.queues.clear();
    this.slot = this.newSlot();
    this.ready = null;
    this.running = null;
    this.keeper = null;
    return { waiting, kept };
  }
}
