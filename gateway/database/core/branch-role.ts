/**
 * When a gateway may write a branch, as a pure state machine. There is one lease for all branches: who holds it may take a
 * branch's next epoch, recover the branch under it and write there, as long as that reign of main lasts. So a branch needs no
 * lease of its own, and nothing happens for one that nobody writes.
 *
 * G49. A reign of a branch begins only within a reign of main of the same gateway. It ends with that at the latest, and once
 * the record names a later epoch for the branch, or no such branch.
 * G70. A reign of a branch does not begin while other regions that are heard hold more of it and send that, as long as it gets
 * less: it would fork the branch below what they hold.
 */
import { type Epoch, unreachable } from '../../../storage/core.ts';

export type BranchPhase =
  /** Others may write, or nobody does. */
  | 'reading'
  /** The next epoch of the branch is being asked for. */
  | 'claiming'
  | 'recovering'
  | 'writing';

/** What this gateway's role for main, and the newest record it has seen, say about the branch. */
export interface Pen {
  /** The reign of main that this gateway writes in; null while it writes none. */
  readonly main: Epoch | null;
  /** That reign drains for a move: nothing new begins. */
  readonly drains: boolean;
  /** The epoch that the record names for the branch; null: there is no such branch. */
  readonly head: Epoch | null;
  /** What other regions hold of the branch beyond this one, and send it; 0 when nothing is known of any. */
  readonly owedBytes: number;
}

export type BranchEvent =
  | { readonly kind: 'pen'; readonly pen: Pen }
  /** Somebody wants to write, or to know for certain what was written. */
  | { readonly kind: 'wanted' }
  /** The record now names this epoch for the branch, for this gateway. */
  | { readonly kind: 'allotted'; readonly epoch: Epoch }
  /** No epoch was allotted, as far as is known. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'recovered'; readonly epoch: Epoch }
  | { readonly kind: 'recoveryFailed'; readonly epoch: Epoch }
  /** @param mayHaveForked the same epoch cannot be tried again then (S3). */
  | { readonly kind: 'recoveryTimedOut'; readonly epoch: Epoch; readonly mayHaveForked: boolean }
  | { readonly kind: 'lost'; readonly epoch: Epoch; readonly reason: LossReason }
  | { readonly kind: 'tick' };

/** Why a reign is over although its gateway still writes main. */
export type LossReason = 'fenced' | 'quorum-lost' | 'engine-lost';

export type BranchEnd = LossReason | 'recovery-failed' | 'main-ended' | 'superseded' | 'deleted';

export type BranchEffect =
  /** Ask the control store for the branch's next epoch. */
  | { readonly kind: 'claim' }
  | { readonly kind: 'recover'; readonly epoch: Epoch }
  | { readonly kind: 'open'; readonly epoch: Epoch }
  /** Nothing is acknowledged from this moment on. */
  | { readonly kind: 'close'; readonly epoch: Epoch; readonly reason: BranchEnd };

/** What other regions hold of the branch is waited for as long as it gets less within this time. */
export const owedWaitMs = 3_000;
/** After an attempt that came to nothing, so that a branch that cannot be recovered does not burn epochs. */
const againAfterMs = 500;

export class BranchRole {
  private phaseNow: BranchPhase = 'reading';
  private pen: Pen = { main: null, drains: false, head: null, owedBytes: 0 };
  /** Since when as much has been owed as is now. */
  private owedSinceMs = 0;
  /** The reign of main under which the attempt or the reign under way began. */
  private under: Epoch | null = null;
  private epochNow: Epoch | null = null;
  private wanted = false;
  private notBeforeMs = 0;
  private effects: BranchEffect[] = [];

  get phase(): BranchPhase {
    return this.phaseNow;
  }

  /** The epoch of the reign that is being recovered or written; null otherwise. */
  get epoch(): Epoch | null {
    return this.epochNow;
  }

  /** Effects are carried out at once and in order. @param nowMs a monotonic clock. */
  step(event: BranchEvent, nowMs: number): readonly BranchEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'pen':
        if (event.pen.main !== this.pen.main || event.pen.owedBytes !== this.pen.owedBytes)
          this.owedSinceMs = nowMs;
        this.pen = event.pen;
        break;
      case 'wanted':
        this.wanted = true;
        break;
      case 'allotted':
        if (this.phaseNow === 'claiming') this.begin(event.epoch);
        break;
      case 'refused':
        if (this.phaseNow === 'claiming') this.rest(nowMs);
        break;
      case 'recovered':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow) this.open(event.epoch);
        break;
      case 'recoveryFailed':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow)
          this.end('recovery-failed', nowMs);
        break;
      case 'recoveryTimedOut':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow) this.again(event, nowMs);
        break;
      case 'lost':
        if (event.epoch === this.epochNow) this.end(event.reason, nowMs);
        break;
      case 'tick':
        break;
      default:
        unreachable(event);
    }
    this.follow(nowMs);
    return this.effects;
  }

  private follow(nowMs: number): void {
    const reason = this.whyOver;
    if (reason !== null) this.end(reason, nowMs);
    const { main, drains, head } = this.pen;
    // Whoever waits says so again; what was wanted of another reign is not.
    if (main === null) this.wanted = false;
    if (this.phaseNow !== 'reading' || !this.wanted || nowMs < this.notBeforeMs) return;
    if (main === null || drains || head === null) return;
    // G70
    if (this.pen.owedBytes > 0 && nowMs - this.owedSinceMs < owedWaitMs) return;
    this.wanted = false;
    this.under = main;
    this.phaseNow = 'claiming';
    this.effects.push({ kind: 'claim' });
  }

  /** Why the reign under way is none any more. The record may lag behind what the store has said itself. */
  private get whyOver(): BranchEnd | null {
    const { main, head } = this.pen;
    if (this.epochNow === null) return null;
    if (main !== this.under) return 'main-ended';
    if (head === null) return 'deleted';
    return head > this.epochNow ? 'superseded' : null;
  }

  private begin(epoch: Epoch): void {
    this.epochNow = epoch;
    this.phaseNow = 'recovering';
    // What began under a reign of main that is over is given up again before it has sealed anything.
    if (this.whyOver === null) this.effects.push({ kind: 'recover', epoch });
  }

  private open(epoch: Epoch): void {
    this.phaseNow = 'writing';
    this.effects.push({ kind: 'open', epoch });
  }

  private again(
    { epoch, mayHaveForked }: Extract<BranchEvent, { kind: 'recoveryTimedOut' }>,
    nowMs: number,
  ): void {
    if (mayHaveForked) this.end('recovery-failed', nowMs);
    else this.effects.push({ kind: 'recover', epoch });
  }

  private end(reason: BranchEnd, nowMs: number): void {
    if (this.epochNow !== null) this.effects.push({ kind: 'close', epoch: this.epochNow, reason });
    this.epochNow = null;
    if (reason === 'main-ended') this.phaseNow = 'reading';
    else this.rest(nowMs);
  }

  /** Whoever still wants to write says so again. */
  private rest(nowMs: number): void {
    this.phaseNow = 'reading';
    this.notBeforeMs = nowMs + againAfterMs;
  }
}
