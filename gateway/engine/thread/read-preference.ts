/** `PRAGMA sextant_read`: the consistency that a stream reads with, asked and set. */
import { sqlError } from '../../sql/errors.ts';
import { type ReadPreference, readPreferences } from '../../sql/stream-state.ts';
import type { PragmaAnswer } from '../sqlite/sqlite-vfs.ts';
import type { Operation, Session } from './engine-session.ts';

const readRaised = sqlError('SEXTANT_READ_RAISED', 'The operation is to run again, with stronger reads.');

/** The PRAGMA's answer. A stronger consistency than the operation came with has that run again, where it can be had. */
export function readPreferenceOf(
  session: Session,
  operation: Operation,
  value: string | null,
  isWriter: boolean,
): PragmaAnswer {
  if (value === null) return { ok: true, text: session.readPreference };
  const wanted = readPreferences.find((preference) => preference === value.toLowerCase());
  if (wanted === undefined)
    return {
      ok: false,
      message: `PRAGMA sextant_read takes 'eventual', 'session' or 'global', not '${value}'`,
    };
  if (!isWriter && isStronger(wanted, operation.state.readPreference)) {
    const { connection } = session;
    const open = connection !== null && !connection.isAutocommit();
    if (operation.inside && open && (connection.file.snapshot !== null || operation.steered))
      return {
        ok: false,
        message: `PRAGMA sextant_read='${wanted}' must come before the first read of its transaction: what that reads is settled`,
      };
    operation.raised = wanted;
    return { ok: false, message: readRaised.message, error: readRaised };
  }
  session.readPreference = wanted;
  return { ok: true, text: wanted };
}

function isStronger(wanted: ReadPreference, than: ReadPreference): boolean {
  return readPreferences.indexOf(wanted) > readPreferences.indexOf(than);
}
