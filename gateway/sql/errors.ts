/**
 * The one table of error codes a client can meet, and what the caller should do about each.
 *
 * Codes reach applications untouched as `LibsqlError.code`. Those without the `SEXTANT_` prefix are the ones
 * libSQL servers already use, so that code written against them keeps working; SQLite's own failures pass
 * through under their *primary* name (`SQLITE_CONSTRAINT`, never `SQLITE_CONSTRAINT_UNIQUE`).
 */
import type { SqlError, SqlOutcome } from './sql.ts';

export interface ErrorEntry {
  /** What happened, in one sentence. */
  readonly meaning: string;
  /** What the caller should do, in one sentence. */
  readonly action: string;
  /** True when the request certainly had no effect and may be sent again exactly as it was. */
  readonly retryable: boolean;
  /** Status used when the failure belongs to the HTTP request itself and not to one statement in it. */
  readonly httpStatus: number;
}

const table = {
  SQL_PARSE_ERROR: {
    meaning: 'The SQL text could not be parsed.',
    action: 'Correct the statement.',
    retryable: false,
    httpStatus: 400,
  },
  SQL_NO_STATEMENT: {
    meaning: 'The SQL text holds no statement.',
    action: 'Send one statement; text that is only comments or blank does nothing.',
    retryable: false,
    httpStatus: 400,
  },
  SQL_MANY_STATEMENTS: {
    meaning: 'The SQL text holds more than one statement where one is expected.',
    action: 'Use a batch, or a sequence (`executeMultiple`) when no rows are wanted.',
    retryable: false,
    httpStatus: 400,
  },
  SQL_INPUT_ERROR: {
    meaning: 'SQLite refused the statement text at a known position.',
    action: 'Correct the statement.',
    retryable: false,
    httpStatus: 400,
  },
  ARGS_INVALID: {
    meaning: 'The arguments do not match the parameters of the statement.',
    action: 'Give each parameter one argument and no argument without a parameter.',
    retryable: false,
    httpStatus: 400,
  },
  ARGS_BOTH_POSITIONAL_AND_NAMED: {
    meaning: 'A statement came with positional and with named arguments.',
    action: 'Use one kind of argument per statement.',
    retryable: false,
    httpStatus: 400,
  },
  SQL_STORE_TOO_MANY: {
    meaning: 'The stream or connection already stores as many SQL texts as it may.',
    action: 'Close stored texts that are no longer used, or send the SQL text itself.',
    retryable: false,
    httpStatus: 400,
  },
  SQL_STORE_TOO_LARGE: {
    meaning: 'A SQL text is too long to be stored.',
    action: 'Send the SQL text with the statement instead of storing it.',
    retryable: false,
    httpStatus: 400,
  },
  BATCH_COND_BAD_STEP: {
    meaning: 'A batch condition names a step that does not come before it.',
    action: 'Let conditions refer to earlier steps only.',
    retryable: false,
    httpStatus: 400,
  },
  TRANSACTION_TIMEOUT: {
    meaning: 'The transaction held the writer longer than allowed while others waited, and was rolled back.',
    action: 'Run the whole transaction again, and keep it shorter.',
    retryable: false,
    httpStatus: 408,
  },
  TRANSACTION_BUSY: {
    meaning: 'Too many transactions wait for the writer.',
    action: 'Try again after a short, growing pause.',
    retryable: true,
    httpStatus: 503,
  },
  BLOCKED: {
    meaning: 'The operator has blocked this kind of statement.',
    action: 'Ask the operator of the deployment.',
    retryable: false,
    httpStatus: 403,
  },
  RESPONSE_TOO_LARGE: {
    meaning: 'The result is larger than one response may be; the statement itself ran.',
    action: 'Ask for fewer rows or columns, page with LIMIT, or read through a cursor.',
    retryable: false,
    httpStatus: 413,
  },
  STREAM_EXPIRED: {
    meaning: 'The stream was closed by the gateway and its open transaction, if any, was rolled back.',
    action: 'Open a new stream and run the whole transaction again.',
    retryable: false,
    httpStatus: 400,
  },
  BATON_INVALID: {
    meaning: 'The baton was not issued by this gateway process, or not to this token, or was altered.',
    action:
      'Open a new stream and run the whole transaction again; a gateway restart rolls back what was open.',
    retryable: false,
    httpStatus: 400,
  },
  BATON_REUSED: {
    meaning: 'The baton was used before; every response carries a new one.',
    action: 'Send the baton of the latest response, and one request at a time per stream.',
    retryable: false,
    httpStatus: 400,
  },
  AUTH_JWT_MISSING: {
    meaning: 'This gateway requires a token and none was sent.',
    action: 'Set `authToken` in the client.',
    retryable: false,
    httpStatus: 401,
  },
  AUTH_JWT_INVALID: {
    meaning:
      'The token is malformed, not yet valid, not signed with a key of this gateway, meant for another service, or asks for what is not supported.',
    action: 'Get a token that this gateway takes (`sextant token create`).',
    retryable: false,
    httpStatus: 401,
  },
  AUTH_JWT_EXPIRED: {
    meaning: 'The token has expired.',
    action: 'Get a new token.',
    retryable: false,
    httpStatus: 401,
  },
  AUTH_HTTP_HEADER_INVALID: {
    meaning: 'The Authorization header is not of the form `Bearer <token>`.',
    action: 'Send `Authorization: Bearer <token>`.',
    retryable: false,
    httpStatus: 401,
  },
  AUTH_SCOPE_MISSING: {
    meaning: 'The token does not grant what the request asks for; nothing of it was run.',
    action: 'Use a token with the scope that the message names.',
    retryable: false,
    httpStatus: 403,
  },
  AUTH_BRANCH_MISSING: {
    meaning:
      'The token is for another branch than the one that was asked for; nothing of the request was run.',
    action: 'Use a token for this branch, or one that is for no branch in particular.',
    retryable: false,
    httpStatus: 403,
  },
  SEXTANT_BRANCH_UNKNOWN: {
    meaning: 'There is no such branch, or it was deleted; nothing of the request was run.',
    action:
      'Correct the name in the URL; `sextant branch list` names the branches, `sextant branch create` makes one.',
    retryable: false,
    httpStatus: 404,
  },
  SEXTANT_ORIGIN_REFUSED: {
    meaning:
      'A web page of an origin that is not listed tried to use this gateway, or a request came to an open gateway under a foreign host name.',
    action: 'Call the gateway from a program, or list the origin of the page with `origins`.',
    retryable: false,
    httpStatus: 403,
  },
  SEXTANT_PLAIN_TEXT: {
    meaning: 'The port speaks TLS, and the connection began with something else.',
    action: 'Use https://, wss:// or libsql:// instead of http:// or ws://.',
    retryable: false,
    httpStatus: 400,
  },
  SEXTANT_PROTOCOL_ERROR: {
    meaning: 'The request breaks the libSQL protocol; nothing of it was run.',
    action: 'Report it to the maintainers of the client.',
    retryable: false,
    httpStatus: 400,
  },
  SEXTANT_NOT_FOUND: {
    meaning: 'There is nothing at this path.',
    action: 'Check the URL; the database is served at the root path.',
    retryable: false,
    httpStatus: 404,
  },
  SEXTANT_COMMIT_UNKNOWN: {
    meaning:
      'The gateway lost its volume, or gave up waiting for another region, between the commit and the proof that it will stay; it may or may not.',
    action: 'Read back whether the change is there before doing it again.',
    retryable: false,
    httpStatus: 503,
  },
  SEXTANT_QUORUM_LOST: {
    meaning: 'Fewer than four of six storage nodes answer, so nothing new can be made durable.',
    action: 'Try again after a pause; `sextant status` names the nodes that are missing.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_FENCED: {
    meaning: 'A newer epoch has taken over writing; this writer stopped before the statement took effect.',
    action: 'Try again; the gateway follows the new writer by itself.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_MOVE_IN_PROGRESS: {
    meaning: 'A switchover or failover is under way and lasted longer than a write may wait.',
    action: 'Try again after a pause.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_NO_WRITER: {
    meaning: 'No gateway of the primary region is the writer now, or this gateway does not reach it.',
    action: 'Try again after a pause; if it lasts, look at `sextant status` and consider a failover.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_STORAGE_UNAVAILABLE: {
    meaning: 'A page could not be read from any storage node that is complete for the read point.',
    action: 'Try again after a pause; `sextant status` shows the storage nodes.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_VOLUME_UNREADABLE: {
    meaning:
      'The volume does not hold what this engine can read: another engine or a newer version made it, or it is damaged.',
    action: 'Open it with the engine and the version that made it; after damage, restore a backup or rewind.',
    retryable: false,
    httpStatus: 500,
  },
  SEXTANT_TRANSACTION_TOO_LARGE: {
    meaning: 'The transaction changes more than one transaction may, and was rolled back.',
    action:
      'Split it into several transactions, such as INSERT … SELECT by ranges of a key; `sextant import` does so with a file. VACUUM of a large database cannot be split: free pages are used again without it.',
    retryable: false,
    httpStatus: 413,
  },
  SEXTANT_SCRATCH_FULL: {
    meaning:
      'What the statement needed beyond memory found no room in the folder for temporary files of the gateway that writes. Its transaction was rolled back.',
    action:
      'Have the operator make room in the folder that the message names, or name another one (`temporaryFolder`); or split the transaction.',
    retryable: false,
    httpStatus: 507,
  },
  SEXTANT_TRANSACTION_ABORTED: {
    meaning: 'The open transaction was rolled back by the gateway before this statement.',
    action: 'Run the whole transaction again from its BEGIN.',
    retryable: false,
    httpStatus: 409,
  },
  SEXTANT_LIMIT: {
    meaning: 'A limit of the gateway was reached; the message names it.',
    action: 'Ask for less at once, or have the operator raise the limit.',
    retryable: false,
    httpStatus: 429,
  },
  SEXTANT_BODY_TOO_LARGE: {
    meaning: 'The request body is larger than the gateway accepts; nothing of it was run.',
    action: 'Split the request, or have the operator raise the limit.',
    retryable: false,
    httpStatus: 413,
  },
  SEXTANT_FORWARD_FAILED: {
    meaning: 'The write could not be handed to the writer; it certainly did not run.',
    action: 'Try again after a pause.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_READ_ONLY: {
    meaning: 'The statement writes where only reading is allowed.',
    action: 'Use a transaction of mode "write" or "deferred".',
    retryable: false,
    httpStatus: 403,
  },
  SEXTANT_WRONG_ENGINE: {
    meaning: 'The database belongs to another SQL engine than the one the client speaks to.',
    action:
      'Use a client of the engine that the message names, or set `engine` in the configuration of the gateways to it.',
    retryable: false,
    httpStatus: 400,
  },
  SEXTANT_POINT_UNAVAILABLE: {
    meaning: 'The place in history that was named is not one that can be read or gone back to here.',
    action: 'Name another one; the message says why this one cannot be had.',
    retryable: false,
    httpStatus: 409,
  },
  SEXTANT_HISTORY_FORKED: {
    meaning:
      'History goes on from before what the client had seen: a rewind or a failover has left that behind.',
    action:
      'Read again what was decided upon, then run the whole transaction again. Go on with the bookmark that the message names.',
    retryable: false,
    httpStatus: 409,
  },
  SEXTANT_READ_RAISED: {
    meaning:
      'Inside a gateway only: the operation asked for stronger reads, and is run again once they can be had.',
    action: 'Report it to the maintainers; no client is meant to see it.',
    retryable: true,
    httpStatus: 503,
  },
  SEXTANT_SHUTTING_DOWN: {
    meaning: 'This gateway is stopping and takes no new work.',
    action: 'Send the request to another gateway, or again in a moment.',
    retryable: true,
    httpStatus: 503,
  },
} as const satisfies Record<string, ErrorEntry>;

/** Codes of the table; SQLite's primary names pass beside it. */
export type ErrorCode = keyof typeof table;
export type AnyErrorCode = ErrorCode | `SQLITE_${string}`;

/** The table, for documents and for the API that lists it. */
export const errorTable: Readonly<Record<ErrorCode, ErrorEntry>> = table;

const sqliteEntries = {
  SQLITE_BUSY: {
    meaning: 'Another transaction wrote what this one had read, or holds the writer.',
    action: 'Roll back and run the whole transaction again; begin it with BEGIN IMMEDIATE.',
    retryable: true,
    httpStatus: 409,
  },
  SQLITE_CONSTRAINT: {
    meaning: 'A constraint refused the change.',
    action: 'Correct the data; the message names the constraint.',
    retryable: false,
    httpStatus: 409,
  },
  SQLITE_READONLY: {
    meaning: 'The statement writes where only reading is allowed.',
    action: 'Use a transaction that may write.',
    retryable: false,
    httpStatus: 403,
  },
} as const satisfies Record<string, ErrorEntry>;

const entries: ReadonlyMap<string, ErrorEntry> = new Map<string, ErrorEntry>([
  ...Object.entries(table),
  ...Object.entries(sqliteEntries),
]);

const sqliteOther: ErrorEntry = {
  meaning: 'SQLite refused or failed the statement.',
  action: 'See the message and the result codes in the SQLite documentation.',
  retryable: false,
  httpStatus: 400,
};

const unknownEntry: ErrorEntry = {
  meaning: 'An error outside the table.',
  action: 'See the message.',
  retryable: false,
  httpStatus: 500,
};

/** The entry for any code, SQLite's own names and unknown ones included. Never throws. */
export function describeError(code: string): ErrorEntry {
  const known = entries.get(code);
  if (known !== undefined) return known;
  return code.startsWith('SQLITE_') ? sqliteOther : unknownEntry;
}

/** SQLite's primary name of a result code name: `SQLITE_CONSTRAINT_UNIQUE` → `SQLITE_CONSTRAINT`. */
export function primarySqliteCode(code: string): `SQLITE_${string}` {
  const match = /^SQLITE_([A-Z]+)/.exec(code);
  return `SQLITE_${match?.[1] ?? 'ERROR'}`;
}

/** An error whose message is complete as given. */
export function sqlError(code: AnyErrorCode, message: string): SqlError {
  return { code, message };
}

/** An error whose message is `detail` followed by what the table says the caller should do. */
export function adviseError(code: ErrorCode, detail: string): SqlError {
  return { code, message: `${detail}${/[.!?]$/.test(detail) ? '' : '.'} ${table[code].action}` };
}

/** A failed outcome with `sqlError`. */
export function failure(code: AnyErrorCode, message: string): SqlOutcome<never> {
  return { ok: false, error: sqlError(code, message) };
}

/** A failed outcome with `adviseError`. */
export function adviseFailure(code: ErrorCode, detail: string): SqlOutcome<never> {
  return { ok: false, error: adviseError(code, detail) };
}

/** A limit reached: names the limit, its value and the advice. */
export function limitFailure(limit: string, value: number): SqlOutcome<never> {
  return adviseFailure('SEXTANT_LIMIT', `The limit ${limit} = ${value} is reached`);
}
