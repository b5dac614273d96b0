/**
 * How much of its log a node keeps: its floor, and what is dropped below. A drop waits until the state that holds the floor is
 * on the disk (S20); until then a crash leaves a log that is longer than it has to be.
 */
import type { Branches } from '../../branches/core/branches.ts';
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, type Lsn, mainBranch, zeroLsn } from '../../redo/ids.ts';
import type { RetainedReply, RetainRequest } from '../../wire/core/messages.ts';
import {
  dropsNothing,
  type Holdings,
  imagesOn,
  ownImages,
  planRetention,
  type RetentionPlan,
} from './retention.ts';

/** The log files up to number `through` are not needed any more, and the saved state says so. */
export interface DropLog {
  readonly kind: 'dropLog';
  readonly through: number;
}

export class LogKeeping {
  private readonly tree: EpochTree;
  private readonly segment: Segment;
  /** The drop that waits for its floor to be saved, and the ticket of that. */
  private waiting: { readonly ticket: number; readonly through: number } | null = null;

  constructor(tree: EpochTree, segment: Segment) {
    this.tree = tree;
    this.segment = segment;
  }

  /**
   * Raises the floor as far as all branches that live let it. `isHigher`: the state has to be saved, under a ticket that `saving` is told.
   * @param isStuck whether no peer has the log that this node lacks: then its own images above have to do (S22).
   */
  plan(
    branches: Branches,
    request: RetainRequest,
    holdings: Holdings,
    isStuck: boolean,
  ): { readonly plan: RetentionPlan; readonly isHigher: boolean } {
    const { tree, segment } = this;
    const isKnown = branches.listed(request);
    const { neededHeads: alsoOn } = branches;
    const newest = tree.headOf(mainBranch);
    const question = { tree, segment, durable: branches.main.durable, request, holdings, alsoOn, newest };
    // S33: of a branch that this node does not know it cannot tell what is needed.
    const planned = isKnown ? planRetention(question) : dropsNothing(segment);
    const plan = isStuck && isKnown ? { ...planned, floor: ownImages(question) ?? planned.floor } : planned;
    const isHigher = plan.floor.lsn > segment.floor.lsn;
    if (isHigher) segment.raiseFloor(plan.floor);
    return { plan, isHigher };
  }

  /** The floor was raised, for whatever reason, and is being saved: until then nothing is dropped. */
  saving(ticket: number, through = 0): void {
    this.waiting = { ticket, through: Math.max(through, this.waiting?.through ?? 0) };
  }

  /** A floor is in force that is not on the disk yet: images that the one before it counts on have to stay. */
  get isSaving(): boolean {
    return this.waiting !== null;
  }

  /** The state of this ticket is on the disk. @returns the drop that waited for it. */
  saved(ticket: number): readonly DropLog[] {
    if (this.waiting === null || ticket < this.waiting.ticket) return [];
    const { through } = this.waiting;
    this.waiting = null;
    return this.dropNow(through);
  }

  /** Drops files below a floor that is saved; nothing while one is still to be. From here on no frame in them is told of. */
  dropNow(through: number): readonly DropLog[] {
    if (through === 0 || this.waiting !== null) return [];
    this.segment.forgetFiles(through);
    return [{ kind: 'dropLog', through }];
  }

  reply(plan: RetentionPlan, head: Epoch, holdings: Holdings, lowWater: Lsn): RetainedReply {
    return {
      kind: 'retained',
      head,
      images: imagesOn(this.tree, holdings.boundaries, head),
      floor: this.segment.floor,
      window: plan.window === zeroLsn ? (this.segment.floorOn(head) ?? zeroLsn) : plan.window,
      lowWater,
      logBytes: holdings.files.reduce((sum, { bytes }) => sum + bytes, 0),
      imageBytes: holdings.imageBytes,
    };
  }
}
