/** What a recovery makes of the copies of a protection group that answer it (Aurora, SIGMOD 2017 section 2.1). */
import assert from 'node:assert/strict';
import { type Lsn, lsn } from '../../redo/ids.ts';
import { quorumLimits } from '../../redo/limits.ts';

/**
 * The highest LSN of a group that may have been acknowledged, judged from a subset of its copies: the highest
 * SCL among them, since every acknowledged record lies at or below the SCL of four copies and any three see one.
 */
export function recoverablePgcl(scls: readonly Lsn[]): Lsn {
  assert(
    scls.length >= quorumLimits.readQuorum,
    `recovery needs ${quorumLimits.readQuorum} copies, got ${scls.length}`,
  );
  return lsn(Math.max(...scls));
}
