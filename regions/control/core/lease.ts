/**
 * The writer's lease, seen from both sides, each on its own monotonic clock and neither comparing it with the other's.
 *
 * R24 The holder may acknowledge only while `now < (time before it first sent its last acknowledged renewal) + ttl - margin`;
 *     a renewal nobody acknowledged counts as lost. Beyond that time the lease is suspended: nothing is acknowledged, and
 *     renewals go on. The next acknowledged renewal is a compare-and-set on the revision that names this holder, so nobody
 *     came between, and the lease is valid again if that renewal's own term has not passed. A renewal sent again at the
 *     same revision is the same change, which the first sending may have made: when it is acknowledged at last, the time
 *     of the first sending counts (`writer-role.ts`). It may be 40 s old, and then only the next renewal opens the gate.
 * R25 A challenger may challenge a revision only `ttl + margin` after it first saw that revision, and then has to win
 *     the compare-and-set on exactly that revision, which fails if the holder renewed in between.
 *
 * Why no two are valid at once: the revision was written before the challenger saw it and sent before it was written, so
 * the challenger's wait starts later than the holder's and is 2 x margin longer. That survives clocks that run up to
 * `margin / ttl` fast or slow (14 % with the defaults). Once the challenger has won, no renewal of the old holder can be
 * acknowledged any more, however late it is stored, so a suspended lease stays suspended. A machine that was suspended may
 * have stopped its monotonic clock altogether; against that, and against a stalled event loop, stand the check on the
 * write path and the epoch that fences at the storage nodes.
 */
import assert from 'node:assert/strict';

/** All in milliseconds. */
export interface LeaseLimits {
  /** From sending one acknowledged renewal to sending the next. */
  readonly renewMs: number;
  readonly ttlMs: number;
  /** Taken off the holder's side and added to the challenger's. */
  readonly marginMs: number;
  /** From a failed renewal to the next attempt. */
  readonly retryMs: number;
  /** An attempt nobody reported on is given up after this long. The store's write timeout must not exceed it. */
  readonly attemptMs: number;
}

/**
 * A failover waits out `ttl + margin`, so the term is short. An election of the bucket's leader lasts longer than the term
 * and costs a pause, not the reign. A compare-and-set between continents takes up to half a second: an attempt has more.
 */
export const defaultLeaseLimits: LeaseLimits = {
  renewMs: 600,
  ttlMs: 2_500,
  marginMs: 350,
  retryMs: 150,
  attemptMs: 800,
};

/** @throws AssertionError when the limits could not keep a lease, or not keep it safe. */
export function checkLeaseLimits(limits: LeaseLimits): LeaseLimits {
  const { renewMs, ttlMs, marginMs, retryMs, attemptMs } = limits;
  for (const [name, value] of Object.entries(limits)) {
    assert(
      Number.isFinite(value) && value > 0,
      `lease limit ${name} is a positive number of ms, not ${value}`,
    );
  }
  assert(ttlMs >= 3 * renewMs, `lease ttlMs (${ttlMs}) is at least three times renewMs (${renewMs})`);
  assert(
    ttlMs - marginMs > renewMs + attemptMs + retryMs,
    `lease ttlMs - marginMs survives one renewal that nobody answered for ${attemptMs} ms`,
  );
  assert(
    marginMs * 10 >= ttlMs,
    `lease marginMs (${marginMs}) covers clocks that run 10 % fast or slow over ${ttlMs} ms`,
  );
  assert(retryMs <= renewMs, `lease retryMs (${retryMs}) is at most renewMs (${renewMs})`);
  return limits;
}

/** The largest fraction by which clocks may run fast or slow with R24 and R25 still excluding two valid holders. */
export const toleratedDrift = (limits: LeaseLimits): number => limits.marginMs / limits.ttlMs;

export type HolderEvent =
  /** The wake-up asked for, or any other moment: cheap and always allowed. */
  | { readonly kind: 'tick' }
  /** The compare-and-set of the attempt was won. `sentAtMs`: when that very change was first sent at its revision. */
  | { readonly kind: 'renewed'; readonly attempt: number; readonly sentAtMs: number }
  /** It failed, timed out or lost against a change that left us the holder: read again and retry. */
  | { readonly kind: 'unsettled'; readonly attempt: number };

export type HolderEffect =
  /** Read if need be, then compare-and-set a renewal, and report under this number. */
  | { readonly kind: 'renew'; readonly attempt: number }
  /** Call `step` with a tick at this time; replaces any wake-up asked for before. */
  | { readonly kind: 'wake'; readonly at: number }
  /** The term has passed: nothing may be acknowledged until `resumed`. */
  | { readonly kind: 'suspended' }
  /** A renewal was acknowledged within its own term, `afterMs` after the last one had passed. */
  | { readonly kind: 'resumed'; readonly afterMs: number };

/** One reign, from a won acquisition to its end. */
export class HolderLease {
  readonly #limits: LeaseLimits;
  #validUntil: number;
  #suspendedSince: number | null = null;
  #nextAttemptAt: number;
  #giveUpAt = Number.POSITIVE_INFINITY;
  #attempt = 0;
  #ended: boolean = false;

  /** `acquireSentAt`: this process's monotonic clock before it first sent the acquisition that was acknowledged. */
  constructor(limits: LeaseLimits, acquireSentAt: number) {
    this.#limits = checkLeaseLimits(limits);
    this.#validUntil = acquireSentAt + limits.ttlMs - limits.marginMs;
    this.#nextAttemptAt = acquireSentAt + limits.renewMs;
  }

  /** Whether a write may be acknowledged at `now` (R24). For the write path: one comparison. */
  isValid(now: number): boolean {
    return !this.#ended && now < this.#validUntil;
  }

  /** The time of the holder's clock from which it may acknowledge nothing, unless a renewal is acknowledged. */
  get validUntil(): number {
    return this.#validUntil;
  }

  /** The reign is over, or is about to be given back: never valid again. */
  end(): void {
    this.#ended = true;
  }

  /** Tells the lease what happened; answers what to do. After `end`, nothing. */
  step(event: HolderEvent, now: number): readonly HolderEffect[] {
    if (this.#ended) return [];
    if (event.kind === 'renewed') this.#renewed(event.attempt, event.sentAtMs);
    if (event.kind === 'unsettled') this.#unsettled(event.attempt, now);
    return [...this.#look(now), ...this.#proceed(now)];
  }

  #renewed(attempt: number, sentAtMs: number): void {
    this.#validUntil = Math.max(this.#validUntil, sentAtMs + this.#limits.ttlMs - this.#limits.marginMs);
    if (attempt !== this.#attempt) return;
    this.#nextAttemptAt = Math.max(this.#nextAttemptAt, sentAtMs + this.#limits.renewMs);
    this.#giveUpAt = Number.POSITIVE_INFINITY;
  }

  #unsettled(attempt: number, now: number): void {
    if (attempt !== this.#attempt || this.#giveUpAt === Number.POSITIVE_INFINITY) return;
    this.#giveUpAt = Number.POSITIVE_INFINITY;
    this.#nextAttemptAt = now + this.#limits.retryMs;
  }

  #look(now: number): readonly HolderEffect[] {
    const since = this.#suspendedSince;
    if (now >= this.#validUntil) {
      if (since !== null) return [];
      this.#suspendedSince = this.#validUntil;
      return [{ kind: 'suspended' }];
    }
    if (since === null) return [];
    this.#suspendedSince = null;
    return [{ kind: 'resumed', afterMs: now - since }];
  }

  #proceed(now: number): readonly HolderEffect[] {
    const effects: HolderEffect[] = [];
    if (now >= this.#giveUpAt) this.#unsettled(this.#attempt, now);
    if (this.#giveUpAt === Number.POSITIVE_INFINITY && now >= this.#nextAttemptAt) {
      effects.push({ kind: 'renew', attempt: this.#begin(now) });
    }
    const at = this.#giveUpAt === Number.POSITIVE_INFINITY ? this.#nextAttemptAt : this.#giveUpAt;
    effects.push({ kind: 'wake', at: now < this.#validUntil ? Math.min(at, this.#validUntil) : at });
    return effects;
  }

  #begin(now: number): number {
    this.#attempt += 1;
    this.#giveUpAt = now + this.#limits.attemptMs;
    return this.#attempt;
  }
}

/** Watches somebody else's lease. */
export class ChallengerTimer {
  readonly #limits: LeaseLimits;
  #seq = 0;
  #seenAt = Number.NEGATIVE_INFINITY;

  constructor(limits: LeaseLimits) {
    this.#limits = checkLeaseLimits(limits);
  }

  /**
   * A revision was read; `now` is this process's monotonic clock after the read. Only a revision newer than all before
   * starts the wait anew, so stale and repeated reads change nothing. Answers when to look again.
   */
  saw(seq: number, now: number): number {
    if (seq > this.#seq) {
      this.#seq = seq;
      this.#seenAt = now;
    }
    return this.#seenAt + this.#limits.ttlMs + this.#limits.marginMs;
  }

  /** How long ago the newest revision was first seen, in ms; infinite before the first. */
  stillMs(now: number): number {
    return now - this.#seenAt;
  }

  /** Whether the lease recorded in revision `seq` may be judged lapsed at `now` (R25). */
  mayChallenge(seq: number, now: number): boolean {
    return seq === this.#seq && now >= this.#seenAt + this.#limits.ttlMs + this.#limits.marginMs;
  }
}
