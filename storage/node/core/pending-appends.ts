/** Frames on their way to the disk, and who waits for them. */
import assert from 'node:assert/strict';
import type { ReceivedFrame } from '../../redo/frame.ts';
import type { Lsn, PgId } from '../../redo/ids.ts';
import type { AppendRequest } from '../../wire/core/messages.ts';
import type { Caller } from './node-events.ts';

export interface AppendAck {
  readonly caller: Caller;
  readonly request: AppendRequest;
  readonly pgs: readonly PgId[];
}

export interface PendingAppend {
  readonly frames: readonly ReceivedFrame[];
  /** LSN of the last commit in each frame. */
  readonly lastCpls: readonly (Lsn | null)[];
  readonly acks: AppendAck[];
}

export class PendingAppends {
  private readonly byTicket = new Map<number, PendingAppend>();
  private readonly keys = new Set<string>();
  private waitingBytes = 0;

  get bytes(): number {
    return this.waitingBytes;
  }

  /** The write that began last, when one is under way. */
  get last(): PendingAppend | undefined {
    return [...this.byTicket.values()].at(-1);
  }

  /** @returns false when the frame is on its way already; else whoever asks adds it now. */
  claim(frame: ReceivedFrame): boolean {
    const key = keyOf(frame);
    if (this.keys.has(key)) return false;
    this.keys.add(key);
    return true;
  }

  /** Takes frames that were claimed. */
  add(ticket: number, append: PendingAppend): void {
    this.byTicket.set(ticket, append);
    for (const frame of append.frames) this.waitingBytes += frame.bytes.length;
  }

  /** The write has ended. */
  take(ticket: number): PendingAppend {
    const pending = this.byTicket.get(ticket);
    if (pending === undefined) assert.fail(`no write is under way under ticket ${ticket}`);
    this.byTicket.delete(ticket);
    for (const frame of pending.frames) {
      this.keys.delete(keyOf(frame));
      this.waitingBytes -= frame.bytes.length;
    }
    return pending;
  }
}

const keyOf = ({ header }: ReceivedFrame): string => `${header.epoch}/${header.base}`;
