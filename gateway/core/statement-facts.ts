/**
 * What a statement's words say of it, before SQLite has seen it. Clients send the same texts again and again, so what was
 * found is kept for as many texts as there are prepared statements in a busy application. Pure but for that memory.
 */
import { firstWord, isReadonlyBegin } from './engine-text.ts';

/** `unclear` is for the engine to find out. */
export type StatementClass = 'read' | 'write' | 'unclear';

export interface StatementFacts {
  /** The verb, in upper case; empty when the text holds no statement. */
  readonly word: string;
  readonly kind: StatementClass;
}

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
