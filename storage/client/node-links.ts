/** The storage nodes of a region as drivers and recoveries use them: `RegionClient` has real links to them. */
import type { Membership } from '../members/core/membership.ts';
import type { NodeId } from '../redo/ids.ts';
import type { StorageReply, StorageRequest } from '../wire/core/messages.ts';

/** Hears of links. A watcher is told of nodes that are up already. */
export interface NodeWatcher {
  onNodeUp(node: NodeId): void;
  /** Requests that were out have been answered `unanswered` before. */
  onNodeDown(node: NodeId): void;
  /** The region has other nodes from now on, or is about to. Runs before any of them is said to be up. */
  onMembers?(membership: Membership): void;
}

export type NodeAnswer = StorageReply | { readonly kind: 'unanswered' };

export interface NodeLinks {
  /** The newest that was heard of. */
  readonly membership: Membership;
  /** Its nodes: six, or seven while one is being replaced. */
  readonly nodes: readonly NodeId[];
  azOf(node: NodeId): string;
  /** @returns a function that ends the watch. */
  watch(watcher: NodeWatcher): () => void;
  /**
   * Asks one node; `done` runs once, never inside this call, at the latest after `timeoutMs`. One that is not of the region any
   * more does not answer.
   */
  ask(node: NodeId, request: StorageRequest, timeoutMs: number, done: (answer: NodeAnswer) => void): void;
  /** Sends without wanting an answer. */
  notify(node: NodeId, request: StorageRequest): void;
}
