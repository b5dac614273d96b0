/**
 * How far the wall clock is ahead of the monotonic one. A process that reads both once, when it starts, keeps what that one reading
 * was wrong by: a thread that had to wait between the two, a machine whose clock was set right later, or that slept. So every
 * reading counts. Each says between which two values the offset lies, as the wall clock tells whole milliseconds only; readings
 * that agree narrow it down to microseconds, and one that contradicts the others says that the wall clock was moved.
 * Pure: the owner reads the clocks.
 */
export class WallOffset {
  private leastMs: number;
  private mostMs: number;
  private nowMs: number;

  /** @param offsetMs a first guess. */
  constructor(offsetMs: number) {
    this.nowMs = offsetMs;
    this.leastMs = Number.NEGATIVE_INFINITY;
    this.mostMs = Number.POSITIVE_INFINITY;
  }

  /** Milliseconds to add to the monotonic clock. Moves no further than readings ask for, so that spans keep their lengths. */
  get offsetMs(): number {
    return this.nowMs;
  }

  /** Milliseconds between the least and the greatest value that no reading contradicts. */
  get uncertainMs(): number {
    return this.mostMs - this.leastMs;
  }

  /**
   * The wall clock told `wallMs`, whole milliseconds and rounded down, at a moment from `beforeMs` to `afterMs` of the monotonic
   * clock.
   */
  note(beforeMs: number, wallMs: number, afterMs: number): void {
    const leastMs = wallMs - afterMs;
    const mostMs = wallMs + 1 - beforeMs;
    const moved = leastMs > this.mostMs || mostMs < this.leastMs;
    this.leastMs = moved ? leastMs : Math.max(leastMs, this.leastMs);
    this.mostMs = moved ? mostMs : Math.min(mostMs, this.mostMs);
    this.nowMs = Math.min(Math.max(this.nowMs, this.leastMs), this.mostMs);
  }
}

/** What a wall clock is read from. */
export interface Clocks {
  /** Milliseconds, with a fraction, that only go forward. */
  readonly monotonicMs: () => number;
  /** Whole milliseconds since the Unix epoch, rounded down. */
  readonly wallMs: () => number;
  /** A first guess of their difference. */
  readonly offsetMs: number;
}

/** The first readings go on until the offset is known to so many milliseconds, but not for longer than `settleMs`. */
const settledMs = 0.02;
const settleMs = 3;

/**
 * @returns what tells whole microseconds since the Unix epoch. It agrees with that of other processes and threads of the machine to
 * some ten microseconds, and goes where the machine's clock is moved.
 */
export function wallClock({ monotonicMs, wallMs, offsetMs }: Clocks): () => number {
  const offset = new WallOffset(offsetMs);
  const read = (): number => {
    const beforeMs = monotonicMs();
    const toldMs = wallMs();
    const afterMs = monotonicMs();
    offset.note(beforeMs, toldMs, afterMs);
    return afterMs;
  };
  const untilMs = monotonicMs() + settleMs;
  while (offset.uncertainMs > settledMs && read() < untilMs);
  return () => Math.round((read() + offset.offsetMs) * 1_000);
}
