/** The six storage nodes of a region as drivers and recoveries use them: `RegionClient` has real links to them. */
import type { NodeId } from '../redo/ids.ts';
import type { StorageReply, StorageRequest } from '../wire/core/messages.ts';

/** Hears of links. A watcher is told of nodes that are up already. */
export interface NodeWatcher {
  onNodeUp(node: NodeId): void;
  /** Requests that were out have been answered `unanswered` before. */
  onNodeDown(node: NodeId): void;
}

export type NodeAnswer = StorageReply | { readonly kind: 'unanswered' };

export interface NodeLinks {
  readonly nodes: readonly NodeId[];
  azOf(node: NodeId): string;
  /** @returns a function that ends the watch. */
  watch(watcher: NodeWatcher): () => void;
  /** Asks one node; `done` runs once, never inside this call, at the latest after `timeoutMs`. */
  ask(node: NodeId, request: StorageRequest, timeoutMs: number, done: (answer: NodeAnswer) => void): void;
  /** Sends without wanting an answer. */
  notify(node: NodeId, request: StorageRequest): void;
}
