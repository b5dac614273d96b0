/**
 * What a statement's words say of it, before SQLite has seen it. Clients send the same texts again and again, so what was
 * found is kept for as many texts as there are prepared statements in a busy application. Pure but for that memory.
 */

const blank = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?(?:\*\/|$)|;)+/;

/** The text without leading blanks, comments and empty statements. */
export function withoutLeadingBlanks(sql: string): string {
  return sql.replace(blank, '');
}

/** First word in upper case; empty when the text holds no statement. */
export function firstWord(sql: string): string {
  const direct = /^[A-Za-z]+/.exec(sql);
  const found = direct ?? /^[A-Za-z]+/.exec(withoutLeadingBlanks(sql));
  return found === null ? '' : found[0].toUpperCase();
}

/** First word of what an EXPLAIN or EXPLAIN QUERY PLAN explains, in upper case. */
export function explainedWord(sql: string): string {
  let text = withoutLeadingBlanks(sql);
  for (const word of ['EXPLAIN', 'QUERY', 'PLAN'])
    if (firstWord(text) === word) text = withoutLeadingBlanks(text.slice(word.length));
  return firstWord(text);
}

/** True for `BEGIN [TRANSACTION] READONLY`, with which libSQL clients open a transaction that must not write. */
export function isReadonlyBegin(sql: string): boolean {
  const text = withoutLeadingBlanks(sql).replace(/\/\*[\s\S]*?\*\/|--[^\n]*/g, ' ');
  return /^BEGIN\s+(?:(?:DEFERRED\s+)?TRANSACTION\s+)?READONLY\s*;?\s*$/i.test(text);
}

/** How SQLite spells `BEGIN READONLY`: a transaction of that name. */
export const readonlyBegin = 'BEGIN TRANSACTION READONLY';

const shortReadonlyBegin = /^BEGIN\s+READONLY\s*(?:;|$)/i;

/** The beginning of a text, blanks included, that is `BEGIN READONLY`, which SQLite cannot parse; empty when it begins otherwise. */
export function shortReadonlyBeginOf(sql: string): string {
  const text = withoutLeadingBlanks(sql);
  const length = shortReadonlyBegin.exec(text)?.[0].length ?? 0;
  return length === 0 ? '' : sql.slice(0, sql.length - text.length + length);
}

/** True for statements that count rows: those after which `changes()` means this statement. */
export function countsRows(word: string): boolean {
  return word === 'INSERT' || word === 'UPDATE' || word === 'DELETE' || word === 'REPLACE' || word === 'WITH';
}

const writingPragmas: ReadonlySet<string> = new Set([
  'application_id',
  'auto_vacuum',
  'incremental_vacuum',
  'optimize',
  'schema_version',
  'user_version',
]);

/** Whether a PRAGMA writes to the volume. */
export function isWritingPragma(name: string, value: string | null): boolean {
  const lower = name.toLowerCase();
  return writingPragmas.has(lower) && (value !== null || lower === 'incremental_vacuum');
}

/** `unclear` is for the engine to find out. */
export type StatementClass = 'read' | 'write' | 'unclear';

export interface StatementFacts {
  /** The verb, in upper case; empty when the text holds no statement. */
  readonly word: string;
  readonly kind: StatementClass;
  /** It names the PRAGMA by which a stream reads the past. */
  readonly travels: boolean;
}

/** Reads the past: `PRAGMA sextant_at`. */
const travelling = /\bsextant_at\b/i;

const rememberedTexts = 1_024;
/** Longer texts are rarely sent twice. */
const rememberedLength = 4_096;
const remembered = new Map<string, StatementFacts>();

/** All that is told of a single statement's text. */
export function factsOf(sql: string): StatementFacts {
  const known = remembered.get(sql);
  if (known !== undefined) return known;
  const facts: StatementFacts = {
    word: firstWord(sql),
    kind: classOfStatement(sql),
    travels: travelling.test(sql),
  };
  if (sql.length > rememberedLength) return facts;
  if (remembered.size >= rememberedTexts) {
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }
  remembered.set(sql, facts);
  return facts;
}

const readingWords: ReadonlySet<string> = new Set([
  'SELECT',
  'VALUES',
  'EXPLAIN',
  'COMMIT',
  'END',
  'ROLLBACK',
  'RELEASE',
  'ATTACH',
  'DETACH',
  '',
]);
const writingWords: ReadonlySet<string> = new Set([
  'INSERT',
  'UPDATE',
  'DELETE',
  'REPLACE',
  'CREATE',
  'DROP',
  'ALTER',
  'REINDEX',
  'ANALYZE',
  'VACUUM',
  'SAVEPOINT',
]);
/** Names a temporary object, perhaps: those live in the stream's own connection, wherever it is. */
const temporary = /\btemp(?:orary)?\b/i;

/** What a single statement's text says. */
export function classOfStatement(sql: string): StatementClass {
  const word = firstWord(sql);
  if (word === 'BEGIN') return isReadonlyBegin(sql) ? 'read' : 'write';
  if (readingWords.has(word)) return 'read';
  if (!writingWords.has(word)) return 'unclear';
  return temporary.test(sql.slice(0, 512)) ? 'unclear' : 'write';
}
