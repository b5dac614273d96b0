/**
 * Reads a region's log from whichever of its six nodes has it: one node at a time, and the next one when that node
 * is silent, does not know the path, or has nothing to give.
 */
import type { Floor } from '../history/floor.ts';
import type { NodeId } from '../redo/ids.ts';
import type { FetchedReply, FetchRequest, StorageReply, StorageRequest } from '../wire/core/messages.ts';

/** The part of a region client this needs. */
export interface FetchSource {
  readonly nodes: readonly NodeId[];
  request(
    node: NodeId,
    request: StorageRequest,
    timeoutMs: number,
  ): Promise<StorageReply | { readonly kind: 'unanswered'; readonly reason: string }>;
}

/** Beyond the wait that the request itself asks for, in milliseconds. */
const answerMs = 1_500;

export class RegionFetch {
  private readonly region: FetchSource;
  private at: number;
  /** What each node had to say the last time: a floor above what was asked, or nothing. */
  private readonly misses = new Map<NodeId, Floor | null>();

  /** @param start which node to begin with, so that several readers spread over the six. */
  constructor(region: FetchSource, start: number) {
    this.region = region;
    this.at = start;
  }

  /** @returns null when this try brought nothing; the next one asks another node. */
  async fetch(request: FetchRequest): Promise<FetchedReply | null> {
    const node = this.region.nodes[this.at % this.region.nodes.length];
    if (node === undefined) return null;
    const reply = await this.region.request(node, request, request.waitMs + answerMs);
    if (reply.kind !== 'fetched') {
      this.at += 1;
      this.misses.set(node, reply.kind === 'refused' ? (reply.floor ?? null) : null);
      return null;
    }
    this.misses.clear();
    // Nothing new, or nothing it knows of: a node that the writer cannot reach looks the same from here.
    if (reply.frames.length === 0) this.at += 1;
    return reply;
  }

  /** The same when each has answered: then the log below is gone. */
  get belowAll(): Floor | null {
    return [...this.misses.values()].includes(null) ? null : this.below;
  }

  /** The lowest floor of the nodes, when each was asked in vain and what was asked lies below that of all who answered; else null. */
  get below(): Floor | null {
    if (this.misses.size < this.region.nodes.length) return null;
    const floors = [...this.misses.values()].flatMap((floor) => floor ?? []);
    return floors.sort((a, b) => a.lsn - b.lsn)[0] ?? null;
  }
}
