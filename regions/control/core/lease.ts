/**
 * The writer's lease, seen from both sides, each on its own monotonic clock and neither comparing it with the other's.
 *
 * R24 The holder may acknowledge only while `now < (time before it sent its last acknowledged renewal) + ttl - margin`;
 *     a renewal nobody acknowledged counts as lost. Once lapsed, a reign is over: it never becomes valid again.
 *     A renewal sent again at the same revision is the same change, which the first sending may have made: when it is
 *     acknowledged at last, the time of the first sending counts (`writer-role.ts`).
 * R25 A challenger may challenge a revision only `ttl + margin` after it first saw that revision, and then has to win
 *     the compare-and-set on exactly that revision, which fails if the holder renewed in between.
 *
 * Why no two are valid at once: the revision was written before the challenger saw it and sent before it was written, so
 * the challenger's wait starts later than the holder's and is 2 x margin longer. That survives clocks that run up to
 * `margin / ttl` fast or slow (13 % with the defaults). A machine that was suspended may have stopped its monotonic
 * clock altogether; against that, and against a stalled event loop, stand the check on the write path and the epoch
 * that fences at the storage nodes.
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
 * A NATS bucket whose leader dies accepts writes again after 4 to 9 s (a constant of its elections), so the time a
 * holder can go without a renewal, `ttl - margin - renew`, is what decides whether an election costs the reign.
 */
export const defaultLeaseLimits: LeaseLimits = {
  renewMs: 3_000,
  ttlMs: 15_000,
  marginMs: 2_000,
  retryMs: 500,
  attemptMs: 1_500,
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
    ttlMs - marginMs >= 2 * renewMs,
    `lease ttlMs - marginMs survives one lost renewal of ${renewMs} ms`,
  );
  assert(
    marginMs * 100 >= ttlMs,
    `lease marginMs (${marginMs}) covers clocks that differ by 1 % over ${ttlMs} ms`,
  );
  assert(attemptMs <= renewMs / 2, `lease attemptMs (${attemptMs}) is at most half of renewMs (${renewMs})`);
  assert(retryMs <= renewMs, `lease retryMs (${retryMs}) is at most renewMs (${renewMs})`);
  return limits;
}

/** The largest fraction by which clocks may run fast or slow with R24 and R25 still excluding two valid holders. */
export const toleratedDrift = (limits: LeaseLimits): number => limits.marginMs / limits.ttlMs;

export type HolderEvent =
  /** The wake-up asked for, or any other moment: cheap and always allowed. */
  | { readonly kind: 'tick' }
  /** The compare-and-set of the attempt was won. */
  | { readonly kind: 'renewed'; readonly attempt: number }
  /** It failed, timed out or lost against a change that left us the holder: read again and retry. */
  | { readonly kind: 'unsettled'; readonly attempt: number }
  /** The record names somebody else, or nobody. */
  | { readonly kind: 'deposed' }
  /** We are about to give the lease back; nothing is acknowledged after this. */
  | { readonly kind: 'releasing' };

export type LapseReason = 'expired' | 'deposed' | 'released';

export type HolderEffect =
  /** Read if need be, then compare-and-set a renewal, and report under this number. */
  | { readonly kind: 'renew'; readonly attempt: number }
  /** Call `step` with a tick at this time; replaces any wake-up asked for before. */
  | { readonly kind: 'wake'; readonly at: number }
  /** The reign is over. Emitted once; nothing follows. */
  | { readonly kind: 'lapsed'; readonly reason: LapseReason };

/** Attempts whose outcome is awaited at most; older ones are forgotten, which can only shorten the lease. */
const maxAttempts = 8;

/** One reign, from a won acquisition to its end. */
export class HolderLease {
  readonly #limits: LeaseLimits;
  readonly #sentAt = new Map<number, number>();
  #validUntil: number;
  #nextAttemptAt: number;
  #giveUpAt = Number.POSITIVE_INFINITY;
  #attempt = 0;
  #ended: boolean = false;

  /** `acquireSentAt`: this process's monotonic clock before it sent the acquisition that was acknowledged. */
  constructor(limits: LeaseLimits, acquireSentAt: number) {
    this.#limits = checkLeaseLimits(limits);
    this.#validUntil = acquireSentAt + limits.ttlMs - limits.marginMs;
    this.#nextAttemptAt = acquireSentAt + limits.renewMs;
  }

  /** Whether a write may be acknowledged at `now` (R24). For the write path: one comparison. */
  isValid(now: number): boolean {
    return !this.#ended && now < this.#validUntil;
  }

  /** The time of the holder's clock from which it may acknowledge nothing, unless a renewal is acknowledged before. */
  get validUntil(): number {
    return this.#validUntil;
  }

  /** Tells the lease what happened; answers what to do. After `lapsed`, always nothing. */
  step(event: HolderEvent, now: number): readonly HolderEffect[] {
    if (this.#ended) return [];
    if (event.kind === 'deposed') return this.#end('deposed');
    if (event.kind === 'releasing') return this.#end('released');
    if (now >= this.#validUntil) return this.#end('expired');
    if (event.kind === 'renewed') this.#renewed(event.attempt);
    if (event.kind === 'unsettled') this.#unsettled(event.attempt, now);
    return this.#proceed(now);
  }

  #renewed(attempt: number): void {
    const sentAt = this.#sentAt.get(attempt);
    if (sentAt === undefined) return;
    for (const known of this.#sentAt.keys()) if (known <= attempt) this.#sentAt.delete(known);
    this.#validUntil = Math.max(this.#validUntil, sentAt + this.#limits.ttlMs - this.#limits.marginMs);
    this.#nextAttemptAt = Math.max(this.#nextAttemptAt, sentAt + this.#limits.renewMs);
    this.#giveUpAt = Number.POSITIVE_INFINITY;
  }

  #unsettled(attempt: number, now: number): void {
    if (attempt !== this.#attempt || this.#giveUpAt === Number.POSITIVE_INFINITY) return;
    this.#giveUpAt = Number.POSITIVE_INFINITY;
    this.#nextAttemptAt = now + this.#limits.retryMs;
  }

  #proceed(now: number): readonly HolderEffect[] {
    const effects: HolderEffect[] = [];
    if (now >= this.#giveUpAt) this.#unsettled(this.#attempt, now);
    if (this.#giveUpAt === Number.POSITIVE_INFINITY && now >= this.#nextAttemptAt) {
      effects.push({ kind: 'renew', attempt: this.#begin(now) });
    }
    const at = Math.min(
      this.#giveUpAt === Number.POSITIVE_INFINITY ? this.#nextAttemptAt : this.#giveUpAt,
      this.#validUntil,
    );
    effects.push({ kind: 'wake', at });
    return effects;
  }

  #begin(now: number): number {
    this.#attempt += 1;
    this.#sentAt.set(this.#attempt, now);
    this.#sentAt.delete(this.#attempt - maxAttempts);
    this.#giveUpAt = now + this.#limits.attemptMs;
    return this.#attempt;
  }

  #end(reason: LapseReason): readonly HolderEffect[] {
    this.#ended = true;
    this.#sentAt.clear();
    return [{ kind: 'lapsed', reason }];
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
