/**
 * What nearly all forwarded calls and their answers are, single statements and batches that came to an end, decoded without the schemas,
 * which take more CPU than the statement. What is taken here is exactly what the schemas would give; whatever is unusual, or wrong, is
 * left to them and to their messages. Pure.
 */
import { epoch, lsn } from '../../../storage/core.ts';
import type { SqlOperation } from '../../sql/operation.ts';
import type {
  BatchCondition,
  BatchResult,
  BatchStep,
  SqlColumn,
  SqlOutcome,
  SqlResult,
  SqlStatement,
  SqlValue,
} from '../../sql/sql.ts';
import { readPreferences, type StreamState } from '../../sql/stream-state.ts';
import { decodeInteger } from '../../sql/values.ts';
import type { ForwardCall, ForwardResult } from './forward-call.ts';
import { isForwardId } from './forward-messages.ts';
import { fromWire } from './forward-values.ts';

type Wire = Readonly<Record<string, unknown>>;

const isWire = (value: unknown): value is Wire =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isInt = (value: unknown): value is number => Number.isSafeInteger(value);
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === 'string';

/** What each entry is made of; null as soon as one of them is not plain. */
function each<T>(wire: unknown, one: (entry: unknown) => T | null): T[] | null {
  if (!Array.isArray(wire)) return null;
  const found: T[] = [];
  for (const entry of wire) {
    const made = one(entry);
    if (made === null) return null;
    found.push(made);
  }
  return found;
}

/** A call for the writer; null when the schemas have to look at it. */
export function plainCall(wire: unknown): ForwardCall | null {
  if (!isWire(wire)) return null;
  const { stream, fresh, traceparent } = wire;
  if (!isForwardId(stream) || typeof fresh !== 'boolean' || !isTextOrNull(traceparent)) return null;
  const state = plainState(wire.state);
  const operation = plainOperation(wire.operation);
  if (state === null || operation === null) return null;
  return { stream, fresh, state, traceparent, readOnly: false, operation };
}

function plainState(wire: unknown): StreamState | null {
  if (!isWire(wire) || !isWire(wire.counters)) return null;
  const readPreference = readPreferences.find((known) => known === wire.readPreference);
  const { changes, totalChanges, lastInsertRowid } = wire.counters;
  if (readPreference === undefined || !isInt(changes) || !isInt(totalChanges)) return null;
  if (!Array.isArray(wire.settings) || wire.settings.length > 0) return null;
  const rowid = typeof lastInsertRowid === 'string' ? decodeInteger(lastInsertRowid) : null;
  if (rowid === null) return null;
  return { readPreference, settings: [], counters: { changes, totalChanges, lastInsertRowid: rowid } };
}

function plainOperation(wire: unknown): SqlOperation | null {
  if (!isWire(wire)) return null;
  if (wire.kind === 'execute') {
    const statement = plainStatement(wire.statement);
    return statement === null ? null : { kind: 'execute', statement };
  }
  if (wire.kind !== 'batch') return null;
  const steps = each(wire.steps, plainStep);
  return steps === null ? null : { kind: 'batch', steps };
}

function plainStep(wire: unknown): BatchStep | null {
  if (!isWire(wire)) return null;
  const condition = wire.condition === null ? null : plainCondition(wire.condition);
  const statement = plainStatement(wire.statement);
  return condition === undefined || statement === null ? null : { condition, statement };
}

/** That a step succeeded, or did not; undefined when the schemas have to look at it. */
function plainCondition(wire: unknown): BatchCondition | undefined {
  if (!isWire(wire)) return undefined;
  if (wire.kind === 'ok') return isInt(wire.step) ? { kind: 'ok', step: wire.step } : undefined;
  if (wire.kind !== 'not' || !isWire(wire.condition) || wire.condition.kind !== 'ok') return undefined;
  const condition = plainCondition(wire.condition);
  return condition === undefined ? undefined : { kind: 'not', condition };
}

function plainStatement(wire: unknown): SqlStatement | null {
  if (!isWire(wire)) return null;
  const { sql, namedArgs, wantRows, textRows = false } = wire;
  if (typeof sql !== 'string' || typeof wantRows !== 'boolean' || typeof textRows !== 'boolean') return null;
  if (!Array.isArray(namedArgs) || namedArgs.length > 0) return null;
  const args = plainValues(wire.args);
  return args === null ? null : { sql, args, namedArgs: [], wantRows, textRows };
}

function plainValues(wire: unknown): SqlValue[] | null {
  if (!Array.isArray(wire)) return null;
  const values: SqlValue[] = [];
  for (const given of wire) {
    const value = fromWire(given);
    if (value === undefined) return null;
    values.push(value);
  }
  return values;
}

type Answered = Extract<ForwardResult, { kind: 'answered' }>;

/** The answer to an operation of that kind; null when the schemas have to look at it. */
export function plainResult(kind: SqlOperation['kind'], wire: unknown): Answered | null {
  if (!isWire(wire) || wire.kind !== 'answered' || wire.of !== kind) return null;
  const { autocommit, holds, seenLsn, epoch: reign } = wire;
  if (typeof autocommit !== 'boolean' || typeof holds !== 'boolean') return null;
  if (!isInt(seenLsn) || seenLsn < 0 || !isInt(reign) || reign < 0 || reign > 0xffff_ffff) return null;
  const state = wire.state === null ? null : plainState(wire.state);
  if (state === null && wire.state !== null) return null;
  const outcome = kind === 'execute' ? plainOutcome(wire.outcome) : plainSteps(kind, wire.outcome);
  if (outcome === null) return null;
  return { kind: 'answered', outcome, autocommit, holds, state, seenLsn: lsn(seenLsn), epoch: epoch(reign) };
}

/** Of a batch whose steps all ran to their end, or were skipped. */
function plainSteps(kind: SqlOperation['kind'], wire: unknown): SqlOutcome<BatchResult> | null {
  if (kind !== 'batch' || !isWire(wire) || wire.ok !== true || !Array.isArray(wire.value)) return null;
  const value: (SqlOutcome<SqlResult> | null)[] = [];
  for (const step of wire.value) {
    const outcome = step === null ? null : plainOutcome(step);
    if (outcome === null && step !== null) return null;
    value.push(outcome);
  }
  return { ok: true, value };
}

function plainOutcome(wire: unknown): SqlOutcome<SqlResult> | null {
  if (!isWire(wire) || wire.ok !== true || !isWire(wire.value)) return null;
  const { affectedRowCount, lastInsertRowid, rowsRead, rowsWritten, textBytes } = wire.value;
  if (!isNumber(affectedRowCount) || textBytes !== undefined) return null;
  if (rowsRead !== undefined && !isNumber(rowsRead)) return null;
  if (rowsWritten !== undefined && !isNumber(rowsWritten)) return null;
  const columns = each(wire.value.columns, plainColumn);
  const rows = each(wire.value.rows, plainValues);
  const rowid = typeof lastInsertRowid === 'string' ? decodeInteger(lastInsertRowid) : null;
  if (columns === null || rows === null || (rowid === null && lastInsertRowid !== null)) return null;
  return {
    ok: true,
    value: {
      columns,
      rows,
      affectedRowCount,
      lastInsertRowid: rowid,
      ...(rowsRead !== undefined && { rowsRead }),
      ...(rowsWritten !== undefined && { rowsWritten }),
    },
  };
}

function plainColumn(wire: unknown): SqlColumn | null {
  if (!isWire(wire)) return null;
  const { name, decltype } = wire;
  return isTextOrNull(name) && isTextOrNull(decltype) ? { name, decltype } : null;
}
