/** Prepared statements: their arguments, and what their columns and parameters are called. */
import { failure } from '../../sql/errors.ts';
import type { SqlColumn, SqlOutcome, SqlStatement, SqlValue } from '../../sql/sql.ts';
import type { Pointer, SqliteWasm } from './sqlite-wasm.ts';

/** SQLITE_STATIC: the scratch memory outlives the statement's run. */
const staticMemory = 0;
const done: SqlOutcome<null> = { ok: true, value: null };

/** A prepared statement and what is known of it. */
export interface PreparedStatement {
  readonly pointer: Pointer;
  /** First word of its text, in upper case. */
  readonly word: string;
  /** True when it writes to the volume; a write to a temporary table does not. */
  readonly writes: boolean;
  /** It writes to the volume, and neither to temporary objects nor to attached databases. */
  readonly onlyMain: boolean;
  readonly readonly: boolean;
  /** BEGIN, or a SAVEPOINT that may be one. */
  readonly begins: boolean;
  /** BEGIN TRANSACTION READONLY. */
  readonly beginsReadonly: boolean;
  /** Running it may change which temporary objects and attached databases there are. */
  readonly marks: boolean;
  /** It tells of the schema as its connection knows it, which has to look first whether others have changed it. */
  readonly looksAtSchema: boolean;
  /** It changes the rows that keep the schema: by hand, or as part of what CREATE, ALTER and DROP do. */
  readonly editsSchema: boolean;
  readonly isExplain: boolean;
  /** `changes()` is 0 after it, as SQLite has it after an EXPLAIN of what counts rows. */
  readonly forgetsChanges: boolean;
  /** One per parameter; null for `?` and for numbers that are skipped. */
  readonly parameters: readonly (string | null)[];
  columns: readonly SqlColumn[];
  /** How often SQLite had re-prepared it when `columns` was read. */
  reprepared: number;
  /** True while its connection keeps it for the next time. */
  cached: boolean;
}

type BoundValue = SqlValue | undefined;

/**
 * Matches arguments to parameters as libSQL servers do: a named parameter takes the argument of its name, or the
 * positional one at its index.
 */
function chooseValues(statement: PreparedStatement, given: SqlStatement): SqlOutcome<readonly SqlValue[]> {
  const { args, namedArgs } = given;
  const { parameters } = statement;
  if (args.length > 0 && namedArgs.length > 0) {
    return failure(
      'ARGS_BOTH_POSITIONAL_AND_NAMED',
      'A statement takes positional or named arguments, not both.',
    );
  }
  const count = args.length + namedArgs.length;
  if (count > parameters.length) {
    return failure(
      'ARGS_INVALID',
      `The statement has ${parameters.length} parameters, ${count} arguments were given.`,
    );
  }
  if (namedArgs.length === 0) {
    if (args.length === parameters.length) return { ok: true, value: args };
    const missing = parameters[args.length] ?? `number ${args.length + 1}`;
    return failure(
      'ARGS_INVALID',
      `Parameter ${missing} has no argument: ${args.length} of ${parameters.length} were given.`,
    );
  }
  const byName = new Map<string, SqlValue>();
  for (const { name, value } of namedArgs) byName.set(/^[:@$?]/.test(name) ? name.slice(1) : name, value);
  const values: SqlValue[] = [];
  for (const [index, name] of parameters.entries()) {
    const value: BoundValue = name === null ? null : byName.get(name.slice(1));
    if (value === undefined)
      return failure('ARGS_INVALID', `Parameter ${name ?? index + 1} has no argument of that name.`);
    values.push(value);
  }
  return { ok: true, value: values };
}

/** Binds arguments; text and blobs lie in the scratch memory until the next statement. */
export function bindArguments(
  wasm: SqliteWasm,
  statement: PreparedStatement,
  given: SqlStatement,
): SqlOutcome<null> {
  if (statement.parameters.length === 0 && given.args.length === 0 && given.namedArgs.length === 0)
    return done;
  const chosen = chooseValues(statement, given);
  if (!chosen.ok) return chosen;
  let bytes = 0;
  for (const value of chosen.value) {
    if (typeof value === 'string') bytes += value.length * 3;
    else if (value instanceof Uint8Array) bytes += value.length;
  }
  const scratch = bytes === 0 ? 0 : wasm.scratch(bytes);
  if (bytes > 0 && scratch === 0)
    return failure('SQLITE_NOMEM', 'The arguments do not fit the memory of the engine.');
  const heap = wasm.heap();
  const { call } = wasm;
  const { pointer } = statement;
  let at = scratch;
  let index = 0;
  for (const value of chosen.value) {
    index++;
    let result: number;
    if (value === null) result = call.sqlite3_bind_null(pointer, index);
    else if (typeof value === 'bigint') {
      if (BigInt.asIntN(64, value) !== value) {
        return failure('ARGS_INVALID', `Argument ${index} does not fit a 64-bit integer.`);
      }
      result = call.sqlite3_bind_int64(pointer, index, value);
    } else if (typeof value === 'number') result = call.sqlite3_bind_double(pointer, index, value);
    else if (typeof value === 'string') {
      const length = heap.write(value, at, 'utf8');
      // An empty text needs an address that is not NULL, which would bind NULL.
      result = call.sqlite3_bind_text(pointer, index, length === 0 ? 8 : at, length, staticMemory);
      at += length;
    } else if (value.length === 0) result = call.sqlite3_bind_zeroblob(pointer, index, 0);
    else {
      heap.set(value, at);
      result = call.sqlite3_bind_blob(pointer, index, at, value.length, staticMemory);
      at += value.length;
    }
    if (result !== 0)
      return failure('ARGS_INVALID', `Argument ${index} could not be bound: SQLite result ${result}.`);
  }
  return done;
}

/** Names and declared types of a statement's columns. */
export function readColumns(wasm: SqliteWasm, pointer: Pointer): readonly SqlColumn[] {
  const { call } = wasm;
  const columns: SqlColumn[] = [];
  const count = call.sqlite3_column_count(pointer);
  for (let column = 0; column < count; column++) {
    columns.push({
      name: wasm.stringAt(call.sqlite3_column_name(pointer, column)),
      decltype: wasm.stringAt(call.sqlite3_column_decltype(pointer, column)),
    });
  }
  return columns;
}

/** Names of a statement's parameters. */
export function readParameters(wasm: SqliteWasm, pointer: Pointer): readonly (string | null)[] {
  const { call } = wasm;
  const count = call.sqlite3_bind_parameter_count(pointer);
  const names: (string | null)[] = [];
  for (let index = 1; index <= count; index++)
    names.push(wasm.stringAt(call.sqlite3_bind_parameter_name(pointer, index)));
  return names;
}
