/** What the protocol layer asks of a stream, as operations: each is answered with what its kind is answered with. */
import assert from 'node:assert/strict';
import type { Bookmark } from '../sql/bookmark.ts';
import { type AnyOperationValue, isBatch, type SqlOperation } from '../sql/operation.ts';
import type {
  BatchResult,
  BatchStep,
  SqlDescription,
  SqlOutcome,
  SqlRequestContext,
  SqlResult,
  SqlSession,
  SqlStatement,
} from '../sql/sql.ts';

export abstract class OperationSession implements SqlSession {
  abstract isAutocommit(): boolean;
  abstract show(bookmark: Bookmark): void;
  abstract get bookmark(): Bookmark | null;
  abstract close(): Promise<void>;
  /** Runs one operation; the one before it has been answered. @param done called once, when its answer may leave. */
  abstract run(
    operation: SqlOperation,
    context: SqlRequestContext,
    done: (outcome: SqlOutcome<AnyOperationValue>) => void,
  ): void;

  execute(statement: SqlStatement, context: SqlRequestContext): Promise<SqlOutcome<SqlResult>> {
    return new Promise((resolve) =>
      this.run({ kind: 'execute', statement }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(value !== null && 'rows' in value, 'an execute is answered with rows');
        resolve({ ok: true, value });
      }),
    );
  }

  batch(steps: readonly BatchStep[], context: SqlRequestContext): Promise<SqlOutcome<BatchResult>> {
    return new Promise((resolve) =>
      this.run({ kind: 'batch', steps }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(isBatch(value), 'a batch is answered step by step');
        resolve({ ok: true, value });
      }),
    );
  }

  sequence(sql: string, context: SqlRequestContext): Promise<SqlOutcome<null>> {
    return new Promise((resolve) =>
      this.run({ kind: 'sequence', sql }, context, (outcome) =>
        resolve(outcome.ok ? { ok: true, value: null } : outcome),
      ),
    );
  }

  describe(sql: string, context: SqlRequestContext): Promise<SqlOutcome<SqlDescription>> {
    return new Promise((resolve) =>
      this.run({ kind: 'describe', sql }, context, (outcome) => {
        if (!outcome.ok) return resolve(outcome);
        const { value } = outcome;
        assert(value !== null && 'params' in value, 'a describe is answered with a description');
        resolve({ ok: true, value });
      }),
    );
  }
}
