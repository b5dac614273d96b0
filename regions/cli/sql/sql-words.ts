/** What the shell offers when Tab is pressed: dot commands, words of SQL, and names of the database. Pure. */

const keywords = (
  'ABORT ADD ALL ALTER ANALYZE AND AS ASC ATTACH BEGIN BETWEEN BY CASE CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT ' +
  'CREATE CROSS CURRENT_TIMESTAMP DEFAULT DEFERRED DELETE DESC DETACH DISTINCT DO DROP ELSE END EXCEPT EXISTS EXPLAIN ' +
  'FOREIGN FROM GROUP HAVING IF IMMEDIATE IN INDEX INNER INSERT INTERSECT INTO IS JOIN KEY LEFT LIKE LIMIT NOT NOTHING NULL ' +
  'OFFSET ON OR ORDER OUTER PLAN PRAGMA PRIMARY QUERY REFERENCES REINDEX RELEASE RENAME REPLACE RETURNING ROLLBACK SAVEPOINT ' +
  'SELECT SET TABLE TEMP THEN TO TRANSACTION TRIGGER UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WITH'
).split(' ');

/**
 * @param line what stands before the cursor.
 * @param names tables, views and columns.
 * @returns the candidates, and the part of the line they would take the place of.
 */
export function completionsOf(
  line: string,
  names: readonly string[],
  dotCommands: readonly string[],
): readonly [readonly string[], string] {
  if (line.startsWith('.') && !line.includes(' '))
    return [dotCommands.filter((command) => command.startsWith(line)), line];
  const word = /[\p{L}\p{N}_$]*$/u.exec(line)?.[0] ?? '';
  const begins = word.toLowerCase();
  const fits = (candidate: string): boolean => candidate.toLowerCase().startsWith(begins);
  if (word === '') return [names, word];
  const isLower = word === begins;
  const words = keywords.filter(fits).map((keyword) => (isLower ? keyword.toLowerCase() : keyword));
  return [[...new Set([...names.filter(fits), ...words])], word];
}
