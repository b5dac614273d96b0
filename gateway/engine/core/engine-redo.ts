/**
 * What a reader has received and not yet folded: redo in LSN order, whole mini-transactions at a time.
 *
 * Frames may come twice, out of order, and end beyond the durable LSN; nothing above it is ever given out. Frames of
 * one mini-transaction may belong to several protection groups; their LSNs tile the stream all the same.
 */

import {
  decodeRecords,
  type Epoch,
  framePayload,
  genesisEpoch,
  type Lsn,
  maxLsn,
  minLsn,
  type PageChange,
  type PositionedRecord,
  type ReceivedFrame,
  splitFrames,
  zeroLsn,
} from '../../../storage/redo.ts';

/** One mini-transaction, ready to fold. */
export interface FoldableMtr {
  readonly changes: readonly PageChange[];
  /** LSN of its commit. */
  readonly lsn: Lsn;
  readonly commitTimeUs: number;
}

export type RedoAdded =
  | { readonly kind: 'added' }
  /** The frame cannot be part of the history this reader follows: it must be opened again. */
  | { readonly kind: 'refused'; readonly reason: string };

export class RedoQueue {
  private readonly earlyBytesMax: number;
  /** Records from `taken` to `end`, without a gap. */
  private records: PositionedRecord[] = [];
  private taken: Lsn;
  private end: Lsn;
  private topEpoch: Epoch = genesisEpoch;
  /** Lowest base seen of a frame of the newest epoch: older epochs end here at the latest. */
  private topBase: Lsn = zeroLsn;
  /** Frames that begin beyond `end`: something between is still to come. */
  private early: ReceivedFrame[] = [];
  private earlyBytes = 0;

  /** @param earlyBytesMax bound on frames held while something before them is missing. */
  constructor(readPoint: Lsn, earlyBytesMax: number) {
    this.taken = readPoint;
    this.end = readPoint;
    this.earlyBytesMax = earlyBytesMax;
  }

  /**
   * Takes a checked frame. A frame of a newer epoch ends its parent's history at the frame's base: what the parent wrote
   * beyond is an orphan and is dropped from here.
   */
  add(frame: ReceivedFrame): RedoAdded {
    const { header } = frame;
    if (header.end <= this.taken) return { kind: 'added' };
    const isNewer = header.epoch > this.topEpoch;
    if (isNewer && header.base < this.taken && this.topEpoch !== genesisEpoch) {
      return {
        kind: 'refused',
        reason: `epoch ${header.epoch} leaves history at ${header.base}, below ${this.taken}`,
      };
    }
    if (isNewer || (header.epoch === this.topEpoch && header.base < this.topBase))
      this.cutAt(header.epoch, header.base);
    if (header.end <= this.end) return { kind: 'added' };
    if (header.base > this.end) return this.holdEarly(frame);
    const appended = this.append(frame);
    return appended.kind === 'added' ? this.appendEarly() : appended;
  }

  /** Drops what older epochs wrote beyond the base of the newest. */
  private cutAt(epoch: Epoch, base: Lsn): void {
    this.topEpoch = epoch;
    this.topBase = base;
    const cut = maxLsn(base, this.taken);
    if (cut < this.end) {
      this.records = this.records.filter((record) => record.lsn <= cut);
      this.end = cut;
    }
    this.early = this.early.filter((other) => other.header.epoch >= epoch || other.header.base < base);
    this.earlyBytes = this.early.reduce((sum, other) => sum + other.bytes.length, 0);
  }

  private holdEarly(frame: ReceivedFrame): RedoAdded {
    const { base, epoch, end } = frame.header;
    if (
      this.early.some(
        (other) => other.header.base === base && other.header.epoch === epoch && other.header.end === end,
      )
    ) {
      return { kind: 'added' };
    }
    if (this.earlyBytes + frame.bytes.length > this.earlyBytesMax) {
      return {
        kind: 'refused',
        reason: `redo from ${this.end} to ${base} is missing and ${this.earlyBytes} bytes wait for it`,
      };
    }
    this.early.push(frame);
    this.earlyBytes += frame.bytes.length;
    return { kind: 'added' };
  }

  private appendEarly(): RedoAdded {
    for (;;) {
      const next = this.early
        .filter((frame) => frame.header.base <= this.end)
        .sort((a, b) => b.header.epoch - a.header.epoch || a.header.base - b.header.base)[0];
      if (next === undefined) return { kind: 'added' };
      this.early = this.early.filter((frame) => frame !== next);
      this.earlyBytes -= next.bytes.length;
      if (next.header.end <= this.end) continue;
      const appended = this.append(next);
      if (appended.kind !== 'added') return appended;
    }
  }

  private append(frame: ReceivedFrame): RedoAdded {
    const decoded = decodeRecords(framePayload(frame.bytes), frame.header.base);
    if (decoded.kind === 'malformed') return { kind: 'refused', reason: decoded.reason };
    const isOlder = frame.header.epoch < this.topEpoch;
    const limit = isOlder ? minLsn(frame.header.end, this.topBase) : frame.header.end;
    for (const record of decoded.records) {
      if (record.lsn > this.end && record.lsn <= limit) this.records.push(record);
    }
    if (limit > this.end) this.end = limit;
    return { kind: 'added' };
  }

  /** Up to where all redo is here or was given out. */
  get through(): Lsn {
    return this.end;
  }

  /** Gives out every whole mini-transaction at or below `vdl` that has been received without a gap. */
  take(vdl: Lsn): FoldableMtr[] {
    const ready: FoldableMtr[] = [];
    let changes: PageChange[] = [];
    let used = 0;
    for (const [index, record] of this.records.entries()) {
      if (record.lsn > vdl) break;
      // Nobody reads beyond the end of the database, which page 1 tells: what a shrink takes away may stay cached.
      if (record.kind === 'shrink') continue;
      if (record.kind !== 'commit') {
        changes.push(record);
        continue;
      }
      ready.push({ changes, lsn: record.lsn, commitTimeUs: record.commitTimeUs });
      this.taken = record.lsn;
      changes = [];
      used = index + 1;
    }
    if (used > 0) this.records.splice(0, used);
    return ready;
  }
}

/**
 * Takes frames into a queue and gives out what is whole and durable by then.
 * @param frames frames back to back. @param step called before each frame and each mini-transaction.
 * @returns why they cannot be part of the history that is followed; null when they can.
 */
export function followRedo(
  queue: RedoQueue,
  frames: Uint8Array,
  vdl: Lsn,
  fold: (mtr: FoldableMtr) => void,
  step: () => void = () => undefined,
): string | null {
  const split = splitFrames(frames);
  if (split.kind === 'bad') return split.reason;
  for (const frame of split.frames) {
    step();
    const added = queue.add(frame);
    if (added.kind === 'refused') return added.reason;
  }
  for (const mtr of queue.take(vdl)) {
    step();
    fold(mtr);
  }
  return null;
}
