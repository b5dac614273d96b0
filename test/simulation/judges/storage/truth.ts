/**
 * What writers made and called durable, and what must hold of it at every moment: nothing is durable that four disks do not
 * have, and no history begun from a finished recovery lacks what a writer ever called durable.
 */
import { EpochTree, type Fork } from '../../../../storage/history/epoch-tree.ts';
import { fewestIn, type QuorumSets } from '../../../../storage/members/core/quorum-sets.ts';
import type { Recovered } from '../../../../storage/quorum/core/recovery.ts';
import { parseFrame, splitFrames } from '../../../../storage/redo/frame.ts';
import { type Epoch, type Lsn, mainBranch, type NodeId } from '../../../../storage/redo/ids.ts';
import { type FrameSample, frameBytes, heldOf } from '../../../storage/samples.ts';

/** What the truth is compared with. Frames are named `epoch/base`. */
export interface Disks {
  holds(node: NodeId, frame: string): boolean;
  hasForked(node: NodeId, epoch: Epoch): boolean;
  /** Disks that were replaced by empty ones a moment ago: what was told of them may have been true until then. */
  replaced(): number;
  fail(what: string): never;
}

/** S41: whether a rewind on the way to this outcome has left it on purpose. */
function wasLeft({ tree: forks, head }: Recovered, epoch: Epoch, vdl: Lsn): boolean {
  const tree = new EpochTree(forks);
  return tree
    .forksOf(head)
    .some(({ left }) => left !== undefined && tree.has(left) && tree.visibleUntil(left, epoch) >= vdl);
}

export class Truth {
  /** Every frame any writer made, by `epoch/base`. */
  readonly frames = new Map<string, Uint8Array>();
  /** Every announcement of durability. */
  readonly announced: { readonly epoch: Epoch; readonly vdl: Lsn }[] = [];
  readonly recovered: Recovered[] = [];
  /** A branch is named by its name, and by which of that name it is. */
  private readonly branchOf = new Map<Epoch, string>();
  /** Ends of transactions, of whatever epoch. */
  readonly cpls = new Set<Lsn>();
  private readonly disks: Disks;

  constructor(disks: Disks) {
    this.disks = disks;
  }

  private check(holds: boolean, what: string): void {
    if (!holds) this.disks.fail(what);
  }

  /** A writer has sent these frames. */
  remember(bytes: Uint8Array): void {
    const split = splitFrames(bytes);
    if (split.kind === 'bad') this.disks.fail(split.reason);
    for (const { header, bytes: frame } of split.frames)
      this.frames.set(`${header.epoch}/${header.base}`, frame);
  }

  /** Makes a frame without a writer; it is part of the truth from then on. */
  plant(sample: FrameSample): { readonly bytes: Uint8Array; readonly end: Lsn } {
    const bytes = frameBytes(sample);
    const { epoch, base, end } = heldOf(bytes);
    this.frames.set(`${epoch}/${base}`, bytes);
    this.cpls.add(end);
    return { bytes, end };
  }

  /** A writer called `vdl` durable: four nodes of every set must have every frame below it, and every later history must show it. */
  announce(epoch: Epoch, from: Lsn, vdl: Lsn, sets: QuorumSets): void {
    for (let at: number = from; at < vdl; ) {
      const key = `${epoch}/${at}`;
      const bytes =
        this.frames.get(key) ?? this.disks.fail(`durable ${vdl}, and no frame of epoch ${epoch} at ${at}`);
      const copies = this.copiesOf(key, sets);
      this.check(
        copies + this.disks.replaced() >= 4,
        `epoch ${epoch} called ${vdl} durable with ${copies} copies of the frame at ${at}`,
      );
      const parsed = parseFrame(bytes);
      at = parsed.kind === 'frame' ? parsed.header.end : this.disks.fail('a bad frame');
    }
    this.announced.push({ epoch, vdl });
    for (const outcome of this.recovered) this.checkShows(outcome, epoch, vdl);
  }

  /** A recovery is finished: its fork and everything below it are on four disks, and it is at a consistency point. */
  recoveredTo(outcome: Recovered, sets: QuorumSets): void {
    this.recovered.push(outcome);
    const { head, forks, vdl } = outcome;
    const atFork = forks.some((fork) => fork.epoch !== head && fork.forkLsn === vdl);
    this.check(
      vdl === 0 || atFork || this.cpls.has(vdl),
      `epoch ${head} forks at ${vdl}, inside a transaction`,
    );
    const promised = fewestIn(sets, (node) => this.disks.hasForked(node, head));
    this.check(promised + this.disks.replaced() >= 4, `epoch ${head} is forked on ${promised} disks`);
    for (const step of new EpochTree(forks).path(head)) {
      for (let at: number = step.from; at < Math.min(step.until, vdl); ) {
        const key = `${step.epoch}/${at}`;
        const frame =
          this.frames.get(key) ?? this.disks.fail(`no frame of epoch ${step.epoch} at ${at}, below ${vdl}`);
        const copies = this.copiesOf(key, sets);
        this.check(
          copies + this.disks.replaced() >= 4,
          `recovered to ${vdl} with ${copies} copies of the frame at ${at}`,
        );
        at += frame.length - 36;
      }
    }
    for (const { epoch, vdl } of this.announced) this.checkShows(outcome, epoch, vdl);
  }

  /** S30: whatever the newest history has durable is on four nodes of every set. */
  checkCopies(sets: QuorumSets): void {
    const newest = this.recovered.reduce<Recovered | null>(
      (best, outcome) => (best === null || outcome.head > best.head ? outcome : best),
      null,
    );
    if (newest === null) return;
    const { head, forks } = newest;
    const durable = Math.max(
      newest.vdl,
      ...this.announced.filter(({ epoch }) => epoch === head).map(({ vdl }) => vdl),
    );
    for (const step of new EpochTree(forks).path(head)) {
      for (let at: number = step.from; at < Math.min(step.until, durable); ) {
        const key = `${step.epoch}/${at}`;
        const copies = this.copiesOf(key, sets);
        this.check(
          copies >= 4,
          `a node was taken out, and ${copies} of those that stay have the frame ${key}`,
        );
        at += (this.frames.get(key)?.length ?? 0) - 36;
      }
    }
  }

  /** In the set that has the fewest. */
  private copiesOf(frame: string, sets: QuorumSets): number {
    return fewestIn(sets, (node) => this.disks.holds(node, frame));
  }

  /** The branch of an epoch that somebody recovered, or wanted to. */
  ofBranch(epoch: Epoch): string {
    return this.branchOf.get(epoch) ?? mainBranch;
  }

  /** An epoch was allotted to a branch. */
  allotted(epoch: Epoch, branch: string): void {
    this.branchOf.set(epoch, branch);
  }

  private checkShows(outcome: Recovered, epoch: Epoch, vdl: Lsn): void {
    if (outcome.head <= epoch || this.ofBranch(outcome.head) !== this.ofBranch(epoch)) return;
    const tree = new EpochTree(outcome.forks);
    // What lies at the very start of a reign belongs to its parents.
    if (tree.has(epoch) && vdl === tree.startOf(epoch)) return;
    const shown = tree.visibleUntil(outcome.head, epoch);
    if (shown < vdl && wasLeft(outcome, epoch, vdl)) return;
    this.check(
      shown >= vdl,
      `epoch ${epoch} called ${vdl} durable, epoch ${outcome.head} shows it up to ${shown}`,
    );
  }

  /** The bytes of the history that ends in `head`, from the writers' own frames. */
  bytesOf(forks: readonly Fork[], head: Epoch, vdl: Lsn): Uint8Array {
    return this.collect(forks, head, vdl, (epoch, base) => this.frames.get(`${epoch}/${base}`));
  }

  /** The bytes of the history that ends in `head`, from frames of whatever source. */
  collect(
    forks: readonly Fork[],
    head: Epoch,
    vdl: Lsn,
    frameAt: (epoch: Epoch, base: number) => Uint8Array | undefined,
  ): Uint8Array {
    const bytes = new Uint8Array(vdl);
    for (const step of new EpochTree(forks).path(head)) {
      const until = Math.min(step.until, vdl);
      for (let at: number = step.from; at < until; ) {
        const frame =
          frameAt(step.epoch, at) ??
          this.disks.fail(`no frame of epoch ${step.epoch} at ${at}, below ${vdl}`);
        bytes.set(frame.subarray(36, 36 + Math.min(frame.length - 36, until - at)), at);
        at += frame.length - 36;
      }
    }
    return bytes;
  }
}
