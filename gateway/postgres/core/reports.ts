/** Errors that the front end finds itself, with the SQLSTATE that PostgreSQL has for them. Pure. */

import type { Report } from '../protocol/core/server-messages.ts';
import { refusals } from '../sql/core/refusals.ts';

const limitHints = {
  batchBytes: 'Send a Sync earlier, or less in one query.',
  copyBytes: 'Copy the data in several COPY statements, each with a part of it.',
  preparedStatements:
    'Close prepared statements that are no longer used, or turn off the cache of the driver.',
  preparedBytes: 'Close prepared statements that are no longer used, or turn off the cache of the driver.',
} as const;

/** A bound of one client is reached. Names it, its value and the way out. */
export function limitReport(limit: keyof typeof limitHints, value: number): Report {
  return {
    code: '54000',
    message: `the limit ${limit} = ${value} of the gateway is reached`,
    hint: limitHints[limit],
  };
}

/** A transaction was lost, or failed without the engine; PostgreSQL's own words come from the engine. */
export const abortedReport: Report = {
  code: '25P02',
  message: 'current transaction is aborted, commands ignored until end of transaction block',
  hint: 'Send ROLLBACK, then run the whole transaction again.',
};

const shown = (name: string): string => JSON.stringify(name);
const typeOf = (type: string): string => `${type.charCodeAt(0)} (${shown(type)})`;

export const reports = {
  ...refusals,
  noStatement: (name: string): Report => ({
    code: '26000',
    message:
      name === ''
        ? 'unnamed prepared statement does not exist'
        : `prepared statement ${shown(name)} does not exist`,
  }),
  duplicateStatement: (name: string): Report => ({
    code: '42P05',
    message: `prepared statement ${shown(name)} already exists`,
  }),
  preparedType: (type: string): Report => ({
    code: '0A000',
    message: `PREPARE takes built-in types for its parameters, and ${shown(type)} is none`,
    hint: 'Leave the type out, and cast the parameter in the statement.',
  }),
  notPreparable: {
    code: '42601',
    message: 'PREPARE takes SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES',
  },
  discardInside: {
    code: '25001',
    message: 'DISCARD ALL cannot run inside a transaction block',
  },
  unknownMessage: (type: string): Report => ({
    code: '08P01',
    message: `invalid frontend message type ${typeOf(type)}`,
  }),
  duringCopy: (type: string): Report => ({
    code: '08P01',
    message: `unexpected message type ${typeOf(type)} during COPY from stdin`,
  }),
  malformed: (type: string, reason: string): Report => ({
    code: '08P01',
    message: `invalid message of type ${typeOf(type)}: ${reason}`,
  }),
} as const;
