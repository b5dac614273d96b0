/** What a node answers from what it holds, or why it does not. */
import { durableOn, type EpochTree, endOfTime, type Fork } from '../../history/epoch-tree.ts';
import { describeFloor, type Floor, floorAbove } from '../../history/floor.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, type Lsn, type PgId, pgId, zeroLsn } from '../../redo/ids.ts';
import type {
  DurablePoint,
  FetchRequest,
  ReadPagesRequest,
  RefusalCode,
  RefusedReply,
  SealedReply,
} from '../../wire/core/messages.ts';
import type { FetchAnswer } from './node-events.ts';

export interface Refusal {
  readonly code: RefusalCode;
  readonly reason: string;
  readonly floor?: Floor;
}

/** What decides. */
export interface Held {
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly durable: DurablePoint;
}

/** Why a fetch along the path to `head` is refused; null when it is not. */
export function refusesFetch({ tree, segment }: Held, head: Epoch, { from }: FetchRequest): Refusal | null {
  if (!tree.has(head)) return unknown(head);
  const floor = floorAbove(tree, segment.floor, head, from);
  return floor === null ? null : below(`the log from ${from} on`, floor);
}

/** The answer to a fetch that is not refused; null when there is no news and `force` is not set. */
export function fetchAnswer(
  { tree, segment, durable }: Held,
  head: Epoch,
  request: FetchRequest,
  force: boolean,
): FetchAnswer | null {
  const vdl = durableOn(tree, durable, head);
  const { frames, end } = segment.run(
    head,
    request.from,
    request.bytesMax,
    request.durableOnly ? vdl : endOfTime,
  );
  const news = frames.length > 0 || head !== request.known.head || vdl > request.known.vdl;
  if (!news && !force) return null;
  return { head, vdl, next: end, forks: head === request.known.head ? [] : tree.forksOf(head), frames };
}

/** Why a page read is refused; null when this node is complete for it. */
export function refusesRead({ tree, segment }: Held, { head, readPoint }: ReadPagesRequest): Refusal | null {
  if (!tree.has(head)) return unknown(head);
  const onPath = segment.floorOn(head);
  if (onPath === null || readPoint < onPath)
    return below(`read point ${readPoint} of epoch ${head}`, segment.floor);
  if (readPoint < segment.readableFrom) {
    const reason = `this node was refilled from images and tells no page below ${segment.readableFrom}`;
    return { code: 'NOT_COMPLETE', reason };
  }
  const complete = segment.volumeEnd(head);
  if (complete >= readPoint) return null;
  const reason = `read point ${readPoint} is above ${complete}, up to where this node is complete`;
  return { code: 'NOT_COMPLETE', reason };
}

/**
 * What a node is that has sealed. @param fresh it came back empty and is no witness yet (S6). @param wasSetAside what it had
 * could not be believed, so it has nothing and says nothing of whether the region is new.
 */
export function sealedAnswer(
  { tree, segment, durable }: Held,
  fresh: boolean,
  wasSetAside: boolean,
): SealedReply {
  const isBlank = segment.frameCount === 0 && durable.vdl === zeroLsn && segment.floor.lsn === zeroLsn;
  return { kind: 'sealed', forks: tree.all(), fresh, empty: isBlank && !wasSetAside };
}

export const unknown = (head: Epoch): Refusal => ({
  code: 'UNKNOWN_EPOCH',
  reason: `epoch ${head} is not in this node's tree`,
});

/** What a fork hears that the tree here excludes (S3). */
export const contradicts = ({ epoch, parent, forkLsn }: Fork): Refusal => ({
  code: 'EPOCH_CONFLICT',
  reason: `epoch ${epoch} from (${parent}, ${forkLsn}) contradicts this node's tree`,
});

export const doesNotFit = (head: Epoch): Refusal => ({
  code: 'EPOCH_CONFLICT',
  reason: `the path to epoch ${head} does not fit this node's tree`,
});

const below = (what: string, floor: Floor): Refusal => ({
  code: 'BELOW_FLOOR',
  reason: `${what} is not kept here: the floor of this node is ${describeFloor(floor)}`,
  floor,
});

/** What an authority older than the seal hears (S2). */
export function fenced(authority: Epoch, sealed: Epoch): RefusedReply {
  const reason = `epoch ${authority} is fenced: this node is sealed for epoch ${sealed}`;
  return { kind: 'refused', code: 'SEALED', reason, sealed };
}

/** The SCLs an acknowledgement carries; one without frames tells all, so that a returning writer knows where to resume. */
export function sclsToTell(
  segment: Segment,
  head: Epoch,
  pgs: readonly PgId[],
): readonly (readonly [PgId, Lsn])[] {
  const known = pgs.length > 0 ? pgs : segment.scls(head).map(([pg]) => pg);
  return (known.length > 0 ? known : [pgId(0)]).map((pg) => [pg, segment.scl(head, pg)] as const);
}
