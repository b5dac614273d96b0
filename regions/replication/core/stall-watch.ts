/**
 * Notices what stands still: something is wanted and nothing gets on, for longer than the limit. Progress counts and never
 * age, so that a large transaction, which takes long, is not taken for one that stands. Says so once, asks for a new start
 * again and again with growing pauses, and says when things move again.
 */
import { shippingLimits } from './shipping-limits.ts';

/** What is looked at. */
export interface Standing {
  /** Something is missing that should come. */
  readonly isBehind: boolean;
  /** A number that changes whenever anything gets on. */
  readonly progress: number;
}

export type StallNews =
  | { readonly kind: 'stalled'; readonly forMs: number }
  /** Begin anew from what the other side says; `attempt` counts from 1. */
  | { readonly kind: 'rebuild'; readonly attempt: number; readonly forMs: number }
  | { readonly kind: 'recovered'; readonly afterMs: number };

export interface StallBounds {
  readonly stallAfterMs: number;
  readonly rebuildMsMax: number;
}

/** A process that has not looked for so long did not run: the other side is not blamed for that time. */
const absentAfterMs = 1_000;
/** 2 to this power is beyond any `rebuildMsMax`. */
const doublingsMax = 16;

export class StallWatch {
  private readonly bounds: StallBounds;
  private progress: number | null = null;
  /** Behind without progress since then; null when nothing is missing. */
  private stillSinceMs: number | null = null;
  private isStalled = false;
  private attempts = 0;
  private rebuildAtMs = 0;
  private lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(bounds: StallBounds = shippingLimits) {
    this.bounds = bounds;
  }

  /** How long it has stood still by now; 0 while it moves, is level, or has not stood for the limit. */
  stalledMs(nowMs: number): number {
    return this.isStalled && this.stillSinceMs !== null ? Math.max(1, nowMs - this.stillSinceMs) : 0;
  }

  /** Looks, several times a second. */
  look({ isBehind, progress }: Standing, nowMs: number): readonly StallNews[] {
    const moved = progress !== this.progress;
    const absentMs = nowMs - this.lookedAtMs;
    this.progress = progress;
    this.lookedAtMs = nowMs;
    if (!isBehind || moved || this.stillSinceMs === null) return this.moves(isBehind, nowMs);
    if (absentMs > absentAfterMs && !this.isStalled) this.stillSinceMs += absentMs;
    const forMs = nowMs - this.stillSinceMs;
    if (!this.isStalled) {
      if (forMs < this.bounds.stallAfterMs) return [];
      this.isStalled = true;
      // Beginning anew costs: what is only slow gets the same time once more.
      this.rebuildAtMs = nowMs + this.bounds.stallAfterMs;
      return [{ kind: 'stalled', forMs }];
    }
    return nowMs < this.rebuildAtMs ? [] : [this.rebuild(forMs, nowMs)];
  }

  private moves(isBehind: boolean, nowMs: number): readonly StallNews[] {
    const sinceMs = this.stillSinceMs;
    const wasStalled = this.isStalled;
    this.stillSinceMs = isBehind ? nowMs : null;
    this.isStalled = false;
    if (!wasStalled || sinceMs === null) return [];
    this.attempts = 0;
    return [{ kind: 'recovered', afterMs: nowMs - sinceMs }];
  }

  private rebuild(forMs: number, nowMs: number): StallNews {
    const { stallAfterMs, rebuildMsMax } = this.bounds;
    this.attempts += 1;
    const pauseMs = Math.min(rebuildMsMax, stallAfterMs * 2 ** Math.min(this.attempts, doublingsMax));
    this.rebuildAtMs = nowMs + pauseMs;
    return { kind: 'rebuild', attempt: this.attempts, forMs };
  }
}
