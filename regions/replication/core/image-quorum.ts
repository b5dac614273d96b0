/** How far a region is with images that are put to its six nodes. */
import { type ImagesPutReply, type Lsn, minLsn, type PageNo, quorumLimits } from '../../../storage/core.ts';

export interface RegionFill {
  /** Where four nodes go on; null when four have all: they are their images now. */
  readonly next: PageNo | null;
  readonly pages: number;
  /** Of the pages of all nodes the lowest place. */
  readonly low: Lsn | null;
}

/** R63: what four nodes have flushed; null while fewer than four have answered. */
export function fillOf(replies: readonly ImagesPutReply[]): RegionFill | null {
  const furthest = [...replies].sort((a, b) => place(b) - place(a));
  const fourth = furthest[quorumLimits.writeQuorum - 1];
  if (fourth === undefined) return null;
  const lows = replies.flatMap(({ low }) => low ?? []);
  return {
    next: fourth.next,
    pages: fourth.pages,
    low: lows.reduce<Lsn | null>((lowest, low) => (lowest === null ? low : minLsn(lowest, low)), null),
  };
}

const place = ({ next }: ImagesPutReply): number => next ?? Number.POSITIVE_INFINITY;
