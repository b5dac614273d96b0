/**
 * Cuts SQL text into statements at the semicolons that end one: not those in strings, quoted names, comments, or the body of a
 * trigger. The same text decides in the shell whether a statement is complete.
 */

/** `statements` are complete (without their semicolon); `rest` is what follows the last one. */
export type SplitSql = { readonly statements: readonly string[]; readonly rest: string };

const closers: Readonly<Record<string, string>> = { "'": "'", '"': '"', '`': '`', '[': ']' };

/** Index just past the string, quoted name or comment that begins at `start`, or undefined when it does not end. */
function skipQuoted(sql: string, start: number): number | undefined {
  const [closer, from] = sql.startsWith('--', start)
    ? ['\n', start + 2]
    : sql.startsWith('/*', start)
      ? ['*/', start + 2]
      : [closers[sql[start] ?? ''] ?? '', start + 1];
  const end = sql.indexOf(closer, from);
  return end < 0 ? undefined : end + closer.length;
}

const isWord = (character: string): boolean => /[A-Za-z0-9_$]/.test(character);
const triggerStart = /^(?:explain\s+(?:query\s+plan\s+)?)?create\s+(?:temp\s+|temporary\s+)?trigger$/;

export function splitStatements(sql: string): SplitSql {
  const statements: string[] = [];
  let start = 0;
  let index = 0;
  /** Words of the statement so far, while they could still begin a trigger. */
  let opening = '';
  let isTrigger = false;
  /** CASE … END and BEGIN … END inside a trigger; it is complete at a semicolon at depth 0 after BEGIN. */
  let depth = 0;

  while (index < sql.length) {
    const character = sql[index] ?? '';
    if (closers[character] !== undefined || sql.startsWith('--', index) || sql.startsWith('/*', index)) {
      const end = skipQuoted(sql, index);
      if (end === undefined) return { statements, rest: sql.slice(start).trim() };
      index = end;
    } else if (isWord(character)) {
      let end = index + 1;
      while (end < sql.length && isWord(sql[end] ?? '')) end += 1;
      const word = sql.slice(index, end).toLowerCase();
      if (isTrigger) {
        if (word === 'begin' || word === 'case') depth += 1;
        else if (word === 'end') depth -= 1;
      } else if (opening.length < 64) {
        opening = `${opening} ${word}`.trimStart();
        isTrigger = triggerStart.test(opening);
      }
      index = end;
    } else {
      index += 1;
      if (character === ';' && depth <= 0) {
        const statement = sql.slice(start, index - 1).trim();
        if (opening !== '') statements.push(statement);
        start = index;
        opening = '';
        isTrigger = false;
        depth = 0;
      }
    }
  }
  return { statements, rest: sql.slice(start).trim() };
}
