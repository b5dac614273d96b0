/** The copies that a recovery makes (S7): redo that a node lacks is fetched from another and appended there, a stretch at a time. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { type BranchName, type Epoch, genesisEpoch, type Lsn, type NodeId, zeroLsn } from '../../redo/ids.ts';
import type { StorageRequest } from '../../wire/core/messages.ts';
import { mayHold, type Peer } from './recovery-peer.ts';

export interface CopyOptions {
  readonly branch: BranchName;
  /** The epoch that the nodes are sealed for. */
  readonly authority: Epoch;
  /** One stretch of a copy. */
  readonly fetchBytesMax: number;
  readonly send: (peer: Peer, request: StorageRequest) => void;
}

/** The path that is copied. */
export interface CopiedPath {
  readonly tree: EpochTree;
  readonly head: Epoch;
}

/** A copy under way: the target lacks frames from `at` on, and donors are tried in turn. */
interface Copy {
  readonly target: Peer;
  at: Lsn;
  donor: Peer | null;
  readonly tried: Set<NodeId>;
}

export class RecoveryCopies {
  private readonly options: CopyOptions;
  private copies: Copy[] = [];

  constructor(options: CopyOptions) {
    this.options = options;
  }

  /** Goes on with the copy to a node. @param idle the nodes that may be asked now. */
  goOn(target: Peer, { tree, head }: CopiedPath, idle: readonly Peer[]): void {
    let copy = this.copies.find((one) => one.target === target);
    if (copy === undefined) {
      copy = { target, at: target.survey?.volumeEnd ?? zeroLsn, donor: null, tried: new Set() };
      this.copies.push(copy);
    }
    if (copy.donor !== null || target.busy) return;
    const { at, tried } = copy;
    const donor = idle.find(
      (peer) =>
        peer.survey !== null && peer !== target && !tried.has(peer.node) && mayHold(peer, at, tree, head),
    );
    if (donor === undefined) {
      tried.clear();
      return;
    }
    copy.donor = donor;
    tried.add(donor.node);
    const { branch, fetchBytesMax, send } = this.options;
    send(donor, {
      kind: 'fetch',
      branch,
      head,
      from: at,
      bytesMax: fetchBytesMax,
      waitMs: 0,
      durableOnly: false,
      known: { head, vdl: zeroLsn },
    });
  }

  /** A donor has given a stretch, up to `next`: it goes to whom it was fetched for. */
  fetched(donor: Peer, frames: Uint8Array, next: Lsn): void {
    const copy = this.copies.find((one) => one.donor === donor);
    if (copy === undefined) return;
    copy.donor = null;
    if (frames.length === 0 || copy.target.busy) return;
    copy.tried.clear();
    copy.at = next;
    this.options.send(copy.target, {
      kind: 'append',
      authority: this.options.authority,
      // No word about what is durable: a node that came back empty must not think itself complete with this much (S6).
      durable: { head: genesisEpoch, vdl: zeroLsn },
      lowWater: zeroLsn,
      frames,
    });
  }

  /** The target has persisted a stretch. @returns where its copy is then; null when there is none of it. */
  persisted(target: Peer): Lsn | null {
    return this.copies.find((one) => one.target === target)?.at ?? null;
  }

  /** A node fell silent: as a donor it is passed over, as a target it is replaced by another. */
  silent(peer: Peer): void {
    for (const copy of this.copies) if (copy.donor === peer) copy.donor = null;
    this.end(peer);
  }

  /** No more is copied to a node. */
  end(target: Peer): void {
    this.copies = this.copies.filter((one) => one.target !== target);
  }

  clear(): void {
    this.copies = [];
  }
}
