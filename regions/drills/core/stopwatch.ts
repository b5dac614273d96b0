/** What a drill's clients saw of time: pauses between acknowledged writes, latency, throughput. All times are moments of the drill's clock. */
import type { LedgerEntry, LoadClient } from './ledger.ts';

/** A time without an acknowledged write. `endedAtMs` is null when none came any more. */
export interface Stall {
  readonly beganAtMs: number;
  readonly endedAtMs: number | null;
  readonly ms: number;
}

/** When writes were acknowledged to the clients of these regions (of all when left out), in order. */
export function acknowledgements(
  entries: readonly LedgerEntry[],
  clients: readonly LoadClient[],
  regions?: readonly string[],
): readonly number[] {
  return entries
    .filter(
      ({ outcome, client }) =>
        outcome === 'acknowledged' && (regions?.includes(clients[client]?.region ?? '') ?? true),
    )
    .flatMap(({ endedAtMs }) => (endedAtMs === null ? [] : [endedAtMs]))
    .sort((a, b) => a - b);
}

/**
 * The longest time without an acknowledged write between two moments. One that began before `fromMs` counts from its own
 * beginning; one that is not over at `toMs` counts up to then.
 */
export function longestStall(acks: readonly number[], fromMs: number, toMs: number): Stall {
  let last = fromMs;
  let longest: Stall = { beganAtMs: fromMs, endedAtMs: fromMs, ms: 0 };
  for (const at of acks) {
    if (at < fromMs) {
      last = at;
      continue;
    }
    if (at > toMs) break;
    if (at - last > longest.ms) longest = { beganAtMs: last, endedAtMs: at, ms: at - last };
    last = at;
  }
  return toMs - last > longest.ms ? { beganAtMs: last, endedAtMs: null, ms: toMs - last } : longest;
}

/** The first time without an acknowledged write that is longer than `aboveMs`; null when there is none. As `longestStall` otherwise. */
export function firstStall(
  acks: readonly number[],
  fromMs: number,
  toMs: number,
  aboveMs: number,
): Stall | null {
  let last = fromMs;
  for (const at of acks) {
    if (at > toMs) break;
    if (at >= fromMs && at - last > aboveMs) return { beganAtMs: last, endedAtMs: at, ms: at - last };
    last = at;
  }
  return toMs - last > aboveMs ? { beganAtMs: last, endedAtMs: null, ms: toMs - last } : null;
}

/** Time to the write that ended the outage: from the fault, or from the last write before the pause. */
export interface Recovery {
  /** Null when no write was acknowledged any more. */
  readonly rtoMs: number | null;
  readonly writeStallMs: number;
  /** From when that time counts. */
  readonly beganAtMs: number;
  /** When writes were back; null likewise. */
  readonly backAtMs: number | null;
}

/** A pause is an outage when it is this many times as long as any before the fault, and not shorter than a person notices. */
const outageTimes = 3;
const outageMsMin = 250;

/**
 * @param faultAtMs when the fault was struck.
 * @param from `fault`: a region is gone. The first pause after it is the outage, and every moment since the fault counts.
 * `stall`: service goes on or is back at once, and only the longest pause counts, wherever after the fault it lies.
 */
export function recoveryOf(
  acks: readonly number[],
  faultAtMs: number,
  toMs: number,
  from: 'fault' | 'stall',
): Recovery {
  const longest = longestStall(acks, faultAtMs, toMs);
  const before = acks.filter((at) => at <= faultAtMs);
  const usual = longestStall(before, before[0] ?? faultAtMs, before.at(-1) ?? faultAtMs);
  const above = Math.max(outageMsMin, outageTimes * usual.ms);
  const outage = from === 'fault' ? (firstStall(acks, faultAtMs, toMs, above) ?? longest) : longest;
  const backAtMs = outage.endedAtMs;
  const beganAtMs = from === 'fault' ? faultAtMs : Math.max(faultAtMs, outage.beganAtMs);
  return {
    rtoMs: backAtMs === null ? null : Math.max(0, Math.round(backAtMs - beganAtMs)),
    writeStallMs: Math.round(longest.ms),
    beganAtMs,
    backAtMs,
  };
}

/** Latency that `share` of the acknowledged writes stayed within, in milliseconds; null without any. */
export function latencyMs(entries: readonly LedgerEntry[], share: number): number | null {
  const times = entries
    .filter(({ outcome }) => outcome === 'acknowledged')
    .flatMap(({ sentAtMs, endedAtMs }) => (endedAtMs === null ? [] : [endedAtMs - sentAtMs]))
    .sort((a, b) => a - b);
  return times.length === 0
    ? null
    : (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? null);
}

/** Writes that ended within a stretch of time that begins `atMs` after the drill did. */
export interface ThroughputBucket {
  readonly atMs: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
}

/** Throughput since `beganAtMs`, in buckets of `bucketMs`; those in which nothing ended are there too. */
export function throughput(
  entries: readonly LedgerEntry[],
  beganAtMs: number,
  endedAtMs: number,
  bucketMs: number,
): readonly ThroughputBucket[] {
  const buckets = Array.from(
    { length: Math.max(1, Math.ceil((endedAtMs - beganAtMs) / bucketMs)) },
    (_, at) => ({
      atMs: at * bucketMs,
      acknowledged: 0,
      refused: 0,
      unknown: 0,
    }),
  );
  for (const { endedAtMs: at, sentAtMs, outcome } of entries) {
    const bucket = buckets[Math.floor(((at ?? sentAtMs) - beganAtMs) / bucketMs)];
    if (bucket !== undefined) bucket[outcome] += 1;
  }
  return buckets;
}
