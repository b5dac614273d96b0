/**
 * Who may write. The engine has one writer at a time; statements that need to write queue here, first come first served,
 * instead of failing with SQLITE_BUSY. Pure: the caller passes the time in and acts on what is returned.
 *
 * W1. At most one owner holds the slot.
 * W2. Owners are granted in the order in which they asked.
 * W3. A holder is evicted only between its statements, and only while another waits.
 */
import assert from 'node:assert/strict';

export interface WriteSlotLimits {
  /** A statement waits this long for the slot, then fails with SQLITE_BUSY. */
  readonly queueTimeoutMs: number;
  /** A write transaction without a statement for this long is rolled back, if another waits. */
  readonly idleTimeoutMs: number;
  /** A write transaction older than this is rolled back between two of its statements, if another waits. */
  readonly ageTimeoutMs: number;
  /** Statements that may wait. */
  readonly queueMax: number;
}

/** Why a waiting owner was given up. */
export interface SlotTimeout {
  readonly owner: number;
  /** How long the present holder has had the slot; null when redo waiting to become durable held everyone up. */
  readonly holderAgeMs: number | null;
}

export interface SlotExpiry {
  readonly timedOut: readonly SlotTimeout[];
  /** The holder whose transaction must be rolled back, and for what; the caller then releases the slot for it. */
  readonly evict: { readonly owner: number; readonly why: 'idle' | 'age' } | null;
}

interface Waiter {
  readonly owner: number;
  readonly since: number;
}

export class WriteSlot {
  private readonly limits: WriteSlotLimits;
  private holder: { readonly owner: number; readonly since: number; idleSince: number | null } | null = null;
  private waiters: Waiter[] = [];
  private blocked: boolean = false;

  constructor(limits: WriteSlotLimits) {
    this.limits = limits;
  }

  /** Whether a request would be granted at once. */
  get isFree(): boolean {
    return this.holder === null && this.waiters.length === 0 && !this.blocked;
  }

  holds(owner: number): boolean {
    return this.holder?.owner === owner;
  }

  /**
   * Asks for the slot. A queued owner is granted by a later `release`, `setBlocked` or `cancel`.
   * @param since when its wait began, which may have been elsewhere.
   */
  request(owner: number, now: number, since = now): 'granted' | 'queued' | 'full' {
    if (this.holder?.owner === owner) {
      this.holder.idleSince = null;
      return 'granted';
    }
    if (this.waiters.some((waiter) => waiter.owner === owner))
      assert.fail(`W1: ${owner} waits for the slot already`);
    if (this.isFree) {
      this.holder = { owner, since: now, idleSince: null };
      return 'granted';
    }
    if (this.waiters.length >= this.limits.queueMax) return 'full';
    this.waiters.push({ owner, since });
    return 'queued';
  }

  /** The holder has answered a statement and keeps its transaction open. */
  idle(owner: number, now: number): void {
    if (this.holder?.owner === owner) this.holder.idleSince = now;
  }

  /** The holder runs a statement again. */
  busy(owner: number): void {
    if (this.holder?.owner === owner) this.holder.idleSince = null;
  }

  /** How long the holder has asked nothing; 0 while it runs, or when nobody holds the slot. */
  idleMs(now: number): number {
    const since = this.holder?.idleSince ?? null;
    return since === null ? 0 : now - since;
  }

  /** Gives the slot back. @returns the owner granted next, or null. */
  release(owner: number, now: number): number | null {
    if (this.holder?.owner !== owner) return null;
    this.holder = null;
    return this.grantNext(now);
  }

  /** Withdraws a waiting owner. */
  cancel(owner: number): void {
    this.waiters = this.waiters.filter((waiter) => waiter.owner !== owner);
  }

  /** While blocked no one is granted: too much redo is waiting to become durable. @returns the owner granted next, or null. */
  setBlocked(blocked: boolean, now: number): number | null {
    this.blocked = blocked;
    return this.grantNext(now);
  }

  private grantNext(now: number): number | null {
    if (this.holder !== null || this.blocked) return null;
    const next = this.waiters.shift();
    if (next === undefined) return null;
    this.holder = { owner: next.owner, since: now, idleSince: null };
    return next.owner;
  }

  /** Finds what has waited, or idled, too long. */
  expire(now: number): SlotExpiry {
    const timedOut: SlotTimeout[] = [];
    const holderAgeMs = this.holder === null ? null : now - this.holder.since;
    while (this.waiters[0] !== undefined && now - this.waiters[0].since >= this.limits.queueTimeoutMs) {
      timedOut.push({ owner: this.waiters[0].owner, holderAgeMs });
      this.waiters.shift();
    }
    const { holder } = this;
    if (holder === null || holder.idleSince === null || this.waiters.length === 0)
      return { timedOut, evict: null };
    const why =
      now - holder.idleSince >= this.limits.idleTimeoutMs
        ? 'idle'
        : now - holder.since >= this.limits.ageTimeoutMs
          ? 'age'
          : null;
    return { timedOut, evict: why === null ? null : { owner: holder.owner, why } };
  }

  /** When `expire` has something to find at the earliest; null when nothing waits. */
  nextDeadline(): number | null {
    const first = this.waiters[0];
    if (first === undefined) return null;
    const queue = first.since + this.limits.queueTimeoutMs;
    const { holder } = this;
    if (holder === null || holder.idleSince === null) return queue;
    return Math.min(
      queue,
      holder.idleSince + this.limits.idleTimeoutMs,
      // A holder may have grown old before anybody waited.
      holder.since + this.limits.ageTimeoutMs,
    );
  }
}
