/** Small statistics, and figures as people read them. */

/** The middle value, or the mean of the two in the middle; null when there is none. */
export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const high = sorted[Math.floor(sorted.length / 2)];
  const low = sorted[Math.ceil(sorted.length / 2) - 1];
  return high === undefined || low === undefined ? null : (low + high) / 2;
}

/** The value that `quantile` (0 to 1) of `values` do not exceed; null when there are none. */
export function quantile(values: readonly number[], wanted: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(wanted * sorted.length) - 1)] ?? null;
}

/** How far values lie apart: (largest − smallest) ÷ median. A measure of how quiet the machine was. */
export function spread(values: readonly number[]): number | null {
  const middle = median(values);
  return middle === null || middle === 0 ? null : (Math.max(...values) - Math.min(...values)) / middle;
}

/** Null when either is missing or the divisor is 0. */
export function ratio(a: number | null | undefined, b: number | null | undefined): number | null {
  return a === null || a === undefined || b === null || b === undefined || b === 0 ? null : a / b;
}

const dash = '–';

/** Three significant digits, thousands as `12.3k`. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return dash;
  const size = Math.abs(value);
  if (size >= 999_500) return `${significant(value / 1e6)}M`;
  if (size >= 9_995) return `${significant(value / 1e3)}k`;
  return size >= 999.5 ? String(Math.round(value)) : significant(value);
}

function significant(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(3, digits));
}

/** Milliseconds given in microseconds. */
export const msOfUs = (us: number | null | undefined): string =>
  us === null || us === undefined ? dash : figure(us / 1_000);

export const bytes = (value: number | null | undefined): string => {
  if (value === null || value === undefined) return dash;
  const size = Math.abs(value);
  if (size >= 2 ** 30) return `${significant(value / 2 ** 30)} GiB`;
  if (size >= 2 ** 20) return `${significant(value / 2 ** 20)} MiB`;
  return size >= 10_000 ? `${significant(value / 2 ** 10)} KiB` : `${Math.round(value)} B`;
};

export const times = (value: number | null | undefined): string =>
  value === null || value === undefined ? dash : `${significant(value)}×`;
