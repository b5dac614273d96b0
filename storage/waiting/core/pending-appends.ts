/** Frames on their way to the disk, and who waits until they are there. */
import assert from 'node:assert/strict';
import type { FramePosition, HeldFrame } from '../../log/core/held-frames.ts';
import type { FrameHeader, ReceivedFrame } from '../../redo/frame.ts';
import type { BranchName, Lsn, PgId } from '../../redo/ids.ts';
import type { AppendRequest } from '../../wire/core/messages.ts';
import type { Caller } from './caller.ts';

/** An append that is answered when its frames, or those it finds under way, are on the disk. */
export interface WaitingAck {
  readonly caller: Caller;
  readonly request: AppendRequest;
  /** What it is for; null where that is not known here. */
  readonly branch: BranchName | null;
  /** Groups of its frames. */
  readonly pgs: readonly PgId[];
  /** Membership epoch in which the caller believes. */
  readonly members: number;
}

export interface PendingAppend {
  readonly frames: readonly ReceivedFrame[];
  /** LSN of the last commit in each frame. */
  readonly lastCpls: readonly (Lsn | null)[];
  readonly acks: WaitingAck[];
}

const keyOf = ({ epoch, base }: FrameHeader): string => `${epoch}/${base}`;

export class PendingAppends {
  private readonly byTicket = new Map<number, PendingAppend>();
  private readonly keys = new Set<string>();
  private bytesNow = 0;

  /** Of all frames under way. */
  get bytes(): number {
    return this.bytesNow;
  }

  add(ticket: number, pending: PendingAppend): void {
    this.byTicket.set(ticket, pending);
    for (const { header, bytes } of pending.frames) {
      this.keys.add(keyOf(header));
      this.bytesNow += bytes.length;
    }
  }

  /** Those that are neither held nor on their way, each once. */
  fresh(
    frames: readonly ReceivedFrame[],
    lastCpls: readonly (Lsn | null)[],
    isHeld: (header: FrameHeader) => boolean,
  ): Omit<PendingAppend, 'acks'> {
    const fresh: ReceivedFrame[] = [];
    const freshCpls: (Lsn | null)[] = [];
    const seen = new Set<string>();
    frames.forEach((frame, index) => {
      const key = keyOf(frame.header);
      if (seen.has(key) || this.keys.has(key) || isHeld(frame.header)) return;
      seen.add(key);
      fresh.push(frame);
      freshCpls.push(lastCpls[index] ?? null);
    });
    return { frames: fresh, lastCpls: freshCpls };
  }

  /** They wait for the write that was begun last. @returns false when none is under way. */
  addToNewest(acks: readonly WaitingAck[]): boolean {
    const newest = [...this.byTicket.values()].at(-1);
    newest?.acks.push(...acks);
    return newest !== undefined;
  }

  /** The write has ended, well or not. */
  take(ticket: number): PendingAppend {
    const pending = this.byTicket.get(ticket);
    if (pending === undefined) assert.fail(`no write is under way under ticket ${ticket}`);
    this.byTicket.delete(ticket);
    for (const { header, bytes } of pending.frames) {
      this.keys.delete(keyOf(header));
      this.bytesNow -= bytes.length;
    }
    return pending;
  }
}

/** The frames as the index takes them in. @param positions where each of them is on the disk. */
export function heldFrames(
  { frames, lastCpls }: PendingAppend,
  positions: readonly FramePosition[],
): readonly HeldFrame[] {
  assert.equal(positions.length, frames.length, 'a position for every frame persisted');
  return frames.map(({ header }, index) => {
    const position = positions[index];
    assert(position !== undefined, 'a position for every frame persisted');
    const { epoch, pg, base, end, prevPg } = header;
    return { epoch, pg, base, end, prevPg, lastCpl: lastCpls[index] ?? null, position };
  });
}
