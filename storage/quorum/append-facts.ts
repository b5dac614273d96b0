/**
 * When each batch of redo left and when each node had it: what `append` spans are made of. Kept beside the write path,
 * bounded, and only while someone wants it.
 */
import { parseFrameExtent } from '../redo/frame.ts';
import { type Epoch, type Lsn, type NodeId, zeroLsn } from '../redo/ids.ts';
import type { AppendRequest } from '../wire/core/messages.ts';

export interface AppendAck {
  readonly node: NodeId;
  readonly az: string;
  /** Microseconds since the Unix epoch. */
  readonly sentAtUs: number;
  readonly ackedAtUs: number;
  /** True of the node whose acknowledgement made the batch durable. */
  readonly quorum: boolean;
}

/**
 * One flushed batch: LSNs in (lsnFrom, lsnTo]. Delivered when it became durable, with the acknowledgements so far; those
 * of slower nodes are added to the same object when they come, so build spans a moment later to have them all.
 */
export interface AppendFacts {
  readonly epoch: Epoch;
  readonly lsnFrom: Lsn;
  readonly lsnTo: Lsn;
  /** When it left for the first node, microseconds since the Unix epoch. */
  readonly sentAtUs: number;
  readonly acks: readonly AppendAck[];
}

interface Batch {
  readonly facts: Omit<AppendFacts, 'sentAtUs' | 'acks'> & {
    sentAtUs: number;
    readonly acks: (Omit<AppendAck, 'quorum'> & { quorum: boolean })[];
  };
  readonly sentTo: Map<NodeId, number>;
}

/** Durable batches that still wait for the acknowledgements of slow nodes; older ones are let go. */
const lateMax = 512;

export class AppendRecorder {
  private readonly epoch: Epoch;
  private readonly azOf: (node: NodeId) => string;
  private readonly nowUs: () => number;
  /** In order of LSN: first those that are durable, then those that are not. */
  private batches: Batch[] = [];
  private durableCount = 0;
  private readonly extents = new WeakMap<AppendRequest, { readonly from: Lsn; readonly to: Lsn }>();

  constructor(epoch: Epoch, azOf: (node: NodeId) => string, nowUs: () => number) {
    this.epoch = epoch;
    this.azOf = azOf;
    this.nowUs = nowUs;
  }

  flushed(lsnFrom: Lsn, lsnTo: Lsn): void {
    this.batches.push({
      facts: { epoch: this.epoch, lsnFrom, lsnTo, sentAtUs: 0, acks: [] },
      sentTo: new Map(),
    });
  }

  sent(node: NodeId, request: AppendRequest): void {
    const nowUs = this.nowUs();
    this.each(request, (batch) => {
      if (batch.facts.sentAtUs === 0) batch.facts.sentAtUs = nowUs;
      if (!batch.sentTo.has(node)) batch.sentTo.set(node, nowUs);
    });
  }

  acked(node: NodeId, request: AppendRequest): void {
    const ackedAtUs = this.nowUs();
    const { to } = this.extent(request);
    this.each(request, (batch) => {
      const sentAtUs = batch.sentTo.get(node);
      if (
        sentAtUs === undefined ||
        batch.facts.lsnTo > to ||
        batch.facts.acks.some((ack) => ack.node === node)
      )
        return;
      batch.facts.acks.push({ node, az: this.azOf(node), sentAtUs, ackedAtUs, quorum: false });
    });
  }

  /** @returns the batches that became durable with this. */
  durable(vcl: Lsn, by: NodeId): readonly AppendFacts[] {
    const from = this.durableCount;
    for (
      let batch = this.batches[this.durableCount];
      batch !== undefined && batch.facts.lsnTo <= vcl;
      batch = this.batches[this.durableCount]
    ) {
      this.durableCount += 1;
      const decisive = batch.facts.acks.find((ack) => ack.node === by);
      if (decisive !== undefined) decisive.quorum = true;
    }
    const decided = this.batches.slice(from, this.durableCount).map((batch) => batch.facts);
    if (this.durableCount > 2 * lateMax) {
      this.batches = this.batches.slice(this.durableCount - lateMax);
      this.durableCount = lateMax;
    }
    return decided;
  }

  private each(request: AppendRequest, visit: (batch: Batch) => void): void {
    const { from, to } = this.extent(request);
    // What is acknowledged is nearly always near the end.
    for (let at = this.batches.length - 1; at >= 0; at--) {
      const batch = this.batches[at];
      if (batch === undefined || batch.facts.lsnTo <= from) return;
      if (batch.facts.lsnFrom < to) visit(batch);
    }
  }

  private extent(request: AppendRequest): { readonly from: Lsn; readonly to: Lsn } {
    let extent = this.extents.get(request);
    if (extent === undefined) {
      extent = parseFrameExtent(request.frames) ?? { from: zeroLsn, to: zeroLsn };
      this.extents.set(request, extent);
    }
    return extent;
  }
}
