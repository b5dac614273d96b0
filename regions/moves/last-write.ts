/** When the last write that is part of history was made, out of the region's own log: no memory of it is needed. */
import {
  type Epoch,
  type FetchSource,
  genesisEpoch,
  type Lsn,
  lsn,
  machine,
  mainBranch,
  pause,
  RegionFetch,
  type Runtime,
  splitFrames,
  zeroLsn,
} from '../../storage/index.ts';
import { commitMarksIn } from '../replication/core/commit-marks.ts';

const tries = 6;
const retryMs = 50;

/**
 * Reads the commit that ends at `forkLsn` on the path to `head`: a fork lies at a VDL, where a commit ends.
 * @returns when it was made, in microseconds of the clock of the region that wrote it; null when nothing lies there, or
 * none of the region's nodes gives it.
 */
export async function lastCommitUs(
  region: FetchSource,
  head: Epoch,
  forkLsn: Lsn,
  runtime: Runtime = machine,
): Promise<number | null> {
  if (forkLsn === zeroLsn) return null;
  const log = new RegionFetch(region, head);
  const from = lsn(forkLsn - 1);
  for (let attempt = 0; attempt < tries; attempt += 1) {
    if (attempt > 0) await pause(runtime, retryMs);
    const reply = await log.fetch({
      kind: 'fetch',
      branch: mainBranch,
      head,
      from,
      bytesMax: 1,
      waitMs: 0,
      durableOnly: true,
      known: { head: genesisEpoch, vdl: zeroLsn },
    });
    const split = reply === null ? null : splitFrames(reply.frames);
    if (split === null || split.kind === 'bad') continue;
    const mark = commitMarksIn(split.frames, from, forkLsn).at(-1);
    if (mark !== undefined) return mark.commitTimeUs;
  }
  return null;
}
