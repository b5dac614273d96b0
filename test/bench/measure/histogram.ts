/**
 * Latency histogram with logarithmic buckets, after HdrHistogram: every power of two is cut into 128, so that a value is
 * kept to better than 1 %, whatever its size, in a few kilobytes and without allocation while recording.
 */
const subBits = 7;
const valueMaxUs = 2 ** 31 - 1;
const bucketCount = ((31 - subBits) << subBits) + (1 << (subBits + 1));

/** Non-empty buckets as `[index, count]`, and the exact maximum: what travels between processes. */
export interface HistogramData {
  readonly buckets: readonly (readonly [number, number])[];
  readonly maxUs: number;
}

function bucketOf(us: number): number {
  const shift = Math.max(0, 31 - Math.clz32(us) - subBits);
  return (shift << subBits) + (us >>> shift);
}

/** The middle of a bucket, microseconds. */
function middleOf(bucket: number): number {
  const shift = Math.max(0, (bucket >> subBits) - 1);
  const low = (bucket - (shift << subBits)) * 2 ** shift;
  return low + (2 ** shift - 1) / 2;
}

export class Histogram {
  private readonly counts = new Float64Array(bucketCount);
  private total = 0;
  private max = 0;

  /** Values of several rounds as one. */
  static of(parts: readonly HistogramData[]): Histogram {
    const histogram = new Histogram();
    for (const part of parts) histogram.add(part);
    return histogram;
  }

  get count(): number {
    return this.total;
  }

  get maxUs(): number {
    return this.max;
  }

  /** @param us not negative; beyond 35 minutes it counts as 35 minutes. */
  record(us: number): void {
    const value = Math.min(valueMaxUs, Math.round(us));
    const bucket = bucketOf(value);
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.total += 1;
    if (value > this.max) this.max = value;
  }

  add(data: HistogramData): void {
    for (const [bucket, count] of data.buckets) {
      this.counts[bucket] = (this.counts[bucket] ?? 0) + count;
      this.total += count;
    }
    this.max = Math.max(this.max, data.maxUs);
  }

  /** The value that `quantile` (0 to 1) of all values do not exceed, microseconds; 0 when there are none. */
  quantileUs(quantile: number): number {
    const rank = Math.max(1, Math.ceil(quantile * this.total));
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.counts[bucket] ?? 0;
      if (seen >= rank) return Math.min(this.max, middleOf(bucket));
    }
    return 0;
  }

  data(): HistogramData {
    const buckets: [number, number][] = [];
    this.counts.forEach((count, bucket) => {
      if (count > 0) buckets.push([bucket, count]);
    });
    return { buckets, maxUs: this.max };
  }
}
