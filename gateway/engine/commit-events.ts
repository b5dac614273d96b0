/** Commits as the engine's thread tells them, with their redo as the volume takes it. */
import type { Lsn, Mtr, MtrRun, StoredMtr } from '../../storage/redo.ts';
import type { FromWorker, SessionCommit } from './core/engine-protocol.ts';
import { storedMtrOf } from './scratch/redo-file.ts';

/** The redo of a transaction, or of a group of them, in LSN order. */
export interface EngineCommitEvent {
  readonly mtr: Mtr | StoredMtr;
  /** End of the redo; it begins at `lsn - mtr.byteLength`. */
  readonly lsn: Lsn;
  /** In LSN order, the last one's at `lsn`. */
  readonly commits: readonly SessionCommit[];
}

export function commitEventsOf({
  commits: told,
  redo,
}: Pick<FromWorker, 'commits' | 'redo'>): readonly EngineCommitEvent[] {
  let at = 0;
  const bytes = redo ?? new Uint8Array(0);
  return told.map(({ lsn, runs, stored, commits }) => {
    if (stored !== null) return { mtr: storedMtrOf(stored, commits.length), lsn, commits };
    const start = at;
    const mtrRuns = runs.map(({ pg, length }): MtrRun => {
      at += length;
      return { pg, bytes: bytes.subarray(at - length, at) };
    });
    return { mtr: { runs: mtrRuns, byteLength: at - start, commits: commits.length }, lsn, commits };
  });
}
