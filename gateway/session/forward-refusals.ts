/** What the writer's side of forwarding answers where nothing of a call was run. */
import type { BranchName } from '../../storage/index.ts';
import type { Done, Refused } from '../forward/core/call-table.ts';
import { encodeResult, type ForwardCall } from '../forward/core/forward-call.ts';
import { adviseFailure } from '../sql/errors.ts';
import type { SqlError, SqlOutcome } from '../sql/sql.ts';
import type { Database } from './database.ts';

/** Why nothing can be written at this moment. */
export function refusal({ watch }: Database): Refused {
  const place = watch.place();
  const isHeld = place === 'draining' || place === 'suspended';
  const reason = isHeld ? place : watch.isQuorumLost ? 'quorum-lost' : 'not-writer';
  return { kind: 'refused', reason, message: `this gateway does not take writes now: ${reason}` };
}

/** Whoever asks has heard of the branch, and may hear that it is gone: it looks again. */
export function unknownBranch(branch: BranchName, error: SqlError | null): Refused {
  const message = error?.message ?? `this gateway knows of no branch ${branch}`;
  return { kind: 'refused', reason: 'not-writer', message };
}

export const gone = adviseFailure(
  'SEXTANT_TRANSACTION_ABORTED',
  'The writer does not know this transaction any more, and it was rolled back',
);

/** The answer to a call of which nothing was run. */
export function notBegun({ operation }: ForwardCall, { volume }: Database, outcome: SqlOutcome<never>): Done {
  const bytes = encodeResult(operation.kind, {
    kind: 'answered',
    outcome,
    autocommit: true,
    holds: false,
    state: null,
    seenLsn: volume.vdl,
    epoch: volume.head,
  });
  return { kind: 'done', parts: [bytes], bytes: bytes.length };
}

/** Nothing has run: whoever asked waits for the next writer. */
export const isLeaving: Refused = {
  kind: 'refused',
  reason: 'draining',
  message: 'This gateway is stopping.',
};
