/** What one primary's reign ships, and how its agent learns of it. */
import {
  type Epoch,
  type FetchSource,
  type Fork,
  type Lsn,
  machine,
  mainBranch,
  pathRequest,
  pause,
  RegionFetch,
  type Runtime,
} from '../../storage/index.ts';

const retryMs = 100;

export interface Reign {
  readonly head: Epoch;
  /** The path to `head`. */
  readonly forks: readonly Fork[];
  /** Durable on that path already. */
  readonly vdl: Lsn;
}

/**
 * Asks the region's nodes until one knows the path to `head`: its writer has recovered by then.
 * @param isOver nobody wants to know any more. @returns null then.
 */
export async function findReign(
  region: FetchSource,
  head: Epoch,
  isOver: () => boolean,
  runtime: Runtime = machine,
): Promise<Reign | null> {
  const log = new RegionFetch(region, 0);
  for (;;) {
    if (isOver()) return null;
    const reply = await log.fetch(pathRequest(mainBranch, head));
    if (isOver()) return null;
    if (reply !== null) return { head, forks: reply.forks, vdl: reply.vdl };
    await pause(runtime, retryMs);
  }
}
