/**
 * How messages between the main thread and the engine's worker travel. A structured clone pays for every object and every
 * key of it, on both sides, so operations, commits and answers go as flat lists of plain values. Both ends are this file:
 * what is read here was written here, and anything else is a broken invariant.
 *
 * G27. Packing and unpacking give back an equal message.
 */
import assert from 'node:assert/strict';
import { type Lsn, lsn, type PgId, pgId } from '../../../storage/redo.ts';
import type { AnyOperationValue, SqlOperation } from '../../sql/operation.ts';
import type {
  BatchCondition,
  BatchResult,
  BatchStep,
  SqlColumn,
  SqlDescription,
  SqlOutcome,
  SqlResult,
  SqlStatement,
  SqlValue,
} from '../../sql/sql.ts';
import {
  freshStream,
  readPreferences,
  type StreamSetting,
  type StreamState,
} from '../../sql/stream-state.ts';
import type { WireOperation, WireResult } from '../../sql/wire-operation.ts';
import type { RedoPlace } from '../scratch/core/redo-place.ts';
import type {
  EngineAnswer,
  EngineCommit,
  EngineNews,
  EngineTrace,
  FromWorker,
  Peeked,
  SessionCommit,
  ToWorker,
  WorkerAnswer,
  WorkerCommit,
} from './engine-protocol.ts';

/** A message as it is posted. `redo` is handed over, not copied. */
export interface PackedFromWorker {
  readonly values: readonly unknown[];
  readonly redo: Uint8Array<ArrayBuffer> | null;
}

const inward = { operation: 0, other: 1 } as const;
const operations = { execute: 0, batch: 1, sequence: 2, describe: 3, wire: 4 } as const;
const outcomes = { failed: 0, result: 1, batch: 2, nothing: 3, description: 4, skipped: 5, wire: 6 } as const;
const flag = {
  wantRows: 1,
  textRows: 2,
  autocommit: 1,
  wrote: 2,
  aborted: 4,
  rerunnable: 8,
  holds: 16,
  counted: 32,
} as const;

export function packToWorker(batch: readonly ToWorker[]): readonly unknown[] {
  const out: unknown[] = [];
  for (const message of batch) {
    if (message.kind === 'operation') packOperation(out, message);
    else out.push(inward.other, message);
  }
  return out;
}

export function unpackToWorker(values: readonly unknown[]): readonly ToWorker[] {
  const from = new Values(values);
  const batch: ToWorker[] = [];
  while (!from.isEmpty) {
    const tag = from.number();
    batch.push(tag === inward.operation ? unpackOperation(from) : from.as<ToWorker>());
  }
  return batch;
}

function packOperation(out: unknown[], message: Extract<ToWorker, { kind: 'operation' }>): void {
  const { id, session, trace, state, operation } = message;
  out.push(inward.operation, id, session);
  packTrace(out, trace);
  packState(out, state === freshStream ? 'fresh' : state);
  switch (operation.kind) {
    case 'execute':
      out.push(operations.execute);
      packStatement(out, operation.statement);
      return;
    case 'batch':
      out.push(operations.batch, operation.steps.length);
      for (const { condition, statement } of operation.steps) {
        out.push(condition);
        packStatement(out, statement);
      }
      return;
    case 'sequence':
      out.push(operations.sequence, operation.sql);
      return;
    case 'describe':
      out.push(operations.describe, operation.sql);
      return;
    case 'wire':
      out.push(operations.wire, operation);
      return;
  }
}

function unpackOperation(from: Values): Extract<ToWorker, { kind: 'operation' }> {
  const id = from.number();
  const session = from.number();
  const trace = unpackTrace(from);
  const state = unpackState(from);
  return { kind: 'operation', id, session, trace, state, operation: unpackSql(from) };
}

function unpackSql(from: Values): SqlOperation {
  const kind = from.number();
  switch (kind) {
    case operations.execute:
      return { kind: 'execute', statement: unpackStatement(from) };
    case operations.batch: {
      const steps: BatchStep[] = [];
      for (let left = from.number(); left > 0; left--) {
        const condition = from.as<BatchCondition | null>();
        steps.push({ condition, statement: unpackStatement(from) });
      }
      return { kind: 'batch', steps };
    }
    case operations.sequence:
      return { kind: 'sequence', sql: from.text() };
    case operations.wire:
      return from.as<WireOperation>();
    default:
      assert.equal(kind, operations.describe, 'G27: an operation of a known kind');
      return { kind: 'describe', sql: from.text() };
  }
}

function packTrace(out: unknown[], trace: EngineTrace | null): void {
  if (trace === null) out.push(null);
  else out.push(trace.traceId, trace.flags);
}

function unpackTrace(from: Values): EngineTrace | null {
  const traceId = from.as<string | null>();
  return traceId === null ? null : { traceId, flags: from.number() };
}

const noState = -1;
const freshState = -2;

function packState(out: unknown[], state: StreamState | 'fresh' | null): void {
  if (state === null || state === 'fresh') {
    out.push(state === null ? noState : freshState);
    return;
  }
  const { readPreference, settings, counters } = state;
  out.push(readPreferences.indexOf(readPreference), settings.length);
  for (const { name, value } of settings) out.push(name, value);
  out.push(counters.changes, counters.totalChanges, counters.lastInsertRowid);
}

function unpackState(from: Values): StreamState | null {
  const kind = from.number();
  const readPreference = readPreferences[kind];
  if (readPreference === undefined) return kind === freshState ? freshStream : null;
  const settings: StreamSetting[] = [];
  for (let left = from.number(); left > 0; left--) settings.push({ name: from.text(), value: from.text() });
  const counters = {
    changes: from.number(),
    totalChanges: from.number(),
    lastInsertRowid: from.as<bigint>(),
  };
  return { readPreference, settings, counters };
}

function packStatement(out: unknown[], statement: SqlStatement): void {
  const { sql, args, namedArgs, wantRows, textRows } = statement;
  out.push(sql, (wantRows ? flag.wantRows : 0) | (textRows === true ? flag.textRows : 0), args.length);
  for (const value of args) out.push(value);
  out.push(namedArgs.length);
  for (const { name, value } of namedArgs) out.push(name, value);
}

function unpackStatement(from: Values): SqlStatement {
  const sql = from.text();
  const flags = from.number();
  const args = from.list<SqlValue>(from.number());
  const namedArgs: { readonly name: string; readonly value: SqlValue }[] = [];
  for (let left = from.number(); left > 0; left--)
    namedArgs.push({ name: from.text(), value: from.as<SqlValue>() });
  const wantRows = (flags & flag.wantRows) !== 0;
  return { sql, args, namedArgs, wantRows, textRows: (flags & flag.textRows) !== 0 };
}

export function packFromWorker(message: FromWorker): PackedFromWorker {
  const { readPoint, generation, diverged, commits, answers, peeked, news } = message;
  const out: unknown[] = [readPoint, generation, diverged, commits.length];
  for (const commit of commits) packCommit(out, commit);
  out.push(peeked.length);
  for (const { id, bytes } of peeked) out.push(id, bytes);
  out.push(news.length, ...news);
  for (const answer of answers) packAnswer(out, answer);
  return { values: out, redo: message.redo };
}

/** The memory of a message that is handed over with it. */
export function ownedMemory({ redo, answers }: FromWorker): ArrayBuffer[] {
  const owned: ArrayBuffer[] = [];
  if (redo !== null) owned.push(redo.buffer);
  for (const { answer } of answers) {
    const { outcome } = answer;
    if (!outcome.ok || outcome.value === null) continue;
    if ('rows' in outcome.value) ownText(owned, outcome.value);
    else if (Array.isArray(outcome.value))
      for (const step of outcome.value) if (step?.ok === true) ownText(owned, step.value);
  }
  return owned;
}

function ownText(owned: ArrayBuffer[], { rowsText }: SqlResult): void {
  for (const { buffer } of rowsText?.parts ?? []) if (buffer instanceof ArrayBuffer) owned.push(buffer);
}

export function unpackFromWorker({ values, redo }: PackedFromWorker): FromWorker {
  const from = new Values(values);
  const readPoint = from.lsn();
  const generation = from.number();
  const diverged = from.as<string | null>();
  const commits: WorkerCommit[] = [];
  for (let left = from.number(); left > 0; left--) commits.push(unpackCommit(from));
  const peeked: Peeked[] = [];
  for (let left = from.number(); left > 0; left--)
    peeked.push({ id: from.number(), bytes: from.as<Peeked['bytes']>() });
  const news = from.list<EngineNews>(from.number());
  const answers: WorkerAnswer[] = [];
  while (!from.isEmpty) answers.push(unpackAnswer(from));
  return { readPoint, generation, diverged, commits, redo, answers, peeked, news };
}

function packCommit(out: unknown[], commit: WorkerCommit): void {
  const { lsn: end, runs, stored, commits } = commit;
  out.push(end, stored, runs.length);
  for (const { pg, length } of runs) out.push(pg, length);
  out.push(commits.length);
  for (const { session, lsn, commitTimeUs, spanId, trace } of commits) {
    out.push(session, lsn, commitTimeUs, spanId);
    packTrace(out, trace);
  }
}

function unpackCommit(from: Values): WorkerCommit {
  const end = from.lsn();
  const stored = from.as<RedoPlace | null>();
  const runs: { readonly pg: PgId; readonly length: number }[] = [];
  for (let left = from.number(); left > 0; left--)
    runs.push({ pg: pgId(from.number()), length: from.number() });
  const commits: SessionCommit[] = [];
  for (let left = from.number(); left > 0; left--) {
    const session = from.number();
    commits.push({
      session,
      lsn: from.lsn(),
      commitTimeUs: from.number(),
      spanId: from.as<string | null>(),
      trace: unpackTrace(from),
    });
  }
  return { lsn: end, runs, stored, commits };
}

function packAnswer(out: unknown[], { id, answer, counted, rerunnable }: WorkerAnswer): void {
  const { outcome, seenLsn, commits, engineUs, state } = answer;
  const flags =
    (answer.autocommit ? flag.autocommit : 0) |
    (answer.wrote ? flag.wrote : 0) |
    (answer.aborted ? flag.aborted : 0) |
    (answer.holds ? flag.holds : 0) |
    (counted ? flag.counted : 0) |
    (rerunnable ? flag.rerunnable : 0);
  out.push(id, flags, seenLsn, engineUs);
  packState(out, state);
  out.push(commits.length);
  for (const { lsn, commitTimeUs } of commits) out.push(lsn, commitTimeUs);
  packOutcome(out, outcome);
}

function unpackAnswer(from: Values): WorkerAnswer {
  const id = from.number();
  const flags = from.number();
  const seenLsn = from.lsn();
  const engineUs = from.number();
  const state = unpackState(from);
  const commits: EngineCommit[] = [];
  for (let left = from.number(); left > 0; left--) {
    commits.push({ lsn: from.lsn(), commitTimeUs: from.number() });
  }
  const answer: EngineAnswer<AnyOperationValue> = {
    outcome: unpackOutcome(from),
    seenLsn,
    commits,
    autocommit: (flags & flag.autocommit) !== 0,
    wrote: (flags & flag.wrote) !== 0,
    aborted: (flags & flag.aborted) !== 0,
    engineUs,
    state,
    holds: (flags & flag.holds) !== 0,
  };
  const counted = (flags & flag.counted) !== 0;
  return { id, answer, counted, rerunnable: (flags & flag.rerunnable) !== 0 };
}

function packOutcome(out: unknown[], outcome: SqlOutcome<AnyOperationValue>): void {
  if (!outcome.ok) {
    out.push(outcomes.failed, outcome.error.code, outcome.error.message);
    return;
  }
  const { value } = outcome;
  if (value === null) out.push(outcomes.nothing);
  else if ('rows' in value) packResult(out, value);
  else if ('params' in value) out.push(outcomes.description, value);
  else if ('messages' in value) out.push(outcomes.wire, value);
  else {
    out.push(outcomes.batch, value.length);
    for (const step of value) {
      if (step === null) out.push(outcomes.skipped);
      else packOutcome(out, step);
    }
  }
}

function unpackOutcome(from: Values): SqlOutcome<AnyOperationValue> {
  const kind = from.number();
  switch (kind) {
    case outcomes.nothing:
      return { ok: true, value: null };
    case outcomes.description:
      return { ok: true, value: from.as<SqlDescription>() };
    case outcomes.batch:
      return { ok: true, value: unpackBatch(from) };
    case outcomes.wire:
      return { ok: true, value: from.as<WireResult>() };
    default:
      return unpackStep(from, kind);
  }
}

function unpackBatch(from: Values): BatchResult {
  const steps: (SqlOutcome<SqlResult> | null)[] = [];
  for (let left = from.number(); left > 0; left--) {
    const kind = from.number();
    steps.push(kind === outcomes.skipped ? null : unpackStep(from, kind));
  }
  return steps;
}

function unpackStep(from: Values, kind: number): SqlOutcome<SqlResult> {
  if (kind === outcomes.failed) return { ok: false, error: { code: from.text(), message: from.text() } };
  assert.equal(kind, outcomes.result, 'G27: an outcome of a known kind');
  return { ok: true, value: unpackResult(from) };
}

function packResult(out: unknown[], result: SqlResult): void {
  const { columns, rows, rowsText, affectedRowCount, lastInsertRowid } = result;
  out.push(outcomes.result, affectedRowCount, lastInsertRowid, columns.length);
  for (const { name, decltype } of columns) out.push(name, decltype);
  // A negative count is one of parts.
  if (rowsText !== undefined) out.push(-rowsText.parts.length, ...rowsText.parts);
  else {
    out.push(rows.length);
    for (const row of rows) for (const value of row) out.push(value);
  }
}

function unpackResult(from: Values): SqlResult {
  const affectedRowCount = from.number();
  const lastInsertRowid = from.as<bigint | null>();
  const columns: SqlColumn[] = [];
  const width = from.number();
  for (let left = width; left > 0; left--)
    columns.push({ name: from.as<string | null>(), decltype: from.as<string | null>() });
  const count = from.number();
  const rows: (readonly SqlValue[])[] = [];
  if (count < 0) {
    const rowsText = { parts: from.list<Uint8Array>(-count) };
    return { columns, rows, rowsText, affectedRowCount, lastInsertRowid };
  }
  for (let left = count; left > 0; left--) rows.push(from.list<SqlValue>(width));
  return { columns, rows, affectedRowCount, lastInsertRowid };
}

/** Reads a flat list from front to back. */
class Values {
  private readonly values: readonly unknown[];
  private at = 0;

  constructor(values: readonly unknown[]) {
    this.values = values;
  }

  get isEmpty(): boolean {
    return this.at === this.values.length;
  }

  number(): number {
    const value = this.values[this.at++];
    if (typeof value !== 'number') assert.fail('G27: a number is where one was put');
    return value;
  }

  text(): string {
    const value = this.values[this.at++];
    if (typeof value !== 'string') assert.fail('G27: a text is where one was put');
    return value;
  }

  lsn(): Lsn {
    return lsn(this.number());
  }

  /** The next value, which was packed as a T. */
  as<T>(): T {
    if (this.at >= this.values.length) assert.fail('G27: no more is read than was written');
    return this.values[this.at++] as T;
  }

  /** The next values, which were packed as Ts. */
  list<T>(length: number): T[] {
    const { at } = this;
    this.at += length;
    if (this.at > this.values.length) assert.fail('G27: no more is read than was written');
    return this.values.slice(at, this.at) as T[];
  }
}
