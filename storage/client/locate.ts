/** Asks a region where on a path a time or an LSN lies: one node after another, until one is complete enough to say. */
import type { Floor } from '../history/floor.ts';
import type { Epoch, Lsn } from '../redo/ids.ts';
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

/** Never rejects. */
export async function locate(region: FetchSource, wish: LocateWish): Promise<Located> {
  const floors: Floor[] = [];
  const reasons: string[] = [];
  let strangers = 0;
  for (const node of region.nodes) {
    const reply = await region.request(node, { kind: 'locate', ...wish }, answerMs);
    if (reply.kind === 'located')
      return { kind: 'located', lsn: reply.lsn, commitTimeUs: reply.commitTimeUs };
    if (reply.kind === 'refused' && reply.code === 'UNKNOWN_EPOCH') strangers += 1;
    else if (reply.kind === 'refused' && reply.floor !== undefined) floors.push(reply.floor);
    else reasons.push(`${node}: ${'reason' in reply ? reply.reason : 'a wrong answer'}`);
  }
  const [lowest] = floors.sort((a, b) => a.lsn - b.lsn);
  if (lowest !== undefined) return { kind: 'belowFloor', floor: lowest };
  if (reasons.length === 0 && strangers > 0) return { kind: 'unknownEpoch' };
  return { kind: 'unavailable', reason: reasons[0] ?? 'no storage node answers' };
}
