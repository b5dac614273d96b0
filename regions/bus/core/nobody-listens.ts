/**
 * When "nobody listens" says of a process that it has gone. Pure. The server tells it at once of a process that has ended, and just so
 * of one that connects again: for that long its subscriptions are nowhere, and it lives. So it counts once it has lasted for longer
 * than connecting again takes.
 */

/** How a process that lost its connection connects again; in ms. */
export const reconnectTimes = {
  /** From one dial to the next, and what is added at random. */
  redialMs: 250,
  redialJitterMs: 100,
  /** To connect, be let in and subscribe again, as a bound for a machine under load. */
  settleMs: 150,
} as const;

/** A process that lives listens again within this time. */
export const listensAgainMs =
  reconnectTimes.redialMs + reconnectTimes.redialJitterMs + reconnectTimes.settleMs;

export class NobodyListens {
  private firstMs: number | null = null;
  private lastMs = 0;

  /** The server said that nobody listens. @param nowMs monotonic. */
  told(nowMs: number): void {
    this.firstMs ??= nowMs;
    this.lastMs = nowMs;
  }

  /** A sign of life, or nothing counts any more that was told. */
  reset(): void {
    this.firstMs = null;
  }

  /** Whether it was told over and over for longer than a living process takes. Time in which it was not told counts for nothing. */
  get isGone(): boolean {
    return this.firstMs !== null && this.lastMs - this.firstMs >= listensAgainMs;
  }
}
