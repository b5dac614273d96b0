/** One request of a client to the SQL layer, and what it is answered with. Pure. */
import { unreachable } from '../../storage/redo.ts';
import type { BatchResult, BatchStep, SqlDescription, SqlResult, SqlStatement } from './sql.ts';
import { factsOf } from './statement-facts.ts';
import type { WireOperation, WireResult } from './wire-operation.ts';

export type SqlOperation =
  | { readonly kind: 'execute'; readonly statement: SqlStatement }
  | { readonly kind: 'batch'; readonly steps: readonly BatchStep[] }
  | { readonly kind: 'sequence'; readonly sql: string }
  | { readonly kind: 'describe'; readonly sql: string }
  | WireOperation;

export interface OperationValues {
  readonly execute: SqlResult;
  readonly batch: BatchResult;
  readonly sequence: null;
  readonly describe: SqlDescription;
  readonly wire: WireResult;
}

export type AnyOperationValue = OperationValues[keyof OperationValues];

/** Whether the value is that of a batch: what became of each of its steps. */
export const isBatch = (value: AnyOperationValue): value is BatchResult => Array.isArray(value);

/** Statements of an operation, as far as they are separate. */
export function statementsOf(operation: SqlOperation): readonly string[] {
  switch (operation.kind) {
    case 'execute':
      return [operation.statement.sql];
    case 'batch':
      return operation.steps.map(({ statement }) => statement.sql);
    case 'sequence':
    case 'describe':
      return [operation.sql];
    case 'wire':
      return operation.statements;
    default:
      return unreachable(operation);
  }
}

/** The SQL verb an operation is counted and traced under. */
export function verbOf(operation: SqlOperation): string {
  switch (operation.kind) {
    case 'execute':
      return factsOf(operation.statement.sql).word;
    case 'batch':
      return 'BATCH';
    case 'sequence':
      return factsOf(operation.sql).word;
    case 'describe':
      return '';
    case 'wire':
      return operation.statements.length > 1 ? 'BATCH' : factsOf(operation.statements[0] ?? '').word;
    default:
      return unreachable(operation);
  }
}
