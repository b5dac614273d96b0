/** What a recovery is for, what it takes in and asks for, and what comes of it. */
import type { Fork } from '../../history/epoch-tree.ts';
import type { Floor } from '../../history/floor.ts';
import type { Geometry } from '../../history/geometry.ts';
import type { BranchName, Epoch, Lsn, NodeId } from '../../redo/ids.ts';
import type { StorageReply, StorageRequest } from '../../wire/core/messages.ts';

export type RecoveryGoal =
  /** Become the writer: fork `epoch`, which the control plane has just allotted to us. */
  | {
      readonly kind: 'fork';
      readonly branch: BranchName;
      readonly epoch: Epoch;
      /** Of the volume, should this be its first fork; any other keeps the volume's own. Default: `defaultGeometry`. */
      readonly geometry?: Geometry;
      /** Go back to a place in history, where that has not been done yet. */
      readonly rewind?: RewindGoal;
    }
  /** Become a follower of the reign `epoch`, whose path is `forks`. */
  | {
      readonly kind: 'follow';
      readonly branch: BranchName;
      readonly epoch: Epoch;
      readonly head: Epoch;
      readonly forks: readonly Fork[];
    }
  /** Find out how far another path was durable here, and change nothing: what a failover left behind. */
  | { readonly kind: 'inspect'; readonly branch: BranchName; readonly epoch: Epoch; readonly head: Epoch };

/** What the control record asks of every writer from `since` on, until one has done it. */
export interface RewindGoal {
  /** The epoch that was allotted to the rewind: a head of the branch from there on has gone back already, or goes on from one. */
  readonly since: Epoch;
  /** A consistency point (S40) on the path to `epoch`. */
  readonly to: Floor;
}

/** What became of the rewind that a recovery was to make. */
export type RewindOutcome =
  | { readonly kind: 'done' }
  /** An earlier recovery had made it. */
  | { readonly kind: 'found' }
  /** It cannot be done here: the branch goes on from where it was durable. */
  | { readonly kind: 'given-up'; readonly reason: string };

export type RecoveryEvent =
  | { readonly kind: 'start' }
  | { readonly kind: 'answered'; readonly node: NodeId; readonly reply: StorageReply }
  | { readonly kind: 'unanswered'; readonly node: NodeId }
  | { readonly kind: 'tick' };

export type RecoveryEffect =
  | { readonly kind: 'send'; readonly node: NodeId; readonly request: StorageRequest }
  | { readonly kind: 'recovered'; readonly outcome: Recovered }
  | { readonly kind: 'fenced'; readonly by: Epoch }
  /** Not possible as things are, and waiting does not help. */
  | { readonly kind: 'failed'; readonly reason: string };

export interface Recovered {
  readonly head: Epoch;
  /** The path to `head`. */
  readonly forks: readonly Fork[];
  /**
   * Durable on four nodes along the path to `head`; a CPL. Of an inspection: what may have been durable, judged from
   * the nodes that answered; exact when all six did.
   */
  readonly vdl: Lsn;
  /** Every fork this region's nodes have recorded, on the path or not. */
  readonly tree: readonly Fork[];
  /** Left out when none was asked for. */
  readonly rewind?: RewindOutcome;
}

export type RecoveryPhase = 'sealing' | 'surveying' | 'replicating' | 'forking' | 'done';
