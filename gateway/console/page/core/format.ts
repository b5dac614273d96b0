/** Numbers as people read them. Everything takes null for what is not known. Pure. */

export const unknown = '–';

const plain = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { maximumFractionDigits: digits });

/** A duration: `0.4 ms`, `12 ms`, `1.25 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(ms: number | null): string {
  if (ms === null) return unknown;
  if (ms < 0.95) return ms < 0.05 ? '0 ms' : `${plain(ms, 1)} ms`;
  if (ms < 10) return `${plain(ms, 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${plain(ms / 1_000, 2)} s`;
  if (ms < 60_000) return `${plain(ms / 1_000, 1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`;
}

export function bytes(count: number | null): string {
  if (count === null) return unknown;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let at = 0;
  while (value >= 1_024 && at < units.length - 1) {
    value /= 1_024;
    at += 1;
  }
  return `${plain(value, at === 0 || value >= 100 ? 0 : 1)} ${units[at]}`;
}

/** A whole number with its thousands apart. */
export function count(value: number | null): string {
  return value === null ? unknown : plain(Math.round(value), 0);
}

/** A rate or another number that need not be whole: three figures of it. */
export function figure(value: number | null): string {
  if (value === null) return unknown;
  return plain(value, Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** `1 write`, `2 writes`. */
export function some(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** What would be, or was, lost: `0 commits`, `at least 12 commits (3.1 KiB, 40 ms)`. */
export function loss(lost: {
  readonly commits: number | null;
  readonly commitsExact: boolean;
  readonly bytes: number | null;
  readonly ms: number | null;
}): string {
  if (lost.commits === null) return lost.bytes === null ? 'not known' : bytes(lost.bytes);
  const commits = `${lost.commitsExact || lost.commits === 0 ? '' : 'at least '}${some(lost.commits, 'commit')}`;
  return lost.commits === 0 ? commits : `${commits} (${bytes(lost.bytes)}, ${duration(lost.ms)})`;
}

/** Time of day with seconds, in the reader's zone or in `timeZone`. @param ms since 1970. */
export function clock(ms: number, timeZone?: string): string {
  const format = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const;
  return new Intl.DateTimeFormat('en-GB', { ...format, ...(timeZone !== undefined && { timeZone }) }).format(
    ms,
  );
}

/** Day and time. @param ms since 1970. */
export function day(ms: number, timeZone?: string): string {
  const format = { year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  const zone = timeZone === undefined ? {} : { timeZone };
  const date = new Intl.DateTimeFormat('sv-SE', { ...format, ...zone }).format(ms);
  return `${date} ${clock(ms, timeZone)}`;
}
