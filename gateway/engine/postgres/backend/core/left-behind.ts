/**
 * What a session may leave on the backend that all share without its own texts saying so: a DO block, a function, a trigger or a view
 * sets things, locks and makes temporary objects too.
 *
 * G95. Such an operation is found, its settings are read back, and what else it has left is cleared, before another session runs. Pure.
 */

/** Statements whose effect stands in a text that is not theirs, or that may have made one which was used and is gone again. */
const actingVerb = /^\s*(?:DO|CALL)\b/i;
const actingTag = /^(?:DO|CALL|CREATE|ALTER|DROP)\b/;

/** Whether an operation may have left something, whatever the database holds. @param tags of its statements, as they were answered */
export const mayLeave = (statements: readonly string[], tags: readonly string[]): boolean =>
  statements.some((sql) => actingVerb.test(sql)) || changesActors(tags);

/** Whether an operation may have changed what `actorsSql` answers. */
export const changesActors = (tags: readonly string[]): boolean => tags.some((tag) => actingTag.test(tag));

/** Functions of the server that act on the session, and not on its transaction. */
const actingFunctions =
  "('set_config', 'pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_try_advisory_lock', 'pg_try_advisory_lock_shared')";
/** OIDs below are the server's own. */
const ownFrom = 16_384;
const comments = "'--[^\\n]*|/\\*.*?\\*/'";
/** In a body: a call of one of those functions, a statement that sets or is made at run time, or the word for what is temporary. */
const acting =
  "'\\m(set_config|pg_(try_)?advisory_lock(_shared)?|execute|temp|temporary|pg_temp|hold)\\M|" +
  "(^|;|\\m(begin|then|else|loop)\\M)\\s*(set|reset|discard)\\M'";

/** Trees of expressions that are kept as such: by the number of the function that they call. */
const trees = [
  ['pg_proc', 'prosqlbody'],
  ['pg_rewrite', 'ev_action'],
  ['pg_attrdef', 'adbin'],
  ['pg_policy', 'polqual'],
  ['pg_policy', 'polwithcheck'],
  ['pg_constraint', 'conbin'],
  ['pg_trigger', 'tgqual'],
] as const;

/** SQL that answers a row for everything in the database that may act on the session of whoever uses it: its text, where there is one. */
export const actorsSql = [
  'SELECT prosrc FROM pg_catalog.pg_proc' +
    ` WHERE oid >= ${ownFrom} AND pg_catalog.regexp_replace(prosrc, ${comments}, ' ', 'g') ~* ${acting}`,
  ...trees.map(
    ([table, column]) =>
      `SELECT '' FROM pg_catalog.${table} WHERE oid >= ${ownFrom} AND ${column}::text ~ (SELECT` +
      " ':funcid (' || string_agg(oid::text, '|') || ') ' FROM pg_catalog.pg_proc" +
      ` WHERE oid < ${ownFrom} AND proname IN ${actingFunctions})`,
  ),
].join(' UNION ALL ');

/** SQL that answers one row: temporary objects, locks of the session, cursors that outlive their transaction. To be asked outside one. */
export const leftSql =
  'SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()),' +
  " (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory'), (SELECT count(*) FROM pg_catalog.pg_cursors)";

export const clearSql = 'CLOSE ALL; DISCARD TEMP; SELECT pg_catalog.pg_advisory_unlock_all()';

const names = ['temporary objects', 'advisory locks', 'cursors WITH HOLD'] as const;

/** What is to be told of a row that `leftSql` has answered; null when there is nothing. */
export function leftText(row: readonly (string | null)[]): string | null {
  const left = names.filter((_, at) => (row[at] ?? '0') !== '0');
  return left.length === 0 ? null : `${left.join(', ')} ended with the transaction that made them`;
}

/** SQL that answers a row where the database has a sequence. */
export const sequencesSql =
  "SELECT 1 FROM pg_catalog.pg_class WHERE relkind = 'S' AND relpersistence <> 't' LIMIT 1";

const drawing = /^\s*(?:INSERT|WITH|MERGE|COPY|DO|CALL|EXECUTE|BEGIN|START)\b|\b(?:next|set|curr|last)val\b/i;

/** Whether an operation asks for the last values of sequences, or draws what may be asked for after it, or begins to. */
export const usesSequences = (statements: readonly string[]): boolean =>
  statements.some((sql) => drawing.test(sql));
