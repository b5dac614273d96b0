/** What becomes of an engine's answer when it may leave, or may not. */
import type { EngineAnswer } from '../engine/core/engine-protocol.ts';
import type { Reign } from './reign.ts';

/** Whether an answer may leave as it is. */
export type Settled =
  | 'released'
  /** As `released`, but this gateway is not, or cannot prove to be, the writer any more: others may have written since. */
  | 'stale'
  /** What it saw is not known to be durable, and never will be; what it committed may or may not exist. */
  | 'lost'
  /** As `lost`, and it has certainly committed nothing. */
  | 'discarded'
  /** What it saw is durable in this region, and no other one has proved in time that it has it. */
  | 'held';

/** What becomes of an answer whose reign is over, or that waited too long for the lease. */
export function afterwards(answer: EngineAnswer<unknown>, reign: Reign): Settled {
  const { commits, seenLsn } = answer;
  if (commits.length === 0) return seenLsn <= reign.free ? 'stale' : 'discarded';
  return commits.every((commit) => commit.lsn > reign.takenTo) ? 'discarded' : 'lost';
}
