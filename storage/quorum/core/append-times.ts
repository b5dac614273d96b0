/**
 * How long each storage node takes to acknowledge what the writer sends it, and whether one is far slower than the others. Four
 * nodes make a write durable, so a slow one delays nobody; it is one that a fault of another would make everybody wait for.
 *
 * S31 A node is called slow, and proposed for replacement, by comparison alone: half of its acknowledgements have taken longer
 *     than four times what the others' took, and longer than 20 ms, at every look for a minute. Where all are slow none is.
 */

/** Percentiles of one node's acknowledgements over the last minute. */
export interface AppendTime {
  readonly node: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** For how long it has been far slower than the others; 0 while it is not. */
  readonly slowMs: number;
}

export const slowLimits = {
  /** Acknowledgements that are remembered of each node. */
  samples: 512,
  /** They are forgotten after this. */
  windowMs: 60_000,
  /** With fewer nothing is said about a node. */
  samplesMin: 20,
  /** So many times the median of the other nodes. */
  factor: 4,
  /** Below this no node is slow. */
  floorMs: 20,
  /** For so long, before it is proposed for replacement. */
  afterMs: 60_000,
} as const;

interface Sample {
  readonly atMs: number;
  readonly tookMs: number;
}

export class AppendTimes {
  private readonly samples = new Map<string, Sample[]>();
  private readonly slowSinceMs = new Map<string, number>();

  /** A node has acknowledged redo. */
  acked(node: string, tookMs: number, nowMs: number): void {
    const known = this.samples.get(node) ?? [];
    this.samples.set(node, known);
    known.push({ atMs: nowMs, tookMs });
    if (known.length >= 2 * slowLimits.samples) known.splice(0, known.length - slowLimits.samples);
  }

  /** Looks, now and then. @param nodes those of the region now. */
  look(nodes: readonly string[], nowMs: number): readonly AppendTime[] {
    const times = nodes.flatMap((node) => {
      const recent = (this.samples.get(node) ?? [])
        .slice(-slowLimits.samples)
        .filter(({ atMs }) => nowMs - atMs < slowLimits.windowMs)
        .map(({ tookMs }) => tookMs)
        .sort((a, b) => a - b);
      if (recent.length < slowLimits.samplesMin) return [];
      return [{ node, p50Ms: tenths(at(recent, 0.5)), p99Ms: tenths(at(recent, 0.99)) }];
    });
    for (const node of [...this.samples.keys()])
      if (!nodes.includes(node)) {
        this.samples.delete(node);
        this.slowSinceMs.delete(node);
      }
    return times.map((time) => {
      const others = times.filter(({ node }) => node !== time.node).map(({ p50Ms }) => p50Ms);
      if (!isFarSlower(time.p50Ms, others)) this.slowSinceMs.delete(time.node);
      else if (!this.slowSinceMs.has(time.node)) this.slowSinceMs.set(time.node, nowMs);
      return { ...time, slowMs: Math.round(nowMs - (this.slowSinceMs.get(time.node) ?? nowMs)) };
    });
  }
}

/** Whether a node whose median this is stands out among nodes with those medians. */
export function isFarSlower(p50Ms: number, others: readonly number[]): boolean {
  const sorted = [...others].sort((a, b) => a - b);
  if (sorted.length < 3 || p50Ms < slowLimits.floorMs) return false;
  return p50Ms > slowLimits.factor * at(sorted, 0.5);
}

const tenths = (ms: number): number => Math.round(10 * ms) / 10;

const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
