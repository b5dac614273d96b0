/** Quorum arithmetic over the six copies of a protection group (Aurora, SIGMOD 2017 section 2.1, 2018 section 2). */
import assert from 'node:assert/strict';
import { ascending, type Lsn, lsn, zeroLsn } from '../../redo/ids.ts';
import { quorumLimits } from '../../redo/limits.ts';

/**
 * PGCL: up to here the group is durable, because at least a write quorum of its copies is complete to here.
 * @param scls one SCL per copy that has answered; a silent copy counts as zero.
 */
export function pgcl(scls: readonly Lsn[]): Lsn {
  if (scls.length > quorumLimits.copies)
    assert.fail(`a group has ${quorumLimits.copies} copies, not ${scls.length}`);
  const sorted = [...scls].sort(ascending);
  return sorted[sorted.length - quorumLimits.writeQuorum] ?? zeroLsn;
}

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
