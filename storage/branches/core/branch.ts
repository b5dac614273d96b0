/** What a node has promised, was told and lacks of one branch: each branch has its own, so that none stands in another's way. */
import { type BranchName, type Epoch, genesisEpoch, type Lsn, maxLsn, zeroLsn } from '../../redo/ids.ts';
import type { AppendRequest, DurablePoint } from '../../wire/core/messages.ts';
import { RepairWatch } from './repair-watch.ts';

/** What a node remembers of a branch. Never goes backwards, as long as the name means the same branch. */
export interface BranchState {
  readonly sealed: Epoch;
  /** A hint that bounds the work of recovery; may be older than the truth. */
  readonly durable: DurablePoint;
  /** False while it may have acknowledged, in an earlier life, what it does not hold now (S6, S34). */
  readonly hydrated: boolean;
}

/** The same with its name, as it lies in the state beside that of `main`. */
export interface NamedBranchState extends BranchState {
  readonly branch: BranchName;
}

export const nothingTold: DurablePoint = { head: genesisEpoch, vdl: zeroLsn };

export class Branch {
  readonly name: BranchName;
  /** What it lacks, and when its peers are asked for it. */
  readonly repairs = new RepairWatch();
  sealed: Epoch;
  durable: DurablePoint;
  hydrated: boolean;
  /** No reader of this branch needs a page version older than this. */
  lowWater: Lsn = zeroLsn;
  /** A writer of this branch has said what is durable since this process began, and not only other nodes. */
  isVouched = false;
  /** False once the region's agent says that it was deleted: nothing is kept for it any more. */
  isLive = true;

  constructor(name: BranchName, { sealed, durable, hydrated }: BranchState) {
    this.name = name;
    this.sealed = sealed;
    this.durable = durable;
    this.hydrated = hydrated;
  }

  get state(): BranchState {
    const { sealed, durable, hydrated } = this;
    return { sealed, durable, hydrated };
  }

  /** @returns whether this is a newer promise than the one before (S2). */
  seal(epoch: Epoch): boolean {
    if (epoch <= this.sealed) return false;
    this.sealed = epoch;
    return true;
  }

  /** The low-water mark of a writer. A new head may have gone back behind what nobody read any more on the old one. */
  lower({ durable: { head }, lowWater }: Pick<AppendRequest, 'durable' | 'lowWater'>): void {
    if (head > this.durable.head) this.lowWater = lowWater;
    else if (head === this.durable.head) this.lowWater = maxLsn(this.lowWater, lowWater);
  }

  isNews({ head, vdl }: DurablePoint): boolean {
    const told = this.durable;
    return head > told.head || (head === told.head && vdl > told.vdl);
  }
}
