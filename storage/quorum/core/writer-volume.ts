/**
 * The writer's side of a volume: it allots LSNs, lays mini-transactions into frames and lets the quorum writer
 * make them durable. Batching has no timer: while two batches are under way, what arrives is gathered into the
 * next, so a lone transaction leaves at once and a crowd shares frames. What came of an event leaves with the next `flush`.
 * A transaction larger than a batch leaves in several: it is laid into frames as the nodes take it, and never all at once. Where its
 * redo is not in memory, it is asked for two batches ahead of that (`wanted`).
 */
import assert from 'node:assert/strict';
import type { Fork } from '../../history/epoch-tree.ts';
import type { QuorumSets } from '../../members/core/quorum-sets.ts';
import { encodeFrame } from '../../redo/frame.ts';
import { type Epoch, type Lsn, lsn, type NodeId, type PgId } from '../../redo/ids.ts';
import { type QuorumBounds, quorumBoundsDefault, volumeLimits } from '../../redo/limits.ts';
import type { StoredMtr } from '../../redo/mtr-stream.ts';
import { type Mtr, splitRun } from '../../redo/record.ts';
import { type QuorumEffect, type QuorumEvent, type QuorumFrame, QuorumWriter } from './quorum-writer.ts';

/** Records of one group that wait for a frame; consecutive in LSN order. */
interface OpenRun {
  readonly pg: PgId;
  readonly base: Lsn;
  readonly parts: Uint8Array[];
  byteLength: number;
  lastCpl: Lsn | null;
  /** Transactions that end here. */
  commits: number;
  /** Where its bytes are, until `supply` has brought them; null when they are here. */
  awaits: { readonly mtr: StoredMtr; readonly stretch: number } | null;
}

/** Stretches of a mini-transaction, from `from` to before `to`, whose bytes a batch is waiting for, or soon will be. */
export interface WantedRedo {
  readonly mtr: StoredMtr;
  readonly from: number;
  readonly to: number;
}

export interface VolumeOptions {
  readonly sets: QuorumSets;
  /** The reign: this epoch's frames, sent under this epoch's authority. */
  readonly epoch: Epoch;
  readonly forks: readonly Fork[];
  readonly forkLsn: Lsn;
  readonly nowMs: number;
  readonly bounds?: QuorumBounds;
}

export class Volume {
  readonly epoch: Epoch;
  private readonly quorum: QuorumWriter;
  private readonly bounds: QuorumBounds;
  private nextLsn: Lsn;
  private readonly forkLsn: Lsn;
  private readonly lastOfPg = new Map<PgId, Lsn>();
  private open: OpenRun[] = [];
  /** How many of them have their bytes elsewhere. */
  private awaiting = 0;
  private framed: readonly QuorumFrame[] = [];
  private framedTo: Lsn;
  private batchEnds: Lsn[] = [];
  /** Transactions in the last batch. */
  private batchCommits = 0;
  /** Since when nothing but transactions that are about to come holds a crowd's batch back. */
  private gatheringSinceMs: number | null = null;

  constructor(options: VolumeOptions) {
    this.epoch = options.epoch;
    this.forkLsn = options.forkLsn;
    this.nextLsn = options.forkLsn;
    this.framedTo = options.forkLsn;
    this.bounds = options.bounds ?? quorumBoundsDefault;
    this.quorum = new QuorumWriter({
      sets: options.sets,
      authority: options.epoch,
      head: options.epoch,
      forks: options.forks,
      start: options.forkLsn,
      nowMs: options.nowMs,
      bounds: this.bounds,
    });
  }

  get vdl(): Lsn {
    return this.quorum.vdl;
  }

  get vcl(): Lsn {
    return this.quorum.vcl;
  }

  /** End of everything committed, durable or not. */
  get lastLsn(): Lsn {
    return this.nextLsn;
  }

  get upNodes(): number {
    return this.quorum.upNodes;
  }

  sclOf(node: NodeId): Lsn {
    return this.quorum.sclOf(node);
  }

  /** Redo committed and not yet durable. */
  get outstandingBytes(): number {
    return this.nextLsn - this.quorum.vdl;
  }

  /** End of what has left in frames. */
  get framedLsn(): Lsn {
    return this.framedTo;
  }

  /** Redo committed and not yet framed. */
  get unflushedBytes(): number {
    return this.nextLsn - this.framedTo;
  }

  /** Everything committed is on every node that can be reached, and they know. */
  get isQuiet(): boolean {
    return this.open.length === 0 && this.quorum.isQuiet;
  }

  /** False at the back-pressure bound: new transactions have to wait, memory does not grow (S8). */
  get hasRoom(): boolean {
    return this.outstandingBytes < this.bounds.outstandingBytesMax;
  }

  setLowWater(lowWater: Lsn): void {
    this.quorum.setLowWater(lowWater);
  }

  /**
   * Takes a committed mini-transaction. It leaves with the next `flush`; one whose redo is not in memory as it is brought, see `wanted`.
   * @returns its last commit's LSN: the response may leave once VDL has reached it.
   */
  commit(mtr: Mtr | StoredMtr): Lsn {
    if (!('runs' in mtr)) return this.commitStored(mtr);
    mtr.runs.forEach((run, index) => {
      for (const bytes of splitRun(run.bytes, this.bounds.framePayloadBytesMax)) this.add(run.pg, bytes);
      if (index === mtr.runs.length - 1) {
        const last = this.open.at(-1);
        assert(last !== undefined, 'a mini-transaction holds at least its commit');
        last.lastCpl = this.nextLsn;
        last.commits += mtr.commits;
      }
    });
    return this.nextLsn;
  }

  private add(pg: PgId, bytes: Uint8Array): void {
    const last = this.open.at(-1);
    const base = this.nextLsn;
    this.nextLsn = lsn(base + bytes.length);
    if (
      last !== undefined &&
      last.pg === pg &&
      last.awaits === null &&
      last.byteLength + bytes.length <= this.bounds.framePayloadBytesMax
    ) {
      last.parts.push(bytes);
      last.byteLength += bytes.length;
      return;
    }
    this.open.push(openRun(pg, base, [bytes], bytes.length, null));
  }

  private commitStored(mtr: StoredMtr): Lsn {
    for (const [stretch, { pg, length }] of mtr.stretches.entries()) {
      this.open.push(openRun(pg, this.nextLsn, [], length, { mtr, stretch }));
      this.awaiting += 1;
      this.nextLsn = lsn(this.nextLsn + length);
    }
    const last = this.open.at(-1);
    assert(last !== undefined, 'a mini-transaction holds at least its commit');
    last.lastCpl = this.nextLsn;
    last.commits = mtr.commits;
    return this.nextLsn;
  }

  /** What is to be brought next, a batch of it at most; null while two batches wait to leave, or all is here. */
  wanted(): WantedRedo | null {
    if (this.awaiting === 0) return null;
    let ready = 0;
    const first = this.open.findIndex(({ awaits, byteLength }) => {
      ready += awaits === null ? byteLength : 0;
      return awaits !== null;
    });
    const awaits = this.open[first]?.awaits ?? null;
    if (awaits === null || ready >= volumeLimits.batchesInFlightMax * this.bounds.batchBytesMax) return null;
    const { mtr, stretch: from } = awaits;
    let to = from;
    let bytes = 0;
    do bytes += mtr.stretches[to++]?.length ?? 0;
    while (
      to < mtr.stretches.length &&
      bytes + (mtr.stretches[to]?.length ?? 0) <= this.bounds.batchBytesMax
    );
    return { mtr, from, to };
  }

  /** Takes the bytes of what was wanted last, stretch by stretch. It leaves with the next `flush`. */
  supply({ mtr, from }: WantedRedo, stretches: readonly Uint8Array[]): void {
    const first = this.open.findIndex(({ awaits }) => awaits?.mtr === mtr && awaits.stretch === from);
    for (const [index, bytes] of stretches.entries()) {
      const run = this.open[first + index];
      assert(run !== undefined && run.awaits?.mtr === mtr, 'redo is brought that was wanted');
      assert.equal(bytes.length, run.byteLength, 'a stretch is as long as it was said to be');
      run.parts.push(bytes);
      run.awaits = null;
      this.awaiting -= 1;
    }
  }

  /**
   * Frames and sends what was committed, a batch of it at most, unless it should wait: ask again after the next event, and
   * in another turn while `unflushedBytes` is above 0 and something left.
   * @param isMoreComing transactions are being carried out right now; a crowd's batch waits for them, but not for long.
   */
  flush(nowMs: number, isMoreComing = false): readonly QuorumEffect[] {
    while (this.batchEnds[0] !== undefined && this.batchEnds[0] <= this.quorum.vcl) this.batchEnds.shift();
    if (this.open.length === 0 || this.batchEnds.length >= volumeLimits.batchesInFlightMax) return [];
    if (this.batchCommits >= volumeLimits.crowdCommits && !this.mayCrowdLeave(nowMs, isMoreComing)) return [];
    const length = this.batchLength();
    if (length === 0) return [];
    const runs = this.open.splice(0, length);
    const frames = runs.map((run) => this.frame(run));
    this.batchCommits = runs.reduce((commits, run) => commits + run.commits, 0);
    this.gatheringSinceMs = null;
    this.framedTo = frames.at(-1)?.end ?? this.framedTo;
    this.batchEnds.push(this.framedTo);
    this.framed = frames;
    return this.quorum.offer(frames, nowMs);
  }

  /** How many of the open runs make a batch: at least one, if its bytes are here. */
  private batchLength(): number {
    let bytes = 0;
    const beyond = this.open.findIndex((run, at) => {
      bytes += run.byteLength;
      return run.awaits !== null || (at > 0 && bytes > this.bounds.batchBytesMax);
    });
    return beyond < 0 ? this.open.length : beyond;
  }

  /** The frames of the last `flush`, once: readers beside the writer follow them. */
  takeFramed(): readonly QuorumFrame[] {
    const { framed } = this;
    this.framed = [];
    return framed;
  }

  /** A batch costs every node the same, whatever is in it: what joins it is carried for nothing. */
  private mayCrowdLeave(nowMs: number, isMoreComing: boolean): boolean {
    if (!this.quorum.isLevel(nowMs)) return false;
    this.gatheringSinceMs ??= nowMs;
    return !isMoreComing || nowMs - this.gatheringSinceMs >= volumeLimits.gatherMs;
  }

  private frame(run: OpenRun): QuorumFrame {
    const { pg, base, lastCpl } = run;
    const prevPg = this.lastOfPg.get(pg) ?? this.forkLsn;
    const end = lsn(base + run.byteLength);
    this.lastOfPg.set(pg, end);
    return { pg, end, lastCpl, bytes: encodeFrame({ epoch: this.epoch, pg, base, prevPg }, run.parts) };
  }

  step(event: QuorumEvent, nowMs: number): readonly QuorumEffect[] {
    return this.quorum.step(event, nowMs);
  }
}

function openRun(
  pg: PgId,
  base: Lsn,
  parts: Uint8Array[],
  byteLength: number,
  awaits: OpenRun['awaits'],
): OpenRun {
  return { pg, base, parts, byteLength, lastCpl: null, commits: 0, awaits };
}
