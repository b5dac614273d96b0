/** A place in history that a client has seen: `<epoch>.<lsn>`. Whoever shows it never reads behind it (G59). Pure. */
import { type Epoch, epoch, type Lsn, lsn } from '../../storage/redo.ts';
import type { SqlOperation } from './operation.ts';
import { factsOf } from './statement-facts.ts';

export interface Bookmark {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}

/** The header that carries one, in requests and in answers. */
export const bookmarkHeader = 'sextant-bookmark';

export const formatBookmark = (bookmark: Bookmark): string => `${bookmark.epoch}.${bookmark.lsn}`;

/** Null when the text is none. */
export function parseBookmark(text: string): Bookmark | null {
  const [, reign = '', position = ''] = /^(\d{1,10})\.(\d{1,16})$/.exec(text.trim()) ?? [];
  const numbers = [Number(reign), Number(position)] as const;
  if (reign === '' || numbers[0] > 0xffff_ffff || !Number.isSafeInteger(numbers[1])) return null;
  return { epoch: epoch(numbers[0]), lsn: lsn(numbers[1]) };
}

const pragma =
  /^\s*PRAGMA\s+sextant_bookmark\s*(?:=\s*(?:'([^']*)'|"([^"]*)"|(\S+?))|\(\s*'([^']*)'\s*\))?\s*;?\s*$/i;

/** What `PRAGMA sextant_bookmark` asks: a text to take as the stream's bookmark, or null to be told it. Undefined: another statement. */
export function bookmarkPragma(operation: SqlOperation): string | null | undefined {
  // What is remembered of the text is looked at first: this is asked of every statement.
  if (operation.kind !== 'execute' || factsOf(operation.statement.sql).word !== 'PRAGMA') return undefined;
  const found = pragma.exec(operation.statement.sql);
  return found === null ? undefined : (found.slice(1).find((text) => text !== undefined) ?? null);
}
