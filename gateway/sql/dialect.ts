/**
 * The few words of libSQL's dialect that SQLite does not know, put into SQLite's or refused with a sentence that helps.
 * Every text of a client passes here once; nearly all are told by their first letter. Pure.
 */
import { failure } from './errors.ts';
import type { SqlOutcome } from './sql.ts';

/** A blank or a comment. */
const gap = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?(?:\*/|$))`;
const quoted = String.raw`'(?:[^']|'')*'|"(?:[^"]|"")*"|\x60(?:[^\x60]|\x60\x60)*\x60|\[[^\]]*\]`;
const word = String.raw`[\w$\u0080-\uffff]+`;
const name = `(?:${quoted}|${word})`;

const betweenStatements = new RegExp(`${gap}|;`, 'y');
const token = new RegExp(`${quoted}|${word}|${gap}|[^;]`, 'y');
const readonlyBegin = new RegExp(`BEGIN${gap}+(?=READONLY(?:${gap}|;|$))`, 'iy');
const alterColumn = new RegExp(
  String.raw`ALTER${gap}+TABLE${gap}+(?:${name}${gap}*\.${gap}*)?${name}${gap}+ALTER${gap}+(?:COLUMN${gap}+)?${name}${gap}+TO\b`,
  'iy',
);
/** Without these words nothing here applies. */
const telling = /\bREADONLY\b|\bALTER\s[\s\S]*\bALTER\b/i;

/**
 * Whether a text has to be looked at by `sqliteText`.
 * @param kind a script may hold any number of statements.
 */
export function isForeign(sql: string, kind: 'statement' | 'script'): boolean {
  if (kind === 'script') return telling.test(sql);
  // Letters only, in either case: a text that begins with a blank or a comment is looked at.
  const first = sql.charCodeAt(0) | 0x20;
  const isOtherVerb = first > 0x62 && first <= 0x7a;
  return !isOtherVerb && telling.test(sql);
}

/**
 * The text as SQLite takes it: `BEGIN READONLY` becomes `BEGIN TRANSACTION READONLY`, in scripts too. Fails where libSQL
 * has what SQLite has not and no text stands for it.
 */
export function sqliteText(sql: string): SqlOutcome<string> {
  let text = '';
  let at = 0;
  while (at < sql.length) {
    const start = past(betweenStatements, sql, at);
    text += sql.slice(at, start);
    if (matched(alterColumn, sql, start) > 0) return alterColumnRefused;
    const begin = matched(readonlyBegin, sql, start);
    const end = past(token, sql, start + begin);
    text += begin === 0 ? sql.slice(start, end) : `BEGIN TRANSACTION ${sql.slice(start + begin, end)}`;
    at = end;
  }
  return { ok: true, value: text };
}

/** Length of what matches at a place. */
function matched(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(sql)?.[0].length ?? 0;
}

/** The place behind all that matches from another on, one match at a time: a pattern that repeats itself has a bound. */
function past(pattern: RegExp, sql: string, from: number): number {
  let at = from;
  for (let length = matched(pattern, sql, at); length > 0; length = matched(pattern, sql, at)) at += length;
  return at;
}

const alterColumnRefused = failure(
  'SQLITE_ERROR',
  'ALTER TABLE … ALTER COLUMN … TO is in libSQL and not in SQLite. Build the table again instead: with PRAGMA foreign_keys = OFF, and then in one transaction, create it under another name, copy the rows with INSERT … SELECT, drop the old table, rename the new one, and create its indexes, triggers and views again; drizzle-kit does so with `dialect: "sqlite"`. For NOT NULL alone there is ALTER COLUMN … SET NOT NULL and DROP NOT NULL.',
);
