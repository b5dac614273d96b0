/** How long a token holds, in words. Pure. */

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 };

/** Longer than any machine that a token should outlive. */
export const ttlSecondsMax = 3_660 * 86_400;

/** Seconds of `90s`, `15m`, `1h`, `30d`, `4w`; undefined for anything else, and for what is out of bounds. */
export function parseLifetime(text: string): number | undefined {
  const match = /^(\d{1,9})([smhdw])$/.exec(text);
  const unit = units[match?.[2] ?? ''];
  if (match === null || unit === undefined) return undefined;
  const seconds = Number(match[1]) * unit;
  return seconds >= 1 && seconds <= ttlSecondsMax ? seconds : undefined;
}

/** When a token ends, seen from now, such as `in 59 min`, `expired 3 d ago`. */
export function describeExpiry(expiresAtSeconds: number | null, nowSeconds: number): string {
  if (expiresAtSeconds === null) return 'never expires';
  const left = expiresAtSeconds - nowSeconds;
  const size = Math.abs(left);
  const words =
    size < 120
      ? `${Math.round(size)} s`
      : size < 7_200
        ? `${Math.round(size / 60)} min`
        : size < 172_800
          ? `${Math.round(size / 3_600)} h`
          : `${Math.round(size / 86_400)} d`;
  return left > 0 ? `expires in ${words}` : `expired ${words} ago`;
}
