/** What a node answers from what it holds, or why it does not. */
import type { Branch } from '../../branches/core/branch.ts';
import { type EpochTree, endOfTime, type Fork } from '../../history/epoch-tree.ts';
import { describeFloor, type Floor, floorAbove } from '../../history/floor.ts';
import type { Segment } from '../../log/core/segment.ts';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  maxLsn,
  minLsn,
  type PgId,
  pgId,
  zeroLsn,
} from '../../redo/ids.ts';
import type {
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
  /** What is known to be durable on the path to a head. */
  readonly durableOn: (head: Epoch) => Lsn;
}

/** Why a fetch along the path to `head` is refused; null when it is not. */
export function refusesFetch({ tree, segment }: Held, head: Epoch, { from }: FetchRequest): Refusal | null {
  if (!tree.has(head)) return unknown(head);
  const floor = floorAbove(tree, segment.floor, head, from);
  return floor === null ? null : below(`the log from ${from} on`, floor);
}

/** The answer to a fetch that is not refused; null when there is no news and `force` is not set. */
export function fetchAnswer(
  { tree, segment, durableOn }: Held,
  head: Epoch,
  request: FetchRequest,
  force: boolean,
): FetchAnswer | null {
  const vdl = durableOn(head);
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
 * What a node is that has sealed a branch: no witness of it while it came back empty (S6). @param wasSetAside what it had could not
 * be believed, so it has nothing and says nothing of whether the region is new (S43).
 */
export function sealedAnswer(
  { tree, segment }: Pick<Held, 'tree' | 'segment'>,
  { durable, hydrated }: Branch,
  wasSetAside: boolean,
): SealedReply {
  const isBlank = segment.frameCount === 0 && durable.vdl === zeroLsn && segment.floor.lsn === zeroLsn;
  return { kind: 'sealed', forks: tree.all(), fresh: !hydrated, empty: isBlank && !wasSetAside };
}

export const unknown = (head: Epoch): Refusal => ({
  code: 'UNKNOWN_EPOCH',
  reason: `epoch ${head} is not in this node's tree`,
});

/** What a request hears that the shell answers, or hands over as an event of its own. */
export const alone = (kind: string): Refusal => ({
  code: 'BAD_REQUEST',
  reason: `${kind} is not answered by the node's core alone`,
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

/**
 * Why a branch cannot begin where the last of these forks says: the log here no longer reaches there, so it would be of no use (S33).
 * Null when it can, when it has begun already, and for forks that go on with a branch.
 */
export function refusesBranch(
  { tree, segment }: Omit<Held, 'durableOn'>,
  forks: readonly Fork[],
): Refusal | null {
  const last = forks.at(-1);
  if (last === undefined || tree.has(last.epoch) || last.parent === genesisEpoch) return null;
  const named = (epoch: Epoch): Fork | undefined =>
    tree.get(epoch) ?? forks.find((fork) => fork.epoch === epoch);
  if (named(last.parent)?.branch === last.branch) return null;
  // A node that missed its parent's reign hears of that, too, only now: what counts is where the path leaves what is known here.
  let [shared, upTo] = [last.parent, last.forkLsn];
  while (shared !== genesisEpoch && !tree.has(shared)) {
    const fork = named(shared);
    if (fork === undefined) return null;
    [shared, upTo] = [fork.parent, minLsn(upTo, fork.forkLsn)];
  }
  const floor = segment.floorOn(shared);
  if (floor !== null && upTo >= maxLsn(floor, segment.readableFrom)) return null;
  return below(
    `branch ${last.branch} begins at ${last.forkLsn} of epoch ${last.parent}, and that`,
    segment.floor,
  );
}

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
