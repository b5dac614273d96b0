/** What Sextant's own errors are called in PostgreSQL's protocol. Errors of SQL itself come from the engine as they are. Pure. */
import { describeError, type ErrorCode } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { Report } from '../protocol/core/server-messages.ts';

/** Drivers and applications decide by these whether something may be tried again. */
const sqlstates: Partial<Record<ErrorCode | 'SQLITE_INTERRUPT', string>> = {
  // transaction_resolution_unknown
  SEXTANT_COMMIT_UNKNOWN: '08007',
  // cannot_connect_now
  SEXTANT_NO_WRITER: '57P03',
  SEXTANT_MOVE_IN_PROGRESS: '57P03',
  SEXTANT_QUORUM_LOST: '57P03',
  // serialization_failure: the whole transaction may be run again
  SEXTANT_TRANSACTION_ABORTED: '40001',
  SEXTANT_HISTORY_FORKED: '40001',
  SEXTANT_FENCED: '40001',
  SEXTANT_FORWARD_FAILED: '40001',
  SEXTANT_READ_RAISED: '40001',
  // read_only_sql_transaction
  SEXTANT_READ_ONLY: '25006',
  AUTH_SCOPE_MISSING: '25006',
  // program_limit_exceeded
  SEXTANT_LIMIT: '54000',
  SEXTANT_TRANSACTION_TOO_LARGE: '54000',
  SEXTANT_SCRATCH_FULL: '53100',
  SEXTANT_BODY_TOO_LARGE: '54000',
  RESPONSE_TOO_LARGE: '54000',
  // io_error
  SEXTANT_STORAGE_UNAVAILABLE: '58030',
  // invalid_catalog_name
  SEXTANT_BRANCH_UNKNOWN: '3D000',
  SEXTANT_WRONG_ENGINE: '0A000',
  // insufficient_privilege
  AUTH_BRANCH_MISSING: '42501',
  BLOCKED: '42501',
  // admin_shutdown
  SEXTANT_SHUTTING_DOWN: '57P01',
  STREAM_EXPIRED: '57P01',
  // query_canceled
  SQLITE_INTERRUPT: '57014',
  // idle_in_transaction_session_timeout
  TRANSACTION_TIMEOUT: '25P03',
  TRANSACTION_BUSY: '53300',
};

/** Where the advice of the table is about another protocol. */
const hints: Partial<Record<ErrorCode, string>> = {
  SEXTANT_BRANCH_UNKNOWN:
    'Connect to main, which is also called postgres, or to a branch (sextant branch list names them).',
  SEXTANT_READ_ONLY: 'Begin the transaction without READ ONLY, or log in as a user that may write.',
  AUTH_SCOPE_MISSING: 'Log in as a user whose access is full.',
};

/** Where the message is about tokens, which these clients do not have. */
const messages: Partial<Record<ErrorCode, string>> = {
  AUTH_SCOPE_MISSING: 'permission denied: the statement writes, and this user may only read',
};

const known: ReadonlyMap<string, string> = new Map(Object.entries(sqlstates));
const ownMessages: ReadonlyMap<string, string> = new Map(Object.entries(messages));
const ownHints: ReadonlyMap<string, string> = new Map(Object.entries(hints));

/** The SQLSTATE of an error of Sextant. Codes without a class of their own are internal errors. */
export const sqlstateOf = (code: string): string => known.get(code) ?? 'XX000';

/** An error of Sextant for a client. */
export function reportOf({ code, message }: SqlError): Report {
  const { action } = describeError(code);
  // The message may end with the advice already.
  const text = message.endsWith(action) ? message.slice(0, -action.length).trimEnd() : message;
  return {
    code: sqlstateOf(code),
    message: ownMessages.get(code) ?? (text === '' ? message : text),
    detail: `Sextant's code is ${code}.`,
    hint: ownHints.get(code) ?? action,
  };
}

/** For a user that may only read, as the session below refuses a write. */
export const readOnlyReport: Report = reportOf({ code: 'AUTH_SCOPE_MISSING', message: '' });
