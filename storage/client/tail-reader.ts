/**
 * Follows a region's log along a path: frames as they arrive, from one node at a time, passing on to another node when
 * that one is silent, lacks something, or has nothing to say for a while (it may be cut off from the writer).
 */
import { commonPoint, EpochTree, type Fork } from '../history/epoch-tree.ts';
import {
  type BranchName,
  type Epoch,
  genesisEpoch,
  type Lsn,
  mainBranch,
  maxLsn,
  type NodeId,
  zeroLsn,
} from '../redo/ids.ts';
import { nodeLimits } from '../redo/limits.ts';
import type { FetchedReply } from '../wire/core/messages.ts';
import type { RegionClient } from './region-client.ts';

export interface TailFrames {
  readonly head: Epoch;
  /** The whole path to `head`; given when it is another head than last time, else empty. */
  readonly forks: readonly Fork[];
  /**
   * Where `frames` begin; the first may begin earlier and reach into it. Normally the `next` of last time; lower when
   * the new head's path leaves the old one below what was read: what lies above is no part of this history.
   */
  readonly from: Lsn;
  /** Back to back, each checked by the node; may be empty. */
  readonly frames: Uint8Array;
  /** Durable along the path to `head`, as the node was told; never goes back while the head stays. */
  readonly vdl: Lsn;
  readonly next: Lsn;
}

export interface TailReaderOptions {
  readonly region: RegionClient;
  /** Whose path it is. Default: main. */
  readonly branch?: BranchName;
  /** The path to follow; null for the newest head of the branch, whichever that becomes. */
  readonly head: Epoch | null;
  /** The path that `from` lies on and its forks; needed when the reader has read before. */
  readonly known?: { readonly head: Epoch; readonly forks: readonly Fork[] };
  readonly from: Lsn;
  /** Only frames the writer has called durable. */
  readonly durableOnly?: boolean;
  /** Most frame bytes in one call. */
  readonly bytesMax?: number;
  readonly onFrames: (tail: TailFrames) => void;
  /** A node was given up; reading goes on with the next. */
  readonly onPassedOn?: (node: NodeId, reason: string) => void;
}

export const tailLimits = {
  /** How long a node may have nothing to say before another one is asked. */
  waitMs: 1_000,
  /** Beyond `waitMs`, until a node counts as silent. */
  answerMs: 1_000,
  /** Wait after every node was tried in vain. */
  roundMs: 100,
} as const;

export class TailReader {
  private readonly options: TailReaderOptions;
  private tree: EpochTree;
  private head: Epoch;
  private nextLsn: Lsn;
  private vdl: Lsn = zeroLsn;
  private at = 0;
  private misses = 0;
  private reading = false;
  private paused = false;
  private closed = false;
  private retry: NodeJS.Timeout | undefined;

  constructor(options: TailReaderOptions) {
    this.options = options;
    this.tree = new EpochTree(options.known?.forks ?? []);
    this.head = options.known?.head ?? genesisEpoch;
    this.nextLsn = options.from;
    this.read();
  }

  /** Where the next frames begin. */
  get next(): Lsn {
    return this.nextLsn;
  }

  private get order(): readonly NodeId[] {
    return this.options.region.nodes;
  }

  /** The node that is asked. */
  get node(): NodeId | undefined {
    return this.order[this.at % this.order.length];
  }

  /** Nothing is delivered until `resume`; what arrives meanwhile is dropped and asked for again. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.read();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.retry);
  }

  private read(): void {
    const node = this.node;
    if (this.reading || this.paused || this.closed || node === undefined) return;
    clearTimeout(this.retry);
    this.reading = true;
    const {
      region,
      branch = mainBranch,
      head,
      durableOnly = false,
      bytesMax = nodeLimits.fetchBytesMax,
    } = this.options;
    const known = { head: this.head, vdl: this.vdl };
    const request = {
      kind: 'fetch',
      branch,
      head,
      from: this.nextLsn,
      bytesMax,
      waitMs: tailLimits.waitMs,
      durableOnly,
      known,
    } as const;
    region.ask(node, request, tailLimits.waitMs + tailLimits.answerMs, (answer) => {
      this.reading = false;
      if (this.closed || this.paused) return;
      if (answer.kind === 'fetched') this.fetched(node, answer);
      else
        this.passOn(
          node,
          answer.kind === 'unanswered' || answer.kind === 'refused' ? answer.reason : 'a wrong answer',
        );
    });
  }

  private passOn(node: NodeId, reason: string): void {
    this.at += 1;
    this.misses += 1;
    this.options.onPassedOn?.(node, reason);
    if (this.misses % this.order.length !== 0) this.read();
    else this.retry = setTimeout(() => this.read(), tailLimits.roundMs);
  }

  private fetched(node: NodeId, answer: FetchedReply): void {
    // A node that has not heard of the newest reign would lead back into the one before.
    if (answer.head < this.head) {
      this.passOn(node, `it knows epoch ${answer.head}, epoch ${this.head} was read before`);
      return;
    }
    const switched = answer.head !== this.head;
    if (switched && this.switchTo(answer)) return;
    const hasNews = switched || answer.frames.length > 0 || answer.vdl > this.vdl;
    const from = this.nextLsn;
    this.nextLsn = answer.next;
    this.vdl = maxLsn(this.vdl, answer.vdl);
    if (hasNews) {
      this.options.onFrames({
        head: answer.head,
        forks: switched ? answer.forks : [],
        from,
        frames: answer.frames,
        vdl: this.vdl,
        next: this.nextLsn,
      });
    }
    if (answer.frames.length === 0 && this.vdl > this.nextLsn)
      this.passOn(node, `it holds nothing from ${this.nextLsn} on, ${this.vdl} is durable`);
    else if (hasNews) {
      this.misses = 0;
      this.read();
    } else {
      // Quiet: the next node is asked, without calling this one bad.
      this.at += 1;
      this.read();
    }
  }

  /** @returns true when what came lies on no path that was read, and is asked for again from where the paths part. */
  private switchTo(answer: FetchedReply): boolean {
    const before = { head: this.head, lsn: this.nextLsn };
    const tree = new EpochTree([
      ...this.tree.all(),
      ...answer.forks.filter((fork) => !this.tree.has(fork.epoch)),
    ]);
    this.tree = tree;
    this.head = answer.head;
    this.vdl = zeroLsn;
    if (before.head === genesisEpoch) return false;
    const common = commonPoint(tree, before, answer.head);
    if (common === before.lsn) return false;
    this.nextLsn = common;
    this.options.onFrames({
      head: answer.head,
      forks: answer.forks,
      from: common,
      frames: new Uint8Array(0),
      vdl: zeroLsn,
      next: common,
    });
    this.read();
    return true;
  }
}
