/**
 * Which neighbouring runs are merged into one. A merge of (x, y] and (y, z] costs the read boundary y and nothing else.
 *
 * Three rules, in this order. Runs above the base hold at most half as many bytes as the base does, or one MiB: beyond that the
 * oldest of them go into the base until a quarter of that is left, so that the base is not written anew for every run. What of the
 * base lies beyond the end of a database that got shorter counts with them, and goes with the run that says so (S23). Four or
 * more of about one size become one, when that is at least twice as large as the largest of them: a page is written about once a
 * level. There are at most sixteen.
 */
import type { Lsn } from '../../redo/ids.ts';

const MiB = 1024 * 1024;

export const mergeBounds = {
  /** Runs of a chain. */
  runsMax: 16,
  /** Bytes above the base, as a share of the base. */
  aboveBaseShare: 0.5,
  /** Bytes above the base that are always fine. */
  aboveBaseBytesMin: MiB,
  /** Share of its bound that is left above the base by a merge into it. */
  leftShare: 0.25,
  /** Runs of a level that become one run of the next, which is so many times as large. */
  fanIn: 4,
  /** Runs up to this size are of the lowest level. */
  smallestBytes: MiB / 4,
  /** Written by merges in a second, at most. */
  bytesPerSecond: 32 * MiB,
  /** The same while a writer is busy. */
  bytesPerSecondBusy: 8 * MiB,
};

export type MergeBounds = typeof mergeBounds;

export interface MergeRun {
  readonly bytes: number;
  readonly to: Lsn;
  readonly pages: number;
  /** The fewest pages that the database had in it, where it got shorter (S23). */
  readonly endsAt: number | null;
}

/** Runs `first` to `last`, both included, become one. */
export interface Merge {
  readonly first: number;
  readonly last: number;
}

/**
 * @param runs a chain, the base first.
 * @param kept boundaries that somebody reads at, which no merge may take away; the bounds give way to them.
 * @returns null when nothing is to be merged.
 */
export function nextMerge(
  runs: readonly MergeRun[],
  kept: ReadonlySet<Lsn> = new Set(),
  bounds: MergeBounds = mergeBounds,
): Merge | null {
  /** The last run that may be merged with `first`: the one that ends at the next kept boundary. */
  const reach = (first: number): number => {
    let last = first;
    while (last < runs.length - 1 && !kept.has(runs[last]?.to as Lsn)) last += 1;
    return last;
  };
  return intoBase(runs, reach(0), bounds) ?? ofOneLevel(runs, kept, bounds) ?? ofTooMany(runs, kept, bounds);
}

/** Bytes that merges may write in a second. Where they fall behind, catching up comes first. */
export function mergeBytesPerSecond(
  runs: number,
  isBusy: boolean,
  bounds: MergeBounds = mergeBounds,
): number {
  if (runs > 2 * bounds.runsMax) return Number.POSITIVE_INFINITY;
  return isBusy && runs <= bounds.runsMax ? bounds.bytesPerSecondBusy : bounds.bytesPerSecond;
}

function intoBase(runs: readonly MergeRun[], reach: number, bounds: MergeBounds): Merge | null {
  const base = runs[0]?.bytes ?? 0;
  const limit = Math.max(bounds.aboveBaseShare * base, bounds.aboveBaseBytesMin);
  let above = runs.reduce((sum, { bytes }) => sum + bytes, 0) - base;
  const gone = goneFromBase(runs, reach);
  if (above + gone.bytes <= limit) return null;
  let last = 0;
  while (last < reach && (above > bounds.leftShare * limit || last < gone.told)) {
    last += 1;
    above -= runs[last]?.bytes ?? 0;
  }
  return last === 0 ? null : { first: 0, last };
}

/** How much of the base is at least beyond the end of the database, and the run above it that says so. */
function goneFromBase(
  runs: readonly MergeRun[],
  reach: number,
): { readonly bytes: number; readonly told: number } {
  const [base] = runs;
  let left = base?.pages ?? 0;
  let told = 0;
  for (const [at, { endsAt }] of runs.entries())
    if (at > 0 && at <= reach && endsAt !== null && endsAt < left) {
      left = endsAt;
      told = at;
    }
  return { bytes: told === 0 || base === undefined ? 0 : base.bytes * (1 - left / base.pages), told };
}

/** The newest runs, as far back as they are of one level or lower. */
function ofOneLevel(
  runs: readonly MergeRun[],
  kept: ReadonlySet<Lsn>,
  { fanIn, smallestBytes }: MergeBounds,
): Merge | null {
  const levelOf = (run: MergeRun | undefined): number =>
    Math.max(0, Math.ceil(Math.log((run?.bytes ?? 1) / smallestBytes) / Math.log(fanIn)));
  for (let last = runs.length - 1; last > 0; last--) {
    if (last < runs.length - 1 && !kept.has(runs[last]?.to as Lsn)) continue;
    let level = 0;
    let largest = 0;
    let sum = 0;
    for (let first = last; first > 0; first--) {
      if (first < last && kept.has(runs[first]?.to as Lsn)) break;
      const bytes = runs[first]?.bytes ?? 0;
      level = Math.max(level, levelOf(runs[first]));
      largest = Math.max(largest, bytes);
      sum += bytes;
      const isWhole = first === 1 || kept.has(runs[first - 1]?.to as Lsn) || levelOf(runs[first - 1]) > level;
      if (isWhole && last - first + 1 >= fanIn && sum >= 2 * largest) return { first, last };
    }
  }
  return null;
}

/** The two neighbours above the base that are the smallest together. */
function ofTooMany(
  runs: readonly MergeRun[],
  kept: ReadonlySet<Lsn>,
  { runsMax }: MergeBounds,
): Merge | null {
  if (runs.length <= runsMax) return null;
  let best: Merge | null = null;
  let bestBytes = Number.POSITIVE_INFINITY;
  for (let first = 1; first < runs.length - 1; first++) {
    const bytes = (runs[first]?.bytes ?? 0) + (runs[first + 1]?.bytes ?? 0);
    if (bytes >= bestBytes || kept.has(runs[first]?.to as Lsn)) continue;
    best = { first, last: first + 1 };
    bestBytes = bytes;
  }
  return best;
}
