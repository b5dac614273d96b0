/** Rates and latencies out of totals that only rise: the last few of them are kept, and differences are taken. Pure. */
import type { LiveEvent } from './api-types.ts';

type Totals = NonNullable<LiveEvent['writes']>;

export interface WriteRates {
  /** Commits that became durable, for each second. */
  readonly commits: number;
  readonly redoBytes: number;
  /** Null while nothing was committed. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

/** A rate covers this long, so that neither one report nor one pause makes it jump. */
const rateMs = 1_000;
/** Quantiles cover longer: a second of a quiet writer holds few commits. */
const quantileMs = 3_000;
/** A writer whose word is older says nothing about now. */
const silentMs = 1_500;

interface Kept {
  readonly atMs: number;
  readonly totals: Totals;
}

export class WriteWindow {
  private kept: Kept[] = [];

  /** @returns null while nobody writes, the writer is silent, or it has said too little yet. */
  add(event: Pick<LiveEvent, 'atMs' | 'writes'>): WriteRates | null {
    const { writes } = event;
    if (writes === null || writes.ageMs > silentMs) {
      this.kept = [];
      return null;
    }
    const atMs = event.atMs - writes.ageMs;
    const last = this.kept.at(-1);
    const isSame = last?.totals.gateway === writes.gateway && last.totals.pid === writes.pid;
    if (last !== undefined && (!isSame || atMs < last.atMs)) this.kept = [];
    // The same report reaches several events.
    if (last === undefined || !isSame || atMs - last.atMs > 20) this.kept.push({ atMs, totals: writes });
    this.kept = this.kept.filter((kept) => kept.atMs >= atMs - quantileMs - rateMs);
    return this.rates();
  }

  private rates(): WriteRates | null {
    const now = this.kept.at(-1);
    const before = this.since(rateMs);
    const long = this.since(quantileMs);
    if (now === undefined || before === undefined || long === undefined || before === now) return null;
    const seconds = (now.atMs - before.atMs) / 1_000;
    const counts = now.totals.latency.map((count, at) => count - (long.totals.latency[at] ?? 0));
    return {
      commits: (now.totals.commits - before.totals.commits) / seconds,
      redoBytes: (now.totals.redoBytes - before.totals.redoBytes) / seconds,
      p50Ms: quantile(counts, now.totals.boundsMs, 0.5),
      p99Ms: quantile(counts, now.totals.boundsMs, 0.99),
    };
  }

  /** The newest that is at least so old, else the oldest. */
  private since(ms: number): Kept | undefined {
    const nowMs = this.kept.at(-1)?.atMs ?? 0;
    return this.kept.findLast(({ atMs }) => nowMs - atMs >= ms) ?? this.kept[0];
  }
}

/**
 * About where a share of the counted lies, between the bounds of its bucket as if they lay evenly in it.
 * @param counts one for each bound, and one beyond the last.
 */
export function quantile(
  counts: readonly number[],
  boundsMs: readonly number[],
  share: number,
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let below = 0;
  for (let at = 0; at < counts.length; at += 1) {
    const here = counts[at] ?? 0;
    const low = at === 0 ? 0 : (boundsMs[at - 1] ?? 0);
    const high = boundsMs[at] ?? low;
    if (below + here >= total * share && here > 0)
      return low + (high - low) * ((total * share - below) / here);
    below += here;
  }
  return boundsMs.at(-1) ?? null;
}
