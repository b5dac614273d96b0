/**
 * Sends frames to the nodes of a region and finds out what became durable. The writer of the primary region
 * and the receiving agent of a secondary are both this: one gives it frames it just encoded, the other frames
 * that arrived from afar. A slow or dead node delays nobody, since only the four fastest count.
 */
import assert from 'node:assert/strict';
import type { Fork } from '../../history/epoch-tree.ts';
import { nodesIn, pgclOf, type QuorumSets } from '../../members/core/quorum-sets.ts';
import { concatBytes } from '../../redo/bytes.ts';
import {
  type Epoch,
  type Lsn,
  maxLsn,
  type NodeId,
  type PgId,
  unreachable,
  zeroLsn,
} from '../../redo/ids.ts';
import { type QuorumBounds, quorumBoundsDefault, quorumLimits, volumeLimits } from '../../redo/limits.ts';
import type { AppendRequest, RefusalCode } from '../../wire/core/messages.ts';
import { type NodeLink, newLink } from './node-link.ts';
import { QuorumProgress, type Waiting } from './quorum-progress.ts';

/** A frame on its way to the quorum. */
export interface QuorumFrame {
  readonly bytes: Uint8Array;
  readonly pg: PgId;
  /** End of the frame on the path: its own end, or the fork where the path leaves its epoch. */
  readonly end: Lsn;
  /** Last commit at or below `end`; null when it holds none. */
  readonly lastCpl: Lsn | null;
}

export type QuorumEvent =
  | { readonly kind: 'nodeUp'; readonly node: NodeId }
  | { readonly kind: 'nodeDown'; readonly node: NodeId }
  | {
      readonly kind: 'acked';
      readonly node: NodeId;
      readonly head: Epoch;
      readonly scls: readonly (readonly [PgId, Lsn])[];
    }
  | { readonly kind: 'refused'; readonly node: NodeId; readonly code: RefusalCode; readonly sealed: Epoch }
  /** The link broke or the node did not answer in time. */
  | { readonly kind: 'unanswered'; readonly node: NodeId }
  | { readonly kind: 'forked'; readonly node: NodeId }
  /** The region has other nodes from now on, and what counts is a quorum of these. */
  | { readonly kind: 'members'; readonly sets: QuorumSets }
  | { readonly kind: 'tick' }
  /** The writer ends: the nodes hear the last durable point, so that shippers and readers can go up to it. */
  | { readonly kind: 'farewell' };

export type QuorumEffect =
  /** Send and answer with `acked`, `refused` or `unanswered`. */
  | { readonly kind: 'append'; readonly node: NodeId; readonly request: AppendRequest }
  /** Send without wanting an answer. */
  | { readonly kind: 'notice'; readonly node: NodeId; readonly request: AppendRequest }
  /** Teach a node the path; answer with `forked`, `refused` or `unanswered`. */
  | { readonly kind: 'fork'; readonly node: NodeId; readonly forks: readonly Fork[] }
  | { readonly kind: 'durable'; readonly vdl: Lsn; readonly vcl: Lsn; readonly by: NodeId }
  /** VCL has moved and VDL has not: four nodes have more of a transaction whose commit is still to come. */
  | { readonly kind: 'complete'; readonly vcl: Lsn }
  /** A newer reign has sealed the nodes: this one is over. */
  | { readonly kind: 'fenced'; readonly by: Epoch }
  /** Nothing has got on for the limit with records waiting, or fewer than four nodes are there. */
  | { readonly kind: 'quorumLost'; readonly reason: string };

export interface QuorumWriterOptions {
  readonly sets: QuorumSets;
  readonly authority: Epoch;
  /** The path the frames lie on. */
  readonly head: Epoch;
  readonly forks: readonly Fork[];
  /** Everything at or below is durable already, and a CPL. */
  readonly start: Lsn;
  readonly nowMs: number;
  readonly bounds?: QuorumBounds;
}

export class QuorumWriter {
  readonly head: Epoch;
  private readonly authority: Epoch;
  private readonly forks: readonly Fork[];
  private sets: QuorumSets;
  private links: ReadonlyMap<NodeId, NodeLink>;
  private readonly bounds: QuorumBounds;
  private readonly progress: QuorumProgress;
  private readonly pgcls = new Map<PgId, Lsn>();
  private lowWater: Lsn = zeroLsn;
  private vclLsn: Lsn;
  private vdlLsn: Lsn;
  private lastCpl: Lsn;
  /** Frames kept for sending or resending; `first` is the number of the oldest. */
  private queue: QuorumFrame[] = [];
  /** Entries at the front of `queue` that are dropped already; the array is cut for many at once. */
  private dropped = 0;
  private first = 0;
  /** Number of the first frame above VCL. */
  private undecided = 0;
  private resendBytes = 0;
  /** When the last frames became durable. */
  private durableAtMs = 0;
  private over = false;
  private shared: { readonly from: number; readonly to: number; readonly request: AppendRequest } | null =
    null;
  private effects: QuorumEffect[] = [];

  constructor(options: QuorumWriterOptions) {
    for (const set of options.sets)
      assert.equal(set.length, quorumLimits.copies, 'a region has six storage nodes');
    this.authority = options.authority;
    this.head = options.head;
    this.forks = options.forks;
    this.vclLsn = options.start;
    this.vdlLsn = options.start;
    this.lastCpl = options.start;
    this.bounds = options.bounds ?? quorumBoundsDefault;
    this.progress = new QuorumProgress(options.nowMs);
    this.sets = options.sets;
    this.links = new Map(nodesIn(options.sets).map((node) => [node, newLink(node)]));
  }

  get vcl(): Lsn {
    return this.vclLsn;
  }

  get vdl(): Lsn {
    return this.vdlLsn;
  }

  /** Whether frames still wait for their quorum. */
  get pending(): boolean {
    return this.undecided < this.end;
  }

  /** Number of the next frame to be offered. */
  private get end(): number {
    return this.first + this.queue.length - this.dropped;
  }

  private frame(number: number): QuorumFrame | undefined {
    return this.queue[number - this.first + this.dropped];
  }

  /** Nothing is under way and nobody has to be told anything soon: time alone brings nothing but the heartbeat. */
  get isQuiet(): boolean {
    if (this.pending) return false;
    for (const link of this.links.values())
      if (link.up && (link.probeDue || link.acked < this.end || link.toldVdl !== this.vdlLsn)) return false;
    return true;
  }

  /**
   * Whether every node that keeps step has everything that was offered, or is late with it. What is offered next then
   * finds the late one behind, so that a slow node is waited for once and not at each batch.
   */
  isLevel(nowMs: number): boolean {
    if (this.pending) return false;
    if (nowMs - this.durableAtMs >= volumeLimits.stepMs) return true;
    for (const link of this.links.values())
      if (link.inStep && link.up && !link.probing && link.acked < this.end) return false;
    return true;
  }

  get upNodes(): number {
    let count = 0;
    for (const link of this.links.values()) if (link.up) count += 1;
    return count;
  }

  /** SCL of a node as last heard, over all groups it has acknowledged. */
  sclOf(node: NodeId): Lsn {
    let highest = zeroLsn;
    for (const scl of this.links.get(node)?.scls.values() ?? []) highest = maxLsn(highest, scl);
    return highest;
  }

  setLowWater(lowWater: Lsn): void {
    this.lowWater = maxLsn(this.lowWater, lowWater);
  }

  /** Queues frames in volume order and sends what may be sent. */
  offer(frames: readonly QuorumFrame[], nowMs: number): readonly QuorumEffect[] {
    this.effects = [];
    if (this.over) return this.effects;
    for (const link of this.links.values()) link.inStep = link.up && !link.probing && link.acked >= this.end;
    if (!this.pending) this.progress.advanced(nowMs);
    for (const frame of frames) this.queue.push(frame);
    this.sendAll(nowMs);
    return this.effects;
  }

  step(event: QuorumEvent, nowMs: number): readonly QuorumEffect[] {
    this.effects = [];
    if (this.over) return this.effects;
    switch (event.kind) {
      case 'members':
        this.useSets(event.sets, nowMs);
        break;
      case 'tick':
        this.tick(nowMs);
        break;
      case 'farewell':
        // Whoever closes on hearing of the last durable point never carries out the notices that came with it.
        for (const link of this.links.values()) if (link.up) this.notify(link, nowMs);
        break;
      default: {
        const link = this.links.get(event.node);
        // A node that is not of the region any more, and answers late.
        if (link !== undefined) this.heard(link, event, nowMs);
      }
    }
    return this.effects;
  }

  private heard(link: NodeLink, event: Extract<QuorumEvent, { node: NodeId }>, nowMs: number): void {
    switch (event.kind) {
      case 'nodeUp':
        this.nodeUp(link);
        break;
      case 'nodeDown':
        link.up = false;
        break;
      case 'acked':
        this.acked(link, event.head, event.scls, nowMs);
        break;
      case 'refused':
        this.refused(link, event.code, event.sealed, nowMs);
        break;
      case 'unanswered':
        this.rewind(link, nowMs + volumeLimits.retryAfterMs);
        break;
      case 'forked':
        if (link.up) this.probe(link);
        break;
      default:
        unreachable(event);
    }
  }

  private nodeUp(link: NodeLink): void {
    link.up = true;
    link.inFlight = 0;
    link.retryAtMs = 0;
    // It may have come back with an empty disk: what it held before counts again once it says so.
    link.scls.clear();
    link.acked = this.first;
    this.probe(link);
  }

  /** An empty append asks a node how far it is, so that only what it lacks is sent. */
  private probe(link: NodeLink): void {
    link.probing = true;
    link.probeDue = false;
    link.inFlight = 1;
    this.effects.push({ kind: 'append', node: link.node, request: this.request([]) });
  }

  private request(frames: readonly Uint8Array[]): AppendRequest {
    return {
      kind: 'append',
      authority: this.authority,
      durable: { head: this.head, vdl: this.vdlLsn },
      lowWater: this.lowWater,
      frames: backToBack(frames),
    };
  }

  private acked(link: NodeLink, head: Epoch, scls: readonly (readonly [PgId, Lsn])[], nowMs: number): void {
    link.inFlight = Math.max(0, link.inFlight - 1);
    if (head !== this.head) return;
    for (const [pg, scl] of scls) {
      this.progress.reported(link.node, pg, scl, nowMs);
      if (scl <= (link.scls.get(pg) ?? -1)) continue;
      link.scls.set(pg, scl);
      this.count(pg);
    }
    if (link.probing && !link.probeDue) {
      link.probing = false;
      link.cursor = this.first;
    }
    if (this.mark(link)) link.inquiries = 0;
    this.advance(link.node, nowMs);
    this.sendAll(nowMs);
  }

  private count(pg: PgId): void {
    this.pgcls.set(
      pg,
      pgclOf(this.sets, (node) => this.links.get(node)?.scls.get(pg) ?? zeroLsn),
    );
  }

  /**
   * S27: from here on nothing becomes durable but by these sets. What was durable before stays so; what waits is counted anew.
   * A node that is new is asked how far it is when its link is up; one that is gone is heard no more.
   */
  private useSets(sets: QuorumSets, nowMs: number): void {
    const before = this.links;
    this.sets = sets;
    this.links = new Map(nodesIn(sets).map((node) => [node, before.get(node) ?? newLink(node)]));
    for (const pg of this.pgcls.keys()) this.count(pg);
    // By whom it became durable is told of each batch: the node that keeps step best is as good as any.
    const [by] = nodesIn(sets);
    if (by !== undefined) this.advance(by, nowMs);
    this.sendAll(nowMs);
  }

  private advance(by: NodeId, nowMs: number): void {
    const before = this.vclLsn;
    while (this.undecided < this.end) {
      const frame = this.frame(this.undecided);
      if (frame === undefined || frame.end > (this.pgcls.get(frame.pg) ?? zeroLsn)) break;
      this.undecided += 1;
      this.vclLsn = frame.end;
      if (frame.lastCpl !== null) this.lastCpl = frame.lastCpl;
      this.resendBytes += frame.bytes.length;
    }
    if (this.lastCpl > this.vdlLsn) {
      this.vdlLsn = this.lastCpl;
      this.durableAtMs = nowMs;
      if (this.vdlLsn > this.vclLsn) assert.fail(`S5: VDL ${this.vdlLsn} above VCL ${this.vclLsn}`);
      this.effects.push({ kind: 'durable', vdl: this.vdlLsn, vcl: this.vclLsn, by });
    } else if (this.vclLsn > before) this.effects.push({ kind: 'complete', vcl: this.vclLsn });
    if (this.vclLsn > before) this.progress.advanced(nowMs);
    this.trim();
  }

  /** Drops what every reachable node has, and the oldest beyond the resend bound: repair covers the rest. */
  private trim(): void {
    let keepFrom = this.undecided;
    for (const link of this.links.values()) if (link.up) keepFrom = Math.min(keepFrom, link.acked);
    while (
      this.first < keepFrom ||
      (this.first < this.undecided && this.resendBytes > this.bounds.resendBytesMax)
    ) {
      this.resendBytes -= this.frame(this.first)?.bytes.length ?? 0;
      this.first += 1;
      this.dropped += 1;
    }
    if (this.dropped < 32 && this.dropped < this.queue.length) return;
    this.queue.splice(0, this.dropped);
    this.dropped = 0;
  }

  /** Moves a node's mark past the frames its SCLs cover. @returns whether it moved. */
  private mark(link: NodeLink): boolean {
    const before = link.acked;
    link.acked = Math.max(link.acked, this.first);
    for (; link.acked < this.end; link.acked += 1) {
      const frame = this.frame(link.acked);
      if (frame === undefined || frame.end > (link.scls.get(frame.pg) ?? zeroLsn)) break;
    }
    return link.acked > before;
  }

  private refused(link: NodeLink, code: RefusalCode, sealed: Epoch, nowMs: number): void {
    if (code === 'SEALED' && sealed > this.authority) {
      this.over = true;
      this.effects.push({ kind: 'fenced', by: sealed });
      return;
    }
    if (code === 'UNKNOWN_EPOCH') {
      link.inFlight = 1;
      link.probing = true;
      link.probeDue = false;
      this.effects.push({ kind: 'fork', node: link.node, forks: this.forks });
      return;
    }
    this.rewind(link, nowMs + volumeLimits.refusedRetryMs);
  }

  /** Asks again, later, how far this node is, and sends it whatever it lacks. */
  private rewind(link: NodeLink, retryAtMs: number): void {
    link.inFlight = 0;
    link.cursor = this.first;
    link.retryAtMs = retryAtMs;
    link.probing = true;
    link.probeDue = true;
  }

  private sendAll(nowMs: number): void {
    for (const link of this.links.values()) this.send(link, nowMs);
  }

  private send(link: NodeLink, nowMs: number): void {
    if (!link.up || nowMs < link.retryAtMs) return;
    if (link.probeDue) this.probe(link);
    if (link.probing) return;
    link.cursor = Math.max(link.cursor, link.acked, this.first);
    while (link.inFlight < volumeLimits.appendsInFlightMax && link.cursor < this.end) {
      const request = this.nextAppend(link);
      link.inFlight += 1;
      link.toldVdl = this.vdlLsn;
      link.toldAtMs = nowMs;
      this.effects.push({ kind: 'append', node: link.node, request });
    }
  }

  /** The next frames for a node, as one request. Nodes that are level get the very same request object. */
  private nextAppend(link: NodeLink): AppendRequest {
    const from = link.cursor;
    let bytes = 0;
    for (; link.cursor < this.end; link.cursor += 1) {
      const length = this.frame(link.cursor)?.bytes.length ?? 0;
      if (bytes > 0 && bytes + length > this.bounds.appendBytesMax) break;
      bytes += length;
    }
    const { shared } = this;
    if (shared?.from === from && shared.to === link.cursor && shared.request.durable.vdl === this.vdlLsn)
      return shared.request;
    const start = from - this.first + this.dropped;
    const frames = this.queue.slice(start, start + link.cursor - from).map((frame) => frame.bytes);
    this.shared = { from, to: link.cursor, request: this.request(frames) };
    return this.shared.request;
  }

  /** Tells an otherwise idle node what is durable, at most every few milliseconds. */
  private tell(link: NodeLink, nowMs: number): void {
    if (!link.up || link.toldVdl === this.vdlLsn || nowMs - link.toldAtMs < volumeLimits.noticeEveryMs)
      return;
    if (link.cursor < this.end) return;
    this.notify(link, nowMs);
  }

  private notify(link: NodeLink, nowMs: number): void {
    link.toldVdl = this.vdlLsn;
    link.toldAtMs = nowMs;
    this.effects.push({ kind: 'notice', node: link.node, request: this.request([]) });
  }

  /**
   * Asks an idle node that has answered for frames its SCLs did not cover, since it lacked something before them. It
   * fills such holes from its peers and would not say so by itself; now and then everything is sent to it again.
   */
  private inquire(link: NodeLink, nowMs: number): void {
    const idle = link.up && !link.probing && link.inFlight === 0 && link.cursor >= this.end;
    if (!idle || link.acked >= this.end || nowMs - link.toldAtMs < volumeLimits.inquireEveryMs) return;
    link.inquiries += 1;
    link.toldAtMs = nowMs;
    link.toldVdl = this.vdlLsn;
    if (link.inquiries % volumeLimits.inquiriesPerResend === 0) {
      this.probe(link);
      return;
    }
    link.inFlight = 1;
    this.effects.push({ kind: 'append', node: link.node, request: this.request([]) });
  }

  /**
   * A node that came back hears of the durable point even when nothing is written. One that has nothing else to answer is asked,
   * so that a writer that writes nothing hears of a newer membership too (S29).
   */
  private remind(link: NodeLink, nowMs: number): void {
    if (link.probing || link.inFlight > 0 || link.cursor < this.end) {
      link.toldVdl = zeroLsn;
      this.tell(link, nowMs);
      return;
    }
    link.inFlight = 1;
    link.toldVdl = this.vdlLsn;
    link.toldAtMs = nowMs;
    this.effects.push({ kind: 'append', node: link.node, request: this.request([]) });
  }

  private tick(nowMs: number): void {
    this.sendAll(nowMs);
    for (const link of this.links.values()) {
      this.inquire(link, nowMs);
      this.tell(link, nowMs);
      if (link.up && nowMs - link.toldAtMs >= volumeLimits.reminderMs) this.remind(link, nowMs);
    }
    const lost = this.progress.look(this.waiting(), nowMs);
    if (lost !== null) this.effects.push({ kind: 'quorumLost', reason: lost });
  }

  private waiting(): Waiting {
    const holders = new Set<NodeId>();
    const oldest = this.frame(this.undecided);
    if (oldest !== undefined)
      for (const link of this.links.values())
        if ((link.scls.get(oldest.pg) ?? zeroLsn) >= oldest.end) holders.add(link.node);
    const end = this.queue.at(-1)?.end ?? this.vclLsn;
    const up = new Set([...this.links.values()].flatMap((link) => (link.up ? [link.node] : [])));
    return { bytes: oldest === undefined ? 0 : end - this.vclLsn, holders, up, sets: this.sets };
  }
}

/** One frame alone, as most small transactions are, is taken as it is. */
function backToBack(frames: readonly Uint8Array[]): Uint8Array {
  const [first] = frames;
  return first !== undefined && frames.length === 1 ? first : concatBytes(frames);
}
