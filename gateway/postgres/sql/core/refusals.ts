/**
 * What one engine for all clients cannot give to one of them, and what is told instead of doing it for all of them or for nobody.
 * Each is an error of the class "feature not supported" with a way out. Pure.
 */
import type { Report } from '../../protocol/core/server-messages.ts';

const refusal = (message: string, hint: string): Report => ({ code: '0A000', message, hint });

export const refusals = {
  listen: refusal(
    'LISTEN and NOTIFY are not supported',
    'Ask for changes by a query, or use a message queue beside the database.',
  ),
  temporary: refusal(
    'temporary tables, views and sequences are not supported',
    'Use a WITH query, or a table of your own name that you drop afterwards.',
  ),
  prepare: refusal(
    'PREPARE and EXECUTE in SQL have to be the only statement of a simple query',
    'Send it alone, or prepare the statement through the protocol, as drivers do (Parse, Bind, Execute).',
  ),
  holdCursor: refusal(
    'cursors WITH HOLD are not supported',
    'Read the cursor inside its transaction, or page by key with LIMIT.',
  ),
  advisoryLock: refusal(
    'advisory locks of a session are not supported',
    'Use pg_advisory_xact_lock, whose lock ends with its transaction.',
  ),
  sleep: refusal(
    'pg_sleep is not supported',
    'It would keep the engine from everybody and could not be stopped; wait in the client.',
  ),
  database: refusal(
    'a database cannot be created or dropped in SQL',
    'Use a schema, or make a branch: sextant branch create NAME; its name is then that of a database here.',
  ),
  tablespace: refusal(
    'tablespaces are not supported',
    'Everything of a database is in its volume, which storage nodes keep; leave the tablespace out.',
  ),
  encoding: refusal('encodings other than UTF-8 are not supported', 'Use UTF8, and convert in the client.'),
  load: refusal('LOAD is not supported', 'The engine has no shared libraries that could be loaded.'),
  serverFile: refusal(
    'COPY from or to a file or program of the server is not supported',
    'Use COPY … FROM STDIN or COPY … TO STDOUT (psql: \\copy).',
  ),
  alterSystem: refusal(
    'ALTER SYSTEM is not supported',
    'Settings of the server belong to the gateway; use SET, or ALTER ROLE … SET for every session.',
  ),
  synchronousCommit: refusal(
    'synchronous_commit cannot be changed',
    'A commit is acknowledged when four of six storage nodes hold it; leave the setting out.',
  ),
  copyAmongOthers: refusal(
    'COPY … FROM STDIN has to be the only statement of its message',
    'Send it alone, inside a transaction when it belongs to one.',
  ),
  functionCall: refusal('the function call message is not supported', 'Call the function in a SELECT.'),
  replication: refusal(
    'replication connections are not supported',
    'Sextant replicates storage by itself; `sextant backup` makes copies.',
  ),
} as const satisfies Record<string, Report>;
