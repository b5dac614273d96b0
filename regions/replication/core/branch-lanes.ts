/**
 * Which secondaries a branch has lanes to. A branch that nobody writes costs nothing: its fork is made by each region's own
 * agent, and a lane is there only while a region lacks something of it, or may soon.
 *
 * R71 A branch is shipped only to a region that has its fork and everything below it, so that a lane never carries what the
 *     lane of another branch carries, too.
 */
import type { Epoch, Lsn, RegionId } from '../../../storage/core.ts';
import type { ShippingBounds } from './shipping-limits.ts';

/** How far a region holds a branch: its newest epoch there, and what is durable along that path. */
export interface BranchPlace {
  readonly head: Epoch;
  readonly vdl: Lsn;
}

export const branchLaneLimits = {
  /** A lane that has sent everything stays for so long: the next write then leaves at once. */
  idleMs: 30_000,
  /** Of the window that a lane of `main` has, all branches of a secondary share as much once more; at least so many messages each. */
  messagesMin: 2,
} as const;

export interface LaneQuestion {
  /** The epoch that the branch was made with: while it is the newest, nobody has written. */
  readonly origin: Epoch;
  /** What this region has. */
  readonly mine: BranchPlace;
  /** How long ago that was last seen to change. */
  readonly movedMsAgo: number;
  /** The other regions that are heard; null while one does not have the fork. */
  readonly others: ReadonlyMap<RegionId, BranchPlace | null>;
}

/** The regions that the branch is to be shipped to now. */
export function lanesOf({ origin, mine, movedMsAgo, others }: LaneQuestion): readonly RegionId[] {
  if (mine.head === origin) return [];
  return [...others].flatMap(([region, theirs]) => {
    if (theirs === null) return [];
    return movedMsAgo < branchLaneLimits.idleMs || !isLevel(theirs, mine) ? [region] : [];
  });
}

/** Whether a region has all that another one has of a branch. */
export function isLevel(theirs: BranchPlace, mine: BranchPlace): boolean {
  return theirs.head > mine.head || (theirs.head === mine.head && theirs.vdl >= mine.vdl);
}

/**
 * Bounds of one of `lanes()` lanes of branches to the same secondary: they share one window beside that of `main`, each the same
 * part, so that no branch holds up another and none holds up `main`.
 */
export function sharedBounds(whole: ShippingBounds, lanes: () => number): ShippingBounds {
  const messageBytes = Math.ceil(whole.messageBytes / 2);
  const least = branchLaneLimits.messagesMin * messageBytes;
  return {
    messageBytes,
    queueMs: whole.queueMs,
    get windowBytes() {
      return Math.max(least, Math.floor(whole.windowBytes / Math.max(1, lanes())));
    },
  };
}
