/** How long a certificate still holds, and when to say so. */

/** A certificate is renewed long before; below this something has gone wrong, and a person should know. */
export const warnBeforeMs = 14 * 24 * 3_600_000;

export type Expiry =
  | { readonly kind: 'valid' }
  | { readonly kind: 'soon'; readonly leftMs: number }
  | { readonly kind: 'expired'; readonly sinceMs: number };

/** @param expiresAtMs, nowMs Unix milliseconds. */
export function judgeExpiry(expiresAtMs: number, nowMs: number, soonMs: number = warnBeforeMs): Expiry {
  const leftMs = expiresAtMs - nowMs;
  if (leftMs <= 0) return { kind: 'expired', sinceMs: nowMs - expiresAtMs };
  return leftMs <= soonMs ? { kind: 'soon', leftMs } : { kind: 'valid' };
}

/** `3 days`, `5 hours`, `40 minutes`: whole units, rounded down. */
export function describeSpan(ms: number): string {
  const units = [
    ['day', 24 * 3_600_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
  ] as const;
  for (const [unit, unitMs] of units) {
    const count = Math.floor(ms / unitMs);
    if (count > 0) return `${count} ${unit}${count === 1 ? '' : 's'}`;
  }
  return 'less than a minute';
}
