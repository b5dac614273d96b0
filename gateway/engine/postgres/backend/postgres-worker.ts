/** The engine's worker thread with PostgreSQL: PGlite runs on the volume's pages, and every commit becomes redo. */
import { sqlError } from '../../../sql/errors.ts';
import { serveDesk } from '../../thread/engine-desk.ts';
import { PostgresWork } from './postgres-work.ts';

const cancelled = sqlError(
  'SQLITE_INTERRUPT',
  'The statement was stopped: its client has gone or asked for it, or others waited for the thread it ran on.',
);

await serveDesk(cancelled, (desk) => new PostgresWork(desk));
