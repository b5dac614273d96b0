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

/** What an operator names with `--at`. */
export type Target =
  | { readonly kind: 'newest' }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'time'; readonly us: number };

const isoPattern = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?(Z|[+-]\d{2}:?\d{2})?$/;

/** An LSN, or a time in ISO 8601 with its zone. @returns null for anything else. */
export function parseTarget(text: string): Target | null {
  if (/^\d+$/.test(text)) {
    const value = Number(text);
    return Number.isSafeInteger(value) ? { kind: 'lsn', lsn: lsn(value) } : null;
  }
  const found = isoPattern.exec(text);
  // Without a zone a time means something else on each machine.
  if (found === null || found[4] === undefined) return null;
  const ms = Date.parse(text.replace(' ', 'T'));
  if (Number.isNaN(ms)) return null;
  const micros = (found[3] ?? '.').slice(1).padEnd(6, '0').slice(3);
  return { kind: 'time', us: Math.floor(ms) * 1_000 + Number(micros) };
}

/** `2026-11-29T12:00:00.123456Z`. */
export function timeText(us: number): string {
  const iso = new Date(Math.floor(us / 1_000)).toISOString();
  return `${iso.slice(0, -1)}${String(Math.floor(us) % 1_000).padStart(3, '0')}Z`;
}
