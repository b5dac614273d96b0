/**
 * Cuts SQL of PostgreSQL into statements at the semicolons that end one: not those in strings, quoted names, comments, parentheses, or
 * the body of a function that is written in SQL. The same text decides in the shell whether a statement is complete. Pure.
 */

/** `statements` are complete, without their semicolon; `rest` is what follows the last one. */
export interface SplitSql {
  readonly statements: readonly string[];
  readonly rest: string;
}

/** Whatever is one piece: in this order, since an E belongs to the string behind it. What does not end is only its first character. */
const pieces = new RegExp(
  [
    String.raw`--[^\n]*(?:\n|$)`,
    String.raw`\/\*`,
    String.raw`\b[eE]'[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'`,
    `'[^']*(?:''[^']*)*'`,
    `"[^"]*(?:""[^"]*)*"`,
    String.raw`\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$`,
    String.raw`[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*`,
    String.raw`\d[\w.]*`,
    String.raw`\s+`,
    String.raw`[\s\S]`,
  ].join('|'),
  'y',
);

/** Index behind the comment that begins at `start`; comments may hold others. Undefined when it does not end. */
function commentEnd(sql: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < sql.length; ) {
    if (sql.startsWith('/*', at)) [depth, at] = [depth + 1, at + 2];
    else if (sql.startsWith('*/', at)) [depth, at] = [depth - 1, at + 2];
    else at += 1;
    if (depth === 0) return at;
  }
  return undefined;
}

export function splitPostgres(sql: string): SplitSql {
  const statements: string[] = [];
  let start = 0;
  let hasWords = false;
  let parentheses = 0;
  /** BEGIN ATOMIC and CASE … END inside it. */
  let atomic = 0;
  let before = '';
  const unfinished = (): SplitSql => ({ statements, rest: sql.slice(start).trim() });
  for (let at = 0; at < sql.length; ) {
    pieces.lastIndex = at;
    const piece = pieces.exec(sql)?.[0] ?? '';
    let end = at + piece.length;
    if (piece === '/*') {
      const behind = commentEnd(sql, at);
      if (behind === undefined) return unfinished();
      end = behind;
    } else if (/^\$.*\$$/s.test(piece)) {
      const behind = sql.indexOf(piece, end);
      if (behind < 0) return unfinished();
      end = behind + piece.length;
      hasWords = true;
    } else if (piece === "'" || piece === '"') {
      // It has no end, or it would be more than its first character.
      return unfinished();
    } else if (piece === ';' && parentheses === 0 && atomic === 0) {
      if (hasWords) statements.push(sql.slice(start, at).trim());
      start = end;
      hasWords = false;
    } else if (!/^(?:--|\s)/.test(piece)) {
      if (piece === '(') parentheses += 1;
      else if (piece === ')') parentheses = Math.max(0, parentheses - 1);
      const word = piece.toUpperCase();
      if ((word === 'ATOMIC' && before === 'BEGIN') || (word === 'CASE' && atomic > 0)) atomic += 1;
      else if (word === 'END' && atomic > 0) atomic -= 1;
      before = word;
      hasWords ||= piece !== ';';
    }
    at = end;
  }
  return { statements, rest: hasWords ? sql.slice(start).trim() : '' };
}
