/** What a drain sees of the streams that may hold it up. */
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';

/** A stream with a transaction that may write, or an operation under way that may. */
export interface Drainable {
  /** No operation is under way. */
  readonly isIdle: boolean;
  /** Rolls back what is open; the client is told until it ends the transaction. */
  lose(error: SqlError): void;
  /** Stops the write that runs, if SQLite can be interrupted, and tells the client why. */
  stopWrite(error: SqlError): void;
}

/** What a drain tells a transaction that lasted too long. */
export const movedAway = (): SqlError =>
  adviseError(
    'SEXTANT_MOVE_IN_PROGRESS',
    'The primary moves to another region and the transaction, which was open for too long, was rolled back',
  );
