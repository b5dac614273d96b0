/**
 * The clock of a drill. Its moments are those of the machine's monotonic clock, which the process of the load shares and nobody sets:
 * whatever becomes of the wall clock meanwhile, the lengths in a report are right. A moment is told as wall-clock time, to within a
 * millisecond, by how far that clock is ahead when it is told. Pure: the owner reads the clocks.
 */
import { type Clocks, WallOffset } from '../../../storage/core.ts';

export class DrillClock {
  readonly #clocks: Pick<Clocks, 'monotonicMs' | 'wallMs'>;
  readonly #offset: WallOffset;

  constructor(clocks: Pick<Clocks, 'monotonicMs' | 'wallMs'>) {
    this.#clocks = clocks;
    this.#offset = new WallOffset(clocks.wallMs() - clocks.monotonicMs());
  }

  /** This moment, in milliseconds of the monotonic clock. */
  now(): number {
    return this.#clocks.monotonicMs();
  }

  /** A moment of this clock as Unix milliseconds. */
  wallOf(atMs: number): number {
    return atMs + this.#aheadMs();
  }

  /** A moment that somebody else has told, as Unix milliseconds, as one of this clock. */
  ofWall(unixMs: number): number {
    return unixMs - this.#aheadMs();
  }

  #aheadMs(): number {
    const { monotonicMs, wallMs } = this.#clocks;
    const beforeMs = monotonicMs();
    const toldMs = wallMs();
    this.#offset.note(beforeMs, toldMs, monotonicMs());
    return this.#offset.offsetMs;
  }
}
