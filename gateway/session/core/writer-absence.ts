/**
 * What a client is told whose statement found no writer. It may be a write or a read that asks the writer, so it is called a
 * statement; and a gateway that cannot read the control record does not say of another region what it cannot know.
 */
import { type ControlRecord, formatAge } from '../../../regions/core.ts';
import { adviseError, sqlError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';

export interface WriterAbsence {
  /** The newest record this gateway has seen, and how long ago it was known to be the newest. */
  readonly record: ControlRecord | null;
  readonly ageMs: number;
  readonly isQuorumLost: boolean;
  /** Whether the record names this very gateway. */
  readonly isMine: boolean;
  readonly writeWaitMs: number;
}

/** A record is read every second; one that was not for this long is called old. */
const freshMs = 3_000;

/** The error for a statement that waited as long as it may. It has not run. */
export function writerAbsence(absence: WriterAbsence): SqlError {
  const { record, ageMs, isQuorumLost, isMine, writeWaitMs } = absence;
  const waited = `within writeWaitMs = ${writeWaitMs}`;
  if (record === null)
    return adviseError(
      'SEXTANT_NO_WRITER',
      `This gateway could not read the control record ${waited}; the statement did not run`,
    );
  if (ageMs >= freshMs) {
    return sqlError(
      'SEXTANT_NO_WRITER',
      `This gateway cannot read the control record: the one it knows names ${record.primary} the primary region in epoch ${record.epoch}, ` +
        `was current ${formatAge(ageMs)} ago, and may be outdated. It reached no writer ${waited}, and the statement did not run. ` +
        'Try again after a pause, or through a gateway of another region, which may reach the writer.',
    );
  }
  if (isQuorumLost) {
    return adviseError(
      'SEXTANT_QUORUM_LOST',
      'Fewer than four of the six storage nodes of the primary region answer, and the statement did not run',
    );
  }
  if (record.state !== 'stable') {
    const move = record.move === null ? 'A move' : `The ${record.move.kind} to ${record.move.to}`;
    return adviseError(
      'SEXTANT_MOVE_IN_PROGRESS',
      `${move} has lasted longer than writeWaitMs = ${writeWaitMs}, and the statement did not run`,
    );
  }
  if (record.holder === null || isMine) {
    return adviseError(
      'SEXTANT_NO_WRITER',
      `No gateway of ${record.primary} became the writer ${waited}; the statement did not run`,
    );
  }
  return sqlError(
    'SEXTANT_NO_WRITER',
    `This gateway did not reach ${record.holder.gateway} of ${record.primary}, which holds the lease, ${waited}; the statement did not run. ` +
      'Try again after a pause, or through a gateway of another region, which may reach it; `sextant status` tells whether it writes.',
  );
}
