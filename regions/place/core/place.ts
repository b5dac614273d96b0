/** A place in history as people name one: an LSN, a time, or an LSN of a path by its epoch. */
import { type Epoch, epoch, type Lsn, lsn } from '../../../storage/core.ts';

export type Place =
  /** On the path that is current. */
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  /** On the path that is current; Unix microseconds. */
  | { readonly kind: 'time'; readonly us: number }
  /** On the path to that epoch, which may have been left. */
  | { readonly kind: 'path'; readonly epoch: Epoch; readonly lsn: Lsn };

/** What `parsePlace` takes, for errors and help. */
export const placeForms =
  'an LSN (4711), a time with its zone (2026-11-29T12:00:00Z), or an LSN of an epoch, as EPOCH:LSN (7:4711)';

const epochMax = 0xffff_ffff;

/** @returns null for anything that is none of `placeForms`. */
export function parsePlace(text: string): Place | null {
  const path = /^(\d{1,10}):(\d+)$/.exec(text);
  if (path !== null) {
    const [of, at] = [Number(path[1]), Number(path[2])];
    return of <= epochMax && Number.isSafeInteger(at)
      ? { kind: 'path', epoch: epoch(of), lsn: lsn(at) }
      : null;
  }
  if (/^\d+$/.test(text)) {
    const value = Number(text);
    return Number.isSafeInteger(value) ? { kind: 'lsn', lsn: lsn(value) } : null;
  }
  const us = parseTime(text);
  return us === null ? null : { kind: 'time', us };
}

const timePattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?(?:Z|([+-])(\d{2}):?(\d{2}))$/i;

/** ISO 8601 with its zone: without one a time means something else on each machine. @returns Unix microseconds; null when it is no such time. */
function parseTime(text: string): number | null {
  const found = timePattern.exec(text);
  if (found === null) return null;
  const part = (index: number): number => Number(found[index] ?? 0);
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map(part) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null;
  const isOnTheClock = hour < 24 && minute < 60 && second < 60;
  // The end of a day is the beginning of the next.
  if (!isOnTheClock && !(hour === 24 && minute === 0 && second === 0)) return null;
  if (part(9) > 23 || part(10) > 59) return null;
  const aheadMinutes = (found[8] === '-' ? -1 : 1) * (part(9) * 60 + part(10));
  const minutes = (daysSince1970(year, month, day) * 24 + hour) * 60 + minute - aheadMinutes;
  const us = (minutes * 60 + second) * 1_000_000 + Number((found[7] ?? '').padEnd(6, '0'));
  return Number.isSafeInteger(us) ? us : null;
}

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

function daysIn(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

function daysSince1970(year: number, month: number, day: number): number {
  const leaps = (before: number): number =>
    Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400);
  let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
  for (let earlier = 1; earlier < month; earlier++) days += daysIn(year, earlier);
  return days + day - 1;
}
