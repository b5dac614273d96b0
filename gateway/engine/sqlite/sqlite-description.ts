/** What a statement takes and gives, told without running it. */
import { sqlError } from '../../sql/errors.ts';
import type { SqlDescription, SqlOutcome } from '../../sql/sql.ts';
import { firstWord } from '../../sql/statement-facts.ts';
import type { Connection } from './sqlite-connection.ts';

/** Describes a text that holds one statement. A PRAGMA with a value is not compiled, since it would take effect. */
export function describeStatement(connection: Connection, sql: string): SqlOutcome<SqlDescription> {
  const prepared = connection.prepare(sql, 'dry');
  if (prepared.kind !== 'statement') {
    const error =
      prepared.kind === 'failed'
        ? prepared.error
        : sqlError('SQL_NO_STATEMENT', 'The SQL text holds no statement.');
    const isPragma = prepared.kind === 'failed' && prepared.writes && firstWord(sql) === 'PRAGMA';
    if (!isPragma) return { ok: false, error };
    return { ok: true, value: { params: [], columns: [], isExplain: false, isReadonly: false } };
  }
  const { statement } = prepared;
  const description: SqlDescription = {
    params: statement.parameters.map((name) => ({ name })),
    columns: statement.columns,
    isExplain: statement.isExplain,
    isReadonly: statement.readonly,
  };
  connection.finish(statement);
  return { ok: true, value: description };
}
