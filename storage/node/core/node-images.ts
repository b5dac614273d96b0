/** What a node's durable images mean for what it may claim: whether they bear out its floor, and when its log counts from them. */
import type { Branches } from '../../branches/core/branches.ts';
import { durableOn, type EpochTree } from '../../history/epoch-tree.ts';
import { type Floor, floorOn } from '../../history/floor.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, genesisEpoch, type Lsn, pageNo, zeroLsn } from '../../redo/ids.ts';
import type { PutImagesRequest, StorageReply } from '../../wire/core/messages.ts';
import type { Caller, ImagesFacts, NodeEffect, NodeEvent } from './node-events.ts';
import { type ImageBase, isOnPath, type Put, Refill } from './refill.ts';

export class NodeImages {
  refill: Refill;
  private readonly tree: EpochTree;
  private readonly segment: Segment;
  private base: ImageBase | null = null;

  constructor(tree: EpochTree, segment: Segment) {
    this.tree = tree;
    this.segment = segment;
    this.refill = new Refill(tree, segment, null);
  }

  /**
   * S26: a floor counts only as long as there are images at or above it on its path. Without them it goes: what the log says above
   * it does not begin anywhere. @returns whether it is gone.
   */
  opened({ standing, ...facts }: ImagesFacts): boolean {
    this.refill = new Refill(this.tree, this.segment, standing);
    return this.changed(facts);
  }

  /** The same of a node that runs: its images are others than before. */
  changed({ base, point }: Omit<ImagesFacts, 'standing'>): boolean {
    const { tree, segment } = this;
    this.base = base;
    const { floor } = segment;
    const held = tree.has(point.head)
      ? durableOn(tree, { head: point.head, vdl: point.lsn }, floor.epoch)
      : zeroLsn;
    if (held < floor.lsn) {
      segment.loseFloor();
      return true;
    }
    this.setFuzzy();
    return false;
  }

  /**
   * Looks whether the floor has to be elsewhere. @param isStuck see `countOn`.
   * @returns whether it is: it has to be saved before images go back to a fork.
   */
  settle(branches: Branches, isStuck: boolean): boolean {
    return this.leave(branches) || (isStuck && this.countOn(branches));
  }

  /**
   * S18: where the durable path leaves below the floor, nothing counts from there any more. Images that lie on the path bear out a
   * floor of their own; without any the node holds nothing of it, and takes what it is sent from the beginning on.
   */
  private leave(branches: Branches): boolean {
    const { base, segment } = this;
    const { head } = branches.main.durable;
    if (head === genesisEpoch || segment.floorOn(head) !== null) return false;
    if (base !== null && this.isOfUse(base, branches, branches.neededHeads)) {
      this.setFuzzy();
      segment.raiseFloor(base.at);
    } else segment.loseFloor();
    return true;
  }

  /** Whether images lie on the durable path, and on those of branches: one that leaves below them would be lost here. */
  private isOfUse(base: ImageBase, { main: { durable } }: Branches, heads: readonly Epoch[]): boolean {
    const isDurable = base.at.lsn <= durable.vdl;
    return isDurable && [durable.head, ...heads].every((path) => isOnPath(this.tree, base, path));
  }

  /** Paths of branches that live and leave above the floor. Of one that leaves below it this node holds nothing that could be lost. */
  private heldHeads({ neededHeads }: Branches): readonly Epoch[] {
    return neededHeads.filter((head) => this.segment.floorOn(head) !== null);
  }

  /**
   * Where the log here says less than the images begin with, it counts from there. Asked when no peer has that log: a hole that one
   * of them can fill is no reason to give up what lies below. @returns whether the floor has changed.
   */
  countOn(branches: Branches): boolean {
    const { base, segment } = this;
    const { head } = branches.main.durable;
    if (base === null || head === genesisEpoch || segment.volumeEnd(head) >= base.at.lsn) return false;
    if (!this.isOfUse(base, branches, this.heldHeads(branches))) return false;
    this.setFuzzy();
    segment.raiseFloor(base.at);
    return true;
  }

  /**
   * Looks what is to be done about images that are missing. @param peersFloor see `RepairWatch.needsImages`.
   */
  tick(branches: Branches, peersFloor: Floor | null, isBusy: boolean, nowMs: number): readonly NodeEffect[] {
    const { head, vdl } = branches.main.durable;
    const end = this.segment.volumeEnd(head);
    const imagesOn = this.lowestPath(branches);
    return this.refill.tick({ head, imagesOn, end, vdl, peersFloor, isBusy }, nowMs);
  }

  /** The path of a branch held here which leaves that of `main` first: what lies on both lies on all of them (S33). */
  private lowestPath(branches: Branches): Epoch {
    const { durable } = branches.main;
    const sharedBy = (head: Epoch): Lsn => durableOn(this.tree, durable, head);
    return this.heldHeads(branches).reduce(
      (lowest, head) => (sharedBy(head) < sharedBy(lowest) ? head : lowest),
      durable.head,
    );
  }

  put(caller: Caller | null, request: PutImagesRequest, nowMs: number): Put {
    return this.refill.put(caller, request, this.base, nowMs);
  }

  filled(
    { caller, head, standing, total }: Extract<NodeEvent, { kind: 'filled' }>,
    nowMs: number,
  ): readonly NodeEffect[] {
    this.refill.ended(standing, total, nowMs);
    if (caller === null) return [];
    // What another region pushes is wanted at once: its log is what comes next.
    if (standing?.next === null) return this.refill.adopt(caller, head);
    const { reply } = this.refill.reply(standing?.next ?? pageNo(1), null);
    return [{ kind: 'reply', caller, reply }];
  }

  /**
   * The node's images begin with `base` now. Those below are gone, so the floor is not below it any more (S26).
   * @returns what to say once the state is saved, and whether the floor is higher now.
   */
  adopted(
    base: ImageBase,
    head: Epoch,
    nowMs: number,
  ): { readonly reply: () => StorageReply; readonly isHigher: boolean } {
    this.refill.ended(null, null, nowMs);
    this.base = base;
    const { floor } = this.segment;
    const isHigher = floor.lsn > zeroLsn && floor.lsn < base.at.lsn && isOnPath(this.tree, base, head);
    if (isHigher) {
      this.setFuzzy();
      this.segment.raiseFloor(base.at);
    }
    return { reply: () => this.refill.reply(null, this.segment.floor).reply, isHigher };
  }

  private setFuzzy(): void {
    const { base } = this;
    const fuzzyTo: Floor | null =
      base === null || base.fuzzyTo === base.at.lsn ? null : { epoch: base.at.epoch, lsn: base.fuzzyTo };
    this.segment.setFuzzy(fuzzyTo);
  }
}

/** Whether images of a place can be wanted on the path to an epoch that the node knows. */
export const liesOn = (tree: EpochTree, at: Floor, head: Floor['epoch']): boolean =>
  tree.has(head) && floorOn(tree, at, head) !== null;
