/** Asks a region where on a path a time or an LSN lies: one node after another, until one is complete enough to say. */
import type { Floor } from '../history/floor.ts';
import type { Epoch, Lsn, NodeId } from '../redo/ids.ts';
import type { FetchSource } from './region-fetch.ts';

/** See `LocateRequest`. */
export interface LocateWish {
  readonly head: Epoch;
  readonly upTo: Lsn;
  readonly atUs: number | null;
}

export type Located =
  /** A consistency point (S40). `commitTimeUs` is null where the log says nothing of it any more, and at LSN 0. */
  | { readonly kind: 'located'; readonly lsn: Lsn; readonly commitTimeUs: number | null }
  /** It lies below the floor of every node that could have said; `floor` is the lowest of them. */
  | { readonly kind: 'belowFloor'; readonly floor: Floor }
  /** No node here knows the epoch. */
  | { readonly kind: 'unknownEpoch' }
  | { readonly kind: 'unavailable'; readonly reason: string };

const answerMs = 2_000;

/** Asks every one of these nodes. Never rejects. */
export async function locateAll(
  region: Pick<FetchSource, 'request'>,
  nodes: readonly NodeId[],
  wish: LocateWish,
): Promise<ReadonlyMap<NodeId, Located>> {
  const answers = nodes.map(async (node) => [node, await ask(region, node, wish)] as const);
  return new Map(await Promise.all(answers));
}

/** Asks one node after another until one says. Never rejects. */
export async function locate(region: FetchSource, wish: LocateWish): Promise<Located> {
  let lowest: Extract<Located, { kind: 'belowFloor' }> | null = null;
  let silent: Extract<Located, { kind: 'unavailable' }> | null = null;
  let isUnknown = false;
  for (const node of region.nodes) {
    const answer = await ask(region, node, wish);
    if (answer.kind === 'located') return answer;
    if (answer.kind === 'unknownEpoch') isUnknown = true;
    else if (answer.kind === 'unavailable') silent ??= answer;
    else if (lowest === null || answer.floor.lsn < lowest.floor.lsn) lowest = answer;
  }
  if (lowest === null && silent === null && isUnknown) return { kind: 'unknownEpoch' };
  return lowest ?? silent ?? { kind: 'unavailable', reason: 'no storage node answers' };
}

async function ask(region: Pick<FetchSource, 'request'>, node: NodeId, wish: LocateWish): Promise<Located> {
  const reply = await region.request(node, { kind: 'locate', ...wish }, answerMs);
  if (reply.kind === 'located') return { kind: 'located', lsn: reply.lsn, commitTimeUs: reply.commitTimeUs };
  if (reply.kind === 'refused' && reply.code === 'UNKNOWN_EPOCH') return { kind: 'unknownEpoch' };
  if (reply.kind === 'refused' && reply.floor !== undefined)
    return { kind: 'belowFloor', floor: reply.floor };
  return { kind: 'unavailable', reason: `${node}: ${'reason' in reply ? reply.reason : 'a wrong answer'}` };
}
