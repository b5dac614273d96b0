/**
 * How far another region's wall clock is ahead of ours, from timestamps that ride on messages anyway (RFC 5905,
 * section 8). The exchange with the shortest round trip says most, so the best of the recent ones is used.
 */
const samplesKept = 16;

/** One exchange: t0 we sent, t1 they received, t2 they sent, t3 we received; microseconds, t1 and t2 by their clock. */
export interface ClockExchange {
  readonly t0: number;
  readonly t1: number;
  readonly t2: number;
  readonly t3: number;
}

export class ClockOffset {
  private readonly samples: { readonly offsetUs: number; readonly roundTripUs: number }[] = [];

  add({ t0, t1, t2, t3 }: ClockExchange): void {
    const roundTripUs = t3 - t0 - (t2 - t1);
    if (!Number.isFinite(roundTripUs) || roundTripUs < 0) return;
    this.samples.push({ offsetUs: (t1 - t0 + (t2 - t3)) / 2, roundTripUs });
    if (this.samples.length > samplesKept) this.samples.shift();
  }

  /** Their clock minus ours, in microseconds; 0 before the first exchange. */
  get offsetUs(): number {
    let best: { readonly offsetUs: number; readonly roundTripUs: number } | null = null;
    for (const sample of this.samples)
      if (best === null || sample.roundTripUs < best.roundTripUs) best = sample;
    return best?.offsetUs ?? 0;
  }

  /** Half the shortest round trip: the offset is no further off than this. */
  get uncertaintyUs(): number {
    return this.samples.length === 0
      ? Number.POSITIVE_INFINITY
      : Math.min(...this.samples.map((s) => s.roundTripUs)) / 2;
  }
}
