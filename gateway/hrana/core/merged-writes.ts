/**
 * Writes that a client sends one behind the other on one stream, without waiting for their answers, as one operation: they cross to
 * the engine, and wait for the quorum, once. Each is a transaction of its own as before, in the same order, with an answer of its
 * own; one that fails does not keep those behind it from running. Pure.
 *
 * Only writes whose words say that they begin, end and set up nothing are merged, so that whatever else a stream does, it does
 * where and when it would have done it.
 */
import assert from 'node:assert/strict';
import type { BatchCondition, BatchResult, BatchStep, SqlOutcome } from '../../sql/sql.ts';
import { factsOf } from '../../sql/statement-facts.ts';
import { traceparentOfSql } from '../../sql/trace-context.ts';
import type { ReadyRequest } from './stored-sql.ts';

/** Statements of one operation at most; also bounds for how long one client keeps others from the writing thread. */
const mergedStepsMax = 256;

const mergedWords: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'REPLACE']);
/** Rows that are returned count towards what one operation may answer with. */
const returning = /\breturning\b/i;

export type Write = Extract<ReadyRequest, { readonly kind: 'execute' | 'batch' }>;

/** The writes at the beginning of what waits that are to be one operation. @param waiting null for what is no plain write. */
export function mergeable(waiting: Iterable<Write | null>): readonly Write[] {
  const writes: Write[] = [];
  let steps = 0;
  for (const write of waiting) {
    if (write === null) break;
    steps += write.kind === 'batch' ? write.steps.length : 1;
    if (steps > mergedStepsMax) break;
    writes.push(write);
  }
  return writes;
}

/** The request as one that may be part of an operation with others; null when it may not. */
export function plainWrite(request: ReadyRequest): Write | null {
  switch (request.kind) {
    case 'execute':
      return writesPlainly(request.statement.sql) ? request : null;
    case 'batch':
      return request.steps.every(({ statement }) => writesPlainly(statement.sql)) ? request : null;
    default:
      return null;
  }
}

function writesPlainly(sql: string): boolean {
  const { word, kind } = factsOf(sql);
  if (kind !== 'write' || !mergedWords.has(word) || returning.test(sql)) return false;
  // A trace of its own is kept apart from others'.
  return traceparentOfSql(sql) === null;
}

/** The steps of several writes as those of one batch; conditions go on to name the steps of their own request. */
export function mergeWrites(writes: readonly Write[]): readonly BatchStep[] {
  const merged: BatchStep[] = [];
  for (const write of writes) {
    const first = merged.length;
    if (write.kind === 'execute') merged.push({ condition: null, statement: write.statement });
    else
      for (const { condition, statement } of write.steps)
        merged.push({ condition: condition === null ? null : moved(condition, first), statement });
  }
  return merged;
}

function moved(condition: BatchCondition, by: number): BatchCondition {
  switch (condition.kind) {
    case 'ok':
    case 'error':
      return { kind: condition.kind, step: condition.step + by };
    case 'not':
      return { kind: 'not', condition: moved(condition.condition, by) };
    case 'and':
    case 'or':
      return { kind: condition.kind, conditions: condition.conditions.map((part) => moved(part, by)) };
    case 'isAutocommit':
      return condition;
  }
}

/** What became of each write, in order: its own steps. What is said of the whole operation is said of each. */
export function splitOutcome(
  writes: readonly Write[],
  outcome: SqlOutcome<BatchResult>,
): readonly SqlOutcome<BatchResult>[] {
  if (!outcome.ok) return writes.map(() => outcome);
  let at = 0;
  return writes.map((write) => {
    const from = at;
    at += write.kind === 'batch' ? write.steps.length : 1;
    assert(at <= outcome.value.length, 'a batch is answered step by step');
    return { ok: true, value: outcome.value.slice(from, at) };
  });
}
