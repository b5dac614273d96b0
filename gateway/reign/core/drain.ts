/**
 * How a writer comes to rest for a switchover or a rewind, as a pure state machine. New writes wait already. Who is in the middle of a
 * transaction gets `moveLimits.drainMs` to end it; then whoever idles in one loses it; a statement that runs on is stopped
 * after `drainLimits.statementMs`. A drain is over when nobody may write any more and everything committed is durable. It is
 * over, too, and tells nothing, when its reign ends or the move is given up.
 */
import { moveLimits } from '../../../regions/core.ts';
import { unreachable } from '../../../storage/core.ts';

export const drainLimits = {
  /** A statement under way may finish within this time of a drain; then it is stopped. */
  statementMs: 4_000,
  /** A statement that cannot be stopped keeps its thread silent. After this long the thread is given up. */
  stuckMs: 1_000,
} as const;

export type DrainPhase =
  /** The engine of the reign still opens: who writes is not known yet. */
  | 'opening'
  /** Transactions may end by themselves. */
  | 'waiting'
  /** Transactions without a statement under way are lost. */
  | 'losing'
  /** Statements under way are stopped, too. */
  | 'stopping'
  | 'over';

/** What holds a drain up at this moment. */
export interface DrainView {
  /** Streams with a transaction that may write and no operation under way. */
  readonly idle: number;
  /** Streams with an operation under way that may write. */
  readonly running: number;
  /** Everything committed is durable, and its answers have left. */
  readonly isSettled: boolean;
  /** How long the thread that writes has given no sign of life, and did not wait for a CPU. */
  readonly threadStuckMs: number;
}

export type DrainEvent =
  | { readonly kind: 'opened' }
  | { readonly kind: 'look'; readonly view: DrainView }
  /** The reign is over, for whatever reason, or the move was given up. */
  | { readonly kind: 'ended' };

export type DrainEffect =
  /** Roll back the transactions of the idle streams. */
  | { readonly kind: 'loseIdle' }
  /** Stop the statements that run. */
  | { readonly kind: 'stopRunning' }
  /** Give the thread that writes up: the next reign has another one. */
  | { readonly kind: 'abandonThread' }
  | { readonly kind: 'drained'; readonly tookMs: number };

export class Drain {
  private readonly sinceMs: number;
  private readonly graceMs: number;
  private phaseNow: DrainPhase = 'opening';

  /** @param graceMs how long transactions may take to end by themselves; none where what they commit is gone with the rest. */
  constructor(nowMs: number, graceMs: number = moveLimits.drainMs) {
    this.sinceMs = nowMs;
    this.graceMs = graceMs;
  }

  get phase(): DrainPhase {
    return this.phaseNow;
  }

  /** A look every few milliseconds drives it. */
  step(event: DrainEvent, nowMs: number): readonly DrainEffect[] {
    switch (event.kind) {
      case 'opened':
        if (this.phaseNow === 'opening') this.phaseNow = 'waiting';
        return [];
      case 'look':
        return this.phaseNow === 'opening' || this.phaseNow === 'over' ? [] : this.look(event.view, nowMs);
      case 'ended':
        this.phaseNow = 'over';
        return [];
      default:
        return unreachable(event);
    }
  }

  private look(view: DrainView, nowMs: number): readonly DrainEffect[] {
    const lastedMs = nowMs - this.sinceMs;
    if (view.idle + view.running === 0 && view.isSettled) {
      this.phaseNow = 'over';
      return [{ kind: 'drained', tookMs: lastedMs }];
    }
    this.phaseNow = this.phaseAfter(lastedMs);
    const effects: DrainEffect[] = [];
    if (this.phaseNow === 'waiting') return effects;
    if (view.idle > 0) effects.push({ kind: 'loseIdle' });
    if (this.phaseNow === 'losing') return effects;
    if (view.running > 0) effects.push({ kind: 'stopRunning' });
    if (view.threadStuckMs >= drainLimits.stuckMs) effects.push({ kind: 'abandonThread' });
    return effects;
  }

  private phaseAfter(lastedMs: number): Extract<DrainPhase, 'waiting' | 'losing' | 'stopping'> {
    if (lastedMs >= drainLimits.statementMs) return 'stopping';
    return lastedMs >= this.graceMs ? 'losing' : 'waiting';
  }
}
