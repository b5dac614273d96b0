/** What a recovery knows of one node. */
import type { EpochTree } from '../../history/epoch-tree.ts';
import { type Floor, floorAbove, noFloor } from '../../history/floor.ts';
import type { Epoch, Lsn, NodeId } from '../../redo/ids.ts';
import { quorumLimits } from '../../redo/limits.ts';
import type { SurveyedReply } from '../../wire/core/messages.ts';

export interface Peer {
  readonly node: NodeId;
  sealed: boolean;
  fresh: boolean;
  empty: boolean;
  survey: SurveyedReply | null;
  forked: boolean;
  /** It was asked to refill itself, and has not answered yet. */
  refilling: boolean;
  /** It was asked so once. */
  isNeedy: boolean;
  /** By its last survey. */
  refilledBytes: number;
  /** A request is out; the next waits for its answer. */
  busy: boolean;
  /** The answer that it owes is about a path that counts no more. */
  isOutdated: boolean;
  retryAtMs: number;
}

/** Six in words. */
export const words = (nodes: number): string => (nodes === quorumLimits.copies ? 'six' : `${nodes}`);

/** Which nodes need images, in words for an operator. @param nodes how many there are in all. */
export function describeNeed(needy: readonly Peer[], complete: number, nodes: number, vdl: Lsn): string {
  const each = needy.map(({ node, survey, refilledBytes }) => {
    const got = refilledBytes > 0 ? `, has got ${refilledBytes} bytes of images` : '';
    return `${node} is complete up to ${survey?.volumeEnd ?? 0}${got}`;
  });
  return `${complete} of ${words(nodes)} storage nodes are complete up to ${vdl}; others need images, since their position is below the retained log (${each.join('; ')})`;
}

/** From where on a node has the log, as its survey says. */
export const floorOf = ({ survey }: Peer): Floor => survey?.floor ?? noFloor;

/** Whether a node may have the frames from `at` on, on the path to `head`. Below a floor there are images only (S21). */
export function mayHold(peer: Peer, at: Lsn, tree: EpochTree, head: Epoch): boolean {
  const { survey } = peer;
  if (survey === null || floorAbove(tree, floorOf(peer), head, at) !== null) return false;
  // Below what it was told is durable a survey lists nothing: behind a hole it may hold this all the same. One that was told by
  // this recovery what it lacks holds none of it.
  return (
    survey.volumeEnd > at ||
    (survey.vdl > at && !peer.isNeedy) ||
    survey.chain.some(([base, end]) => base <= at && end > at)
  );
}

/** Another path is surveyed from now on: what was heard of the last one, and what is still to come, says nothing of it. */
export function forgetSurvey(peer: Peer): void {
  peer.survey = null;
  peer.isOutdated = peer.busy;
}

export function newPeer(node: NodeId): Peer {
  return {
    node,
    sealed: false,
    fresh: false,
    empty: false,
    survey: null,
    forked: false,
    refilling: false,
    isNeedy: false,
    refilledBytes: 0,
    busy: false,
    isOutdated: false,
    retryAtMs: 0,
  };
}
