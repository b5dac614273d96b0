/** Reads the parts of an import out of the file, from any position on, as steps of a request. */
import type { DatabaseSync } from 'node:sqlite';
import { type ImportStep, stepBytes, stepLimits } from './core/import-batch.ts';
import { type ImportPart, type ImportPosition, insertSql, rowColumns } from './core/import-plan.ts';
import { encodeWireValue, type WireValue } from './core/wire-value.ts';
import { fileRows } from './file-rows.ts';

function* rowSteps(
  db: DatabaseSync,
  part: Extract<ImportPart, { kind: 'rows' }>,
  position: ImportPosition,
): Generator<ImportStep> {
  const { table, indexes } = part;
  const rowsMax = Math.max(1, Math.floor(stepLimits.args / rowColumns(table).length));
  const fullSql = insertSql(table, rowsMax, null);
  let row = position.row;
  let waiting: (readonly WireValue[])[] = [];
  let bytes = 0;
  const step = (asText: readonly boolean[] | null): ImportStep => {
    const values = waiting.flat();
    const sql =
      asText === null && waiting.length === rowsMax ? fullSql : insertSql(table, waiting.length, asText);
    const made: ImportStep = {
      sql,
      args: values.map(({ json }) => json),
      rows: waiting.length,
      bytes: stepBytes(sql, values),
      what: `rows ${row - waiting.length + 1} to ${row} of ${table.name}`,
      after: row === table.rows ? { part: position.part + 1, row: 0 } : { part: position.part, row },
      entries: waiting.length * (1 + indexes),
      joins: false,
    };
    waiting = [];
    bytes = 0;
    return made;
  };
  for (const read of fileRows(db, table, position.row)) {
    const values = read.map(encodeWireValue);
    const isText = values.some(({ asText }) => asText);
    const size = stepBytes('', values);
    if (waiting.length > 0 && (isText || bytes + size > stepLimits.bytes)) yield step(null);
    waiting.push(values);
    bytes += size;
    row += 1;
    if (isText) yield step(values.map(({ asText }) => asText));
    else if (waiting.length === rowsMax) yield step(null);
  }
  if (waiting.length > 0) yield step(null);
}

/** The steps of `parts` from a position on. Reads rows as they are asked for. */
export function* stepsFrom(
  db: DatabaseSync,
  parts: readonly ImportPart[],
  position: ImportPosition,
): Generator<ImportStep> {
  for (let at = position.part; at < parts.length; at += 1) {
    const part = parts[at];
    if (part === undefined) return;
    const row = at === position.part ? position.row : 0;
    if (part.kind === 'rows') {
      yield* rowSteps(db, part, { part: at, row });
      continue;
    }
    const values = part.args.map(encodeWireValue);
    yield {
      sql: part.sql,
      args: values.map(({ json }) => json),
      rows: 0,
      bytes: stepBytes(part.sql, values),
      what: part.what,
      after: { part: at + 1, row: 0 },
      entries: 1,
      joins: part.joins,
    };
  }
}
