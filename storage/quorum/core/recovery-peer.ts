/** What a recovery knows of one node, and of a copy that is being made for it. */
import { type Floor, noFloor } from '../../history/floor.ts';
import type { Lsn, NodeId } from '../../redo/ids.ts';
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
  retryAtMs: number;
}

/** A copy under way: the target lacks frames from `at` on, and donors are tried in turn. */
export interface Copy {
  readonly target: NodeId;
  at: Lsn;
  donor: NodeId | null;
  tried: Set<NodeId>;
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
    retryAtMs: 0,
  };
}
