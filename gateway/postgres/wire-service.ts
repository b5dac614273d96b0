/** What the front end needs of the sessions below it; `GatewaySqlService` has it. */
import type { BranchName } from '../../storage/core.ts';
import type { SessionOptions, SqlError, SqlOutcome, SqlRequestContext } from '../sql/sql.ts';
import { type WireOperation, type WireResult, wireStatuses } from '../sql/wire-operation.ts';

export interface WireSession {
  /** Runs one operation. @param done called once, when its answer may leave */
  run(
    operation: WireOperation,
    context: SqlRequestContext,
    done: (outcome: SqlOutcome<unknown>) => void,
  ): void;
  /** False while a transaction is open, or the client believes so. */
  isAutocommit(): boolean;
  /** Asks that what runs be stopped: it is answered with an error then, or as if nobody had asked. */
  cancel(): void;
  /** Rolls back what is open. */
  close(): Promise<void>;
}

export interface WireService {
  openSession(options?: SessionOptions): SqlOutcome<WireSession>;
  /** Why there is no database of that name; null when there is one. */
  branchProblem?(branch: BranchName): SqlError | null;
}

/** An answer to a wire operation and to no other. */
export function isWireResult(value: unknown): value is WireResult {
  return (
    typeof value === 'object' &&
    value !== null &&
    'messages' in value &&
    value.messages instanceof Uint8Array &&
    'status' in value &&
    wireStatuses.some((status) => status === value.status)
  );
}

/** What an operation was answered with. */
export function wireOutcome(outcome: SqlOutcome<unknown>): SqlOutcome<WireResult> {
  if (!outcome.ok) return outcome;
  const { value } = outcome;
  if (isWireResult(value)) return { ok: true, value };
  throw new TypeError('a wire operation was answered with something else');
}
