/**
 * What the words of SQL text say before the engine has seen it: where it is tried first, what it does to transactions, COPY with the
 * client, and what cannot be given. Words may say less than the statement does: the engine that reads refuses what writes. Pure.
 */
import type { StatementClass } from '../../../sql/statement-facts.ts';
import type { Report } from '../../protocol/core/server-messages.ts';
import { bodyFacts } from './body-words.ts';
import { refusals } from './refusals.ts';
import { SqlScanner, type SqlToken } from './sql-scanner.ts';
import { WordWatch } from './word-watch.ts';

/** A COPY between the table and the client. */
export interface CopyFacts {
  readonly direction: 'in' | 'out';
  readonly binary: boolean;
  /** 0 where the statement does not say how many. */
  readonly columns: number;
}

/** What the front end does itself, in place of a statement that would act on the clients of the engine all together. */
export type Effect =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'forget'; readonly name: string }
  | { readonly kind: 'forgetAll' }
  /** Settings are again those that the client began with. */
  | { readonly kind: 'resetAll' }
  | { readonly kind: 'reset'; readonly name: string }
  /** All of these; not allowed in a transaction. */
  | { readonly kind: 'discardAll' };

export type Control = 'begin' | 'commit' | 'rollback' | 'rollbackTo' | 'other';

export interface StatementFacts {
  /** First word, in upper case; empty for an empty statement. */
  readonly verb: string;
  readonly class: StatementClass;
  /** What it does to the transaction; null for a statement that runs in one. */
  readonly control: Control | null;
  /**
   * How the sessions below are told of it: transaction control in their words, else its text, cut after `toldLength`, with the names of
   * functions that act on its session wherever they stand.
   */
  readonly told: readonly string[];
  readonly copy: CopyFacts | null;
  readonly refusal: Report | null;
  /** Done by the front end; the client gets this tag. */
  readonly instead: { readonly tag: string; readonly effect: Effect } | null;
  /** Where it stands in the text, without its semicolon. */
  readonly start: number;
  readonly end: number;
}

/** Longer texts are cut where they are only looked at. UTF-16 units. */
export const toldLength = 1_024;

const reading = new Set(
  'SELECT WITH VALUES TABLE EXPLAIN SHOW SET RESET DISCARD FETCH MOVE CLOSE DECLARE COPY DEALLOCATE UNLISTEN'.split(
    ' ',
  ),
);
const writing = new Set(
  (
    'INSERT UPDATE DELETE MERGE TRUNCATE CREATE DROP ALTER GRANT REVOKE COMMENT REINDEX CLUSTER VACUUM ANALYZE REFRESH SECURITY LOCK ' +
    'IMPORT REASSIGN CHECKPOINT'
  ).split(' '),
);

/** The non-empty statements of a text, in their order. @param backslashes `standard_conforming_strings` is off. */
export function factsOf(sql: string, backslashes = false): readonly StatementFacts[] {
  const scanner = new SqlScanner(sql, backslashes);
  const found: StatementFacts[] = [];
  let watch = new WordWatch();
  for (let token = scanner.next(); token !== null; token = scanner.next()) {
    if (token.text === ';' && token.kind === 'symbol' && watch.mayEnd) {
      if (!watch.isEmpty) found.push(facts(sql, watch));
      watch = new WordWatch();
    } else watch.see(token);
  }
  if (!watch.isEmpty) found.push(facts(sql, watch));
  return found;
}

function facts(sql: string, watch: WordWatch): StatementFacts {
  const { start, end } = watch;
  const verb = watch.word(0);
  const isCut = end - start > toldLength;
  const text = isCut
    ? [sql.slice(start, start + toldLength), ...watch.ofSession].join(' ')
    : sql.slice(start, end);
  const copy = verb === 'COPY' ? copyOf(watch, sql.slice(start, end)) : null;
  const shared = {
    verb,
    copy,
    refusal: refusalOf(verb, watch, copy, sql.slice(start, end)),
    instead: insteadOf(verb, watch),
    start,
    end,
  };
  const transaction = transactionOf(verb, watch);
  if (transaction !== null) return { ...shared, ...transaction, told: transaction.told ?? [text] };
  return { ...shared, class: classOf(verb, watch, copy), control: null, told: [text] };
}

function classOf(verb: string, watch: WordWatch, copy: CopyFacts | null): StatementClass {
  if (copy?.direction === 'in' || writing.has(verb)) return 'write';
  if (verb === 'EXPLAIN') return watch.writes && watch.has('ANALYZE') ? 'write' : 'read';
  if (watch.writes || watch.locks || watch.makesTable) return 'write';
  // A statement may begin with a parenthesis.
  return reading.has(verb) || verb === '(' ? 'read' : 'unclear';
}

interface TransactionFacts {
  readonly class: StatementClass;
  readonly control: Control;
  readonly told: readonly string[] | null;
}

function transactionOf(verb: string, watch: WordWatch): TransactionFacts | null {
  const read = { class: 'read' } as const;
  switch (verb) {
    case 'BEGIN':
    case 'START': {
      const readOnly = watch.accessMode === 'ONLY';
      const told = [readOnly ? 'BEGIN READONLY' : 'BEGIN'];
      return { class: readOnly ? 'read' : 'write', control: 'begin', told };
    }
    case 'COMMIT':
    case 'END':
      if (watch.has('PREPARED')) return { class: 'write', control: 'other', told: null };
      return { ...read, control: 'commit', told: chained('COMMIT', watch) };
    case 'ROLLBACK':
    case 'ABORT':
      if (watch.has('PREPARED')) return { class: 'write', control: 'other', told: null };
      if (watch.has('TO')) return { ...read, control: 'rollbackTo', told: ['ROLLBACK TO savepoint'] };
      return { ...read, control: 'rollback', told: chained('ROLLBACK', watch) };
    case 'SAVEPOINT':
    case 'RELEASE':
      return { ...read, control: 'other', told: null };
    default:
      return null;
  }
}

const chained = (word: string, watch: WordWatch): readonly string[] =>
  watch.has('CHAIN') && !watch.has('NO') ? [word, 'BEGIN'] : [word];

function copyOf(watch: WordWatch, text: string): CopyFacts | null {
  const { stdio } = watch;
  if (stdio === null) return null;
  return { direction: stdio, binary: watch.binary || quotedBinary.test(text), columns: watch.listedColumns };
}

const quotedBinary = /\bFORMAT\s*'binary'/i;

function refusalOf(verb: string, watch: WordWatch, copy: CopyFacts | null, text: string): Report | null {
  const second = watch.word(1);
  if (watch.locksSession) return refusals.advisoryLock;
  if (watch.notifies) return refusals.listen;
  if (watch.sleeps) return refusals.sleep;
  if (watch.isTemporary) return refusals.temporary;
  if (watch.setsByFunction && synchronousCommit.test(text)) return refusals.synchronousCommit;
  switch (verb) {
    case 'LISTEN':
    case 'NOTIFY':
      return refusals.listen;
    case 'UNLISTEN':
      return watch.head[1]?.text === '*' ? null : refusals.listen;
    case 'PREPARE':
      return second === 'TRANSACTION' ? null : refusals.prepare;
    case 'EXECUTE':
      return refusals.prepare;
    case 'LOAD':
      return refusals.load;
    case 'COPY':
      return copy === null ? refusals.serverFile : null;
    case 'DO':
      return synchronousCommit.test(text) ? refusals.synchronousCommit : inBody(text);
    case 'UPDATE':
      return text.includes('pg_settings') && synchronousCommit.test(text) ? refusals.synchronousCommit : null;
    case 'SET':
      return setsEncoding.test(text) && !isUtf8.test(text) ? refusals.encoding : null;
    case 'DECLARE':
      return watch.holds ? refusals.holdCursor : null;
    case 'CREATE':
    case 'DROP':
      if (second === 'DATABASE') return refusals.database;
      if (second === 'TABLESPACE') return refusals.tablespace;
      if (synchronousCommit.test(text)) return refusals.synchronousCommit;
      return verb === 'CREATE' && (watch.has('FUNCTION') || watch.has('PROCEDURE')) ? inBody(text) : null;
    case 'ALTER':
      if (second === 'SYSTEM') return refusals.alterSystem;
      return synchronousCommit.test(text) ? refusals.synchronousCommit : null;
    default:
      return null;
  }
}

function inBody(text: string): Report | null {
  const { notifies, copiesFiles } = bodyFacts(text);
  if (notifies) return refusals.listen;
  return copiesFiles ? refusals.serverFile : null;
}

const setsEncoding = /^set\s+(?:(?:session|local)\s+)?(?:names\b|"?client_encoding\b)/i;
const isUtf8 = /\b(?:utf-?8|unicode|default)\b/i;

/** With it off, PostgreSQL acknowledges what it has written nowhere. */
const synchronousCommit = /synchronous_commit/i;

function insteadOf(verb: string, watch: WordWatch): StatementFacts['instead'] {
  const { head } = watch;
  const tokens = head.filter(
    ({ text, kind }) => kind !== 'word' || (text !== 'SESSION' && text !== 'PREPARE'),
  );
  const second = tokens[1];
  switch (verb) {
    case 'DEALLOCATE':
      if (second === undefined) return null;
      return second.kind === 'word' && second.text === 'ALL'
        ? { tag: 'DEALLOCATE ALL', effect: { kind: 'forgetAll' } }
        : { tag: 'DEALLOCATE', effect: { kind: 'forget', name: nameOf(second) } };
    case 'UNLISTEN':
      return { tag: 'UNLISTEN', effect: { kind: 'nothing' } };
    case 'DISCARD':
      return watch.word(1) === 'ALL' ? { tag: 'DISCARD ALL', effect: { kind: 'discardAll' } } : null;
    case 'RESET':
      if (watch.word(1) === 'ALL') return { tag: 'RESET', effect: { kind: 'resetAll' } };
      if (second?.text === 'AUTHORIZATION') return resetOf('RESET', 'session_authorization');
      return resetOf('RESET', settingName(tokens.slice(1)));
    case 'SET': {
      const local = watch.word(1) === 'LOCAL';
      const name = settingName(tokens.slice(local ? 2 : 1));
      if (second?.text === 'AUTHORIZATION' && tokens.at(-1)?.text === 'DEFAULT')
        return resetOf('SET', 'session_authorization');
      if (name === 'synchronous_commit') return { tag: 'SET', effect: { kind: 'nothing' } };
      return tokens.at(-1)?.text === 'DEFAULT' && !local ? resetOf('SET', name) : null;
    }
    default:
      return null;
  }
}

const resetOf = (tag: string, name: string): StatementFacts['instead'] =>
  name === '' ? null : { tag, effect: { kind: 'reset', name } };

const nameOf = ({ kind, text }: SqlToken): string => (kind === 'word' ? text.toLowerCase() : text);

/** The name that stands first, lower case, with its dots. Settings have names of several words too. */
function settingName(tokens: readonly SqlToken[]): string {
  const [first, second] = tokens;
  if (first === undefined || (first.kind !== 'word' && first.kind !== 'name')) return '';
  if (first.text === 'TIME' && second?.text === 'ZONE') return 'timezone';
  if (first.text === 'AUTHORIZATION' || first.text === 'TRANSACTION' || first.text === 'CHARACTERISTICS')
    return '';
  let name = nameOf(first);
  for (let at = 1; tokens[at]?.text === '.' && tokens[at + 1] !== undefined; at += 2)
    name += `.${nameOf(tokens[at + 1] ?? first)}`;
  return name.toLowerCase();
}
