/** Lets the first event of each interval through and counts the rest, so that a lasting fault fills no log. */
export class RateLimit {
  readonly #intervalMs: number;
  readonly #now: () => number;
  #nextAt = Number.NEGATIVE_INFINITY;
  #suppressed = 0;

  /** @param now monotonic milliseconds. */
  constructor(intervalMs: number, now: () => number) {
    this.#intervalMs = intervalMs;
    this.#now = now;
  }

  /** How many events were held back since the last one let through; null when this one is held back too. */
  pass(): { readonly suppressed: number } | null {
    const now = this.#now();
    if (now < this.#nextAt) {
      this.#suppressed++;
      return null;
    }
    this.#nextAt = now + this.#intervalMs;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return { suppressed };
  }
}
