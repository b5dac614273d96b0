/** How long nobody could write, as the clients of a lost region saw it. */

/**
 * From the last write that is part of history to the first moment at which another could be acknowledged, in milliseconds. The
 * first counts by the clock of the region that made it, so it is brought over to ours.
 * @param lastCommitUs when that write was committed, by the lost primary's clock.
 * @param aheadUs how far that clock was ahead of ours, as far as is known; 0 when it is not.
 * @param backAtUs when the new writer was seen to write, by our clock.
 */
export function rtoFromLastWriteMs(lastCommitUs: number, aheadUs: number, backAtUs: number): number {
  return Math.max(0, Math.round((backAtUs - (lastCommitUs - aheadUs)) / 1_000));
}
