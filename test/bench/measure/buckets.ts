/** What a Prometheus histogram counted between two looks at it. */

/** Samples by upper bound, cumulative as they are rendered; `+Inf` is infinity. All series of the metric together. */
export type Buckets = ReadonlyMap<number, number>;

export function bucketsOf(text: string, name: string): Buckets {
  const found = new Map<number, number>();
  for (const match of text.matchAll(new RegExp(`^${name}_bucket\\{([^}]*)\\} (\\S+)$`, 'gm'))) {
    const bound = /\ble="([^"]+)"/.exec(match[1] ?? '')?.[1];
    if (bound === undefined) continue;
    const upper = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
    found.set(upper, (found.get(upper) ?? 0) + Number(match[2]));
  }
  return found;
}

/** Linear within a bucket, as PromQL's `histogram_quantile`. Null when nothing was counted; the last bound for what lies beyond it. */
export function quantileBetween(before: Buckets, after: Buckets, wanted: number): number | null {
  const counts = [...after]
    .map(([upper, count]) => ({ upper, count: count - (before.get(upper) ?? 0) }))
    .sort((a, b) => a.upper - b.upper);
  const rank = wanted * (counts.at(-1)?.count ?? 0);
  if (rank === 0) return null;
  let lower = 0;
  let below = 0;
  for (const { upper, count } of counts) {
    if (count >= rank) {
      if (upper === Number.POSITIVE_INFINITY) return lower;
      return lower + ((upper - lower) * (rank - below)) / (count - below);
    }
    lower = upper;
    below = count;
  }
  return null;
}
