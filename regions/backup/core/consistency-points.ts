/** Places that a database can be restored to: where a transaction, or a group of them, ends. */
import { framePayload, type Lsn, lsn, type ReceivedFrame, RecordCursor } from '../../../storage/core.ts';

export interface ConsistencyPoint {
  readonly lsn: Lsn;
  /** The latest time of a commit that ends there, Unix microseconds: commits that follow one another are one group. */
  readonly commitUs: number;
}

/** The points of frames in (from, to]. @param visible up to where a frame's epoch is on the path. */
export function pointsIn(
  frames: readonly ReceivedFrame[],
  from: Lsn,
  to: Lsn,
  visible: (frame: ReceivedFrame) => Lsn,
): readonly ConsistencyPoint[] {
  const points: ConsistencyPoint[] = [];
  for (const frame of frames) {
    const until = Math.min(to, visible(frame));
    const cursor = new RecordCursor(framePayload(frame.bytes));
    let group: ConsistencyPoint | null = null;
    while (cursor.next()) {
      const end = frame.header.base + cursor.end;
      if (end > until) break;
      if (cursor.isCommit) {
        const commitUs: number = Math.max(group?.commitUs ?? 0, cursor.commitTimeUs);
        group = { lsn: lsn(end), commitUs };
      } else if (group !== null) {
        if (group.lsn > from) points.push(group);
        group = null;
      }
    }
    if (group !== null && group.lsn > from) points.push(group);
  }
  return points;
}
