/** Asks a node how a line of history came to where it stands. */
import { endOfTime } from '../../history/epoch-tree.ts';
import { type BranchName, type Epoch, genesisEpoch, zeroLsn } from '../../redo/ids.ts';
import type { FetchRequest } from './messages.ts';

/**
 * The answer has the path and what is durable on it, and no frames: the log may begin above where the path does.
 * @param head null for the newest that the node knows of the branch.
 */
export const pathRequest = (branch: BranchName, head: Epoch | null): FetchRequest => ({
  kind: 'fetch',
  branch,
  head,
  from: endOfTime,
  bytesMax: 1,
  waitMs: 0,
  durableOnly: true,
  known: { head: genesisEpoch, vdl: zeroLsn },
});
