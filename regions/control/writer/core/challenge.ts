/**
 * When a gateway challenges the lease of another gateway of its region. R25 says when it may. Beyond that, a holder that
 * cannot renew because nobody can change the record is not challenged for it: during an election of the bucket's leader
 * every lease lapses. So the record has to be readable for a while first, in which a holder that lives renews.
 *
 * This is courtesy and saves a recovery; safety is R25 and the compare-and-set alone. A failover is asked for by somebody
 * who has decided already, and does without.
 */
import { ChallengerTimer, type LeaseLimits } from '../../core/lease.ts';

/**
 * `no`: not yet. `look`: it would be time, but the record has to be read again first; the answer is told with `saw` or
 * `unseen`. `yes`: now.
 */
export type ChallengeVerdict = 'no' | 'look' | 'yes';

export class GatewayChallenge {
  private readonly timer: ChallengerTimer;
  /** A holder tries again after `retryMs`, and learns the outcome within another `retryMs` unless the store is far. */
  private readonly graceMs: number;
  /** When the record was first and last read, in the time in which every look has brought it. */
  private readable: { readonly sinceMs: number; readonly lastMs: number } | null = null;

  constructor(limits: LeaseLimits) {
    this.timer = new ChallengerTimer(limits);
    this.graceMs = limits.renewMs;
  }

  /** A look at the record brought revision `seq`, whether that is news or not. */
  saw(seq: number, nowMs: number): void {
    this.timer.saw(seq, nowMs);
    this.readable = { sinceMs: this.readable?.sinceMs ?? nowMs, lastMs: nowMs };
  }

  /** A look brought no record, or nobody answered a change of it. */
  unseen(): void {
    this.readable = null;
  }

  /** Whether the lease recorded in revision `seq` is to be challenged at `nowMs`. */
  verdict(seq: number, nowMs: number): ChallengeVerdict {
    if (!this.timer.mayChallenge(seq, nowMs)) return 'no';
    if (this.readable === null) return 'look';
    const { sinceMs, lastMs } = this.readable;
    const isFresh = this.timer.mayChallenge(seq, lastMs);
    return isFresh && lastMs - sinceMs >= this.graceMs ? 'yes' : 'look';
  }
}
