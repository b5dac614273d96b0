/** What a node's repairs came to: from its first question to its peers until it is level, as its status tells afterwards. */
import { type Lsn, zeroLsn } from '../../redo/ids.ts';
import type { RepairReport } from '../../wire/core/messages.ts';

export class RepairSession {
  private open: { readonly from: Lsn; readonly beganAtUs: number; bytes: number } | null = null;
  private lastOne: RepairReport | null = null;

  /** The last session that has ended and brought anything; null before one has. */
  get last(): RepairReport | null {
    return this.lastOne;
  }

  /** A peer is asked for what follows `from`. */
  asked(from: Lsn, nowUs: number): void {
    this.open ??= { from, beganAtUs: Math.round(nowUs), bytes: 0 };
  }

  brought(bytes: number): void {
    if (this.open !== null) this.open.bytes += bytes;
  }

  /** The node is complete up to `end`, which is all that its region has durable. */
  level(end: Lsn, nowUs: number): void {
    if (this.open === null) return;
    const { from, beganAtUs, bytes } = this.open;
    this.open = null;
    // What was missing had only been late.
    if (bytes === 0) return;
    this.lastOne = {
      fromLsn: from,
      toLsn: end,
      wasEmpty: from === zeroLsn,
      beganAtUs,
      endedAtUs: Math.max(beganAtUs, Math.round(nowUs)),
      bytes,
    };
  }
}
