/**
 * Where a request goes: its path, the database, and the consistency its streams read with. Stock clients use a stream per
 * statement, so that a PRAGMA is forgotten at once, and refuse query parameters they do not know; what all of them keep is the
 * path of their URL. So `http://host/branch/dev/` means the branch `dev` of the same gateway, and `http://host/read/global/`
 * main with `global` reads; both may be given, in either order. The `Host` form of libSQL namespaces, `dev.anything`, means the
 * same where there is such a branch. Pure.
 */

import { type BranchName, branchName, isBranchName, mainBranch } from '../../../storage/core.ts';
import { type Bookmark, bookmarkHeader, parseBookmark } from '../../sql/bookmark.ts';
import { failure } from '../../sql/errors.ts';
import type { SqlOutcome } from '../../sql/sql.ts';
import { type ReadPreference, readPreferences } from '../../sql/stream-state.ts';

export interface HranaTarget {
  /** The path without the consistency, the branch and the query. */
  readonly path: string;
  /** Null where the request asks for none. */
  readonly readPreference: ReadPreference | null;
  /** Which database; whether there is such a branch has yet to be seen. */
  readonly branch: BranchName;
  /** What its client has seen; null where it shows nothing. */
  readonly bookmark: Bookmark | null;
}

const prefixes = { read: '/read/', branch: '/branch/' } as const;
const parameter = 'sextant_read';

/** The header in which programs that can add one may ask for a consistency instead. */
export const readHeader = 'sextant-read';

/** What a request says of where it goes. */
export interface Addressed {
  /** As in the request line. */
  readonly url: string;
  /** The value of `readHeader`, which counts before the URL. */
  readonly read?: string | string[] | undefined;
  /** The value of `bookmarkHeader`. */
  readonly mark?: string | string[] | undefined;
  readonly host?: string | undefined;
}

/** Reads the target of a request. @param isBranch whether there is a branch of that name: only then does a host name it. */
export function hranaTarget(
  { url, read, mark, host }: Addressed,
  isBranch: (name: string) => boolean,
): SqlOutcome<HranaTarget> {
  const bookmark = mark === undefined ? null : parseBookmark(String(mark));
  if (mark !== undefined && bookmark === null)
    return failure(
      'SEXTANT_PROTOCOL_ERROR',
      `${bookmarkHeader} is <epoch>.<lsn>, as an answer carried it, not ${shown(String(mark))}.`,
    );
  const query = url.indexOf('?');
  const parts = partsOf(query < 0 ? url : url.slice(0, query));
  if (!parts.ok) return parts;
  const { path, branch } = parts.value;
  let asked = parts.value.read;
  if (query >= 0) asked = new URLSearchParams(url.slice(query + 1)).get(parameter) ?? asked;
  if (read !== undefined) asked = String(read);
  const target = { path, branch: branch ?? branchOfHost(host, isBranch), bookmark };
  if (asked === null) return { ok: true, value: { ...target, readPreference: null } };
  const readPreference = preferenceOf(asked);
  if (readPreference !== null) return { ok: true, value: { ...target, readPreference } };
  return failure(
    'SEXTANT_PROTOCOL_ERROR',
    `${shown(asked)} is no consistency of reads. Use one of ${readPreferences.join(', ')}.`,
  );
}

interface Parts {
  readonly path: string;
  readonly read: string | null;
  readonly branch: BranchName | null;
}

/** Takes what stands before the path proper, each once. */
function partsOf(whole: string): SqlOutcome<Parts> {
  let parts: Parts = { path: whole, read: null, branch: null };
  for (;;) {
    const { path } = parts;
    if (parts.read === null && path.startsWith(prefixes.read)) {
      const [read, rest] = split(path, prefixes.read);
      if (preferenceOf(read) === null) return noConsistency(read);
      parts = { ...parts, path: rest, read };
    } else if (parts.branch === null && path.startsWith(prefixes.branch)) {
      const [name, rest] = split(path, prefixes.branch);
      const branch = nameOf(name);
      if (branch === null || cutShort.test(rest)) return noBranch(name);
      parts = { ...parts, path: rest, branch };
    } else return { ok: true, value: parts };
  }
}

/** What follows a base URL that has lost its last part: without the slash at its end it is no folder. */
const cutShort = /^\/(?:pipeline|cursor|execute|batch)$/;

function split(path: string, prefix: string): readonly [string, string] {
  const end = path.indexOf('/', prefix.length);
  return end < 0 ? [path.slice(prefix.length), '/'] : [path.slice(prefix.length, end), path.slice(end)];
}

function preferenceOf(text: string): ReadPreference | null {
  const lower = text.toLowerCase();
  return readPreferences.find((preference) => preference === lower) ?? null;
}

function nameOf(text: string): BranchName | null {
  return isBranchName(text) ? branchName(text) : null;
}

/** An address names no branch, whatever its first number is. */
const isAddress = (host: string): boolean => /^[0-9.]+(?::\d+)?$/.test(host) || host.startsWith('[');

function branchOfHost(host: string | undefined, isBranch: (name: string) => boolean): BranchName {
  if (host === undefined || isAddress(host)) return mainBranch;
  const dot = host.indexOf('.');
  const name = dot < 0 ? null : nameOf(host.slice(0, dot).toLowerCase());
  return name !== null && isBranch(name) ? name : mainBranch;
}

const shown = (text: string): string => JSON.stringify(text.slice(0, 40));

/** Without the slash at its end a client's base URL loses the last part of its path, which then is missing here. */
function noConsistency(asked: string): SqlOutcome<never> {
  return failure(
    'SEXTANT_NOT_FOUND',
    `There is no consistency ${shown(asked)}: the URL of a client is /read/<${readPreferences.join('|')}>/, with the slash at its end.`,
  );
}

function noBranch(asked: string): SqlOutcome<never> {
  return failure(
    'SEXTANT_BRANCH_UNKNOWN',
    `${shown(asked)} names no branch here: the URL of a client is /branch/<name>/, with the slash at its end, and a name is 1 to 63 of a-z, 0-9 and -.`,
  );
}
