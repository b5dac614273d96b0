/**
 * Names of the objects of a backup. A name says what is in the object and the CRC-32 of its bytes, so that a list of names is all
 * the index there is, and an object that is not what its name says is found.
 *
 * Below `<cluster>/<region>/`:
 *
 *     log/<from 16>-<to 16>-e<head>-t<min 16>-<max 16>-<crc>.log
 *     images/<set>/<part 8>-<first page 10>-at<lsn 16>-<crc>.pages
 *     manifest-0.json, manifest-1.json
 *
 * R65: an object is written once and never changed. A manifest is written in turns to one of two names, after what it names.
 */
import { type Epoch, epoch, type Lsn, lsn } from '../../../storage/core.ts';

/** A stretch of the log along the path to `head`: frames that reach into (from, to]. */
export interface LogObject {
  readonly name: string;
  readonly from: Lsn;
  readonly to: Lsn;
  readonly head: Epoch;
  /** The earliest and the latest time of a commit in it, Unix microseconds; both 0 when it holds none. */
  readonly minUs: number;
  readonly maxUs: number;
  readonly crc: number;
}

/** Some pages of an image set as of `at`. */
export interface PartObject {
  readonly name: string;
  /** Counts from 0. */
  readonly part: number;
  readonly firstPage: number;
  readonly at: Lsn;
  readonly crc: number;
}

const digits = (value: number, count: number): string => String(value).padStart(count, '0');
const hex = (crc: number): string => crc.toString(16).padStart(8, '0');

export const logPrefix = 'log/';
export const imagesPrefix = 'images/';
/** A manifest's name: generations take turns. */
export const manifestName = (generation: number): string => `manifest-${generation % 2}.json`;
export const manifestNames: readonly string[] = [manifestName(0), manifestName(1)];
export const setPrefix = (set: string): string => `${imagesPrefix}${set}/`;

export function logName({ from, to, head, minUs, maxUs, crc }: Omit<LogObject, 'name'>): string {
  return `${logPrefix}${digits(from, 16)}-${digits(to, 16)}-e${head}-t${digits(minUs, 16)}-${digits(maxUs, 16)}-${hex(crc)}.log`;
}

const logPattern = /^log\/(\d{16})-(\d{16})-e(\d{1,10})-t(\d{16})-(\d{16})-([0-9a-f]{8})\.log$/;

/** @returns null for what is no log object. */
export function parseLogName(name: string): LogObject | null {
  const found = logPattern.exec(name);
  if (found === null) return null;
  const [from, to, head, minUs, maxUs] = found.slice(1, 6).map(Number);
  if (from === undefined || to === undefined || head === undefined || from >= to || head > 0xffff_ffff)
    return null;
  const crc = Number.parseInt(found[6] ?? '', 16);
  return { name, from: lsn(from), to: lsn(to), head: epoch(head), minUs: minUs ?? 0, maxUs: maxUs ?? 0, crc };
}

export function partName(set: string, { part, firstPage, at, crc }: Omit<PartObject, 'name'>): string {
  return `${setPrefix(set)}${digits(part, 8)}-${digits(firstPage, 10)}-at${digits(at, 16)}-${hex(crc)}.pages`;
}

const partPattern = /^images\/[^/]+\/(\d{8})-(\d{10})-at(\d{16})-([0-9a-f]{8})\.pages$/;

/** @returns null for what is no part of an image set. */
export function parsePartName(name: string): PartObject | null {
  const found = partPattern.exec(name);
  if (found === null) return null;
  const [part, firstPage, at] = found.slice(1, 4).map(Number);
  const crc = Number.parseInt(found[4] ?? '', 16);
  return { name, part: part ?? 0, firstPage: firstPage ?? 0, at: lsn(at ?? 0), crc };
}

/** The set that an object belongs to; null for what is no part of one. */
export const setOfName = (name: string): string | null => /^images\/([^/]+)\//.exec(name)?.[1] ?? null;
