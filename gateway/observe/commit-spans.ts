/** The `append` spans of a batch of commits, out of recorded facts: one for each storage node. */
import { quorumLimits } from '../../storage/core.ts';
import type { AppendRow } from '../../telemetry/index.ts';

/** What one node did for a batch. */
export interface NodeAck {
  readonly node: string;
  readonly sentAtUs: number;
  readonly ackedAtUs: number;
  readonly quorum: boolean;
}

/**
 * @param acks in the order in which they came.
 * @param sentAtUs when the batch left, for nodes that have not answered.
 * @param endUs when the commits were known to be durable.
 * @param nodes every storage node of the region with its zone.
 */
export function appendRows(
  acks: readonly NodeAck[],
  sentAtUs: number,
  endUs: number,
  nodes: readonly { readonly node: string; readonly az: string }[],
): readonly AppendRow[] {
  const decisive = decisiveNode(acks);
  const last = acks.findIndex((ack) => ack.node === decisive);
  return nodes.map(({ node, az }) => {
    const place = acks.findIndex((candidate) => candidate.node === node);
    const ack = acks[place];
    const startUs = ack?.sentAtUs ?? sentAtUs;
    return {
      node,
      az,
      startUs,
      endUs: ack?.ackedAtUs ?? Math.max(startUs, endUs),
      quorum: node === decisive,
      acked: ack !== undefined,
      awaited: decisive === null || (ack !== undefined && place <= last),
    };
  });
}

/** The node whose acknowledgement made the quorum: as noted, or the fourth to answer. */
function decisiveNode(acks: readonly NodeAck[]): string | null {
  const noted = acks.find((ack) => ack.quorum);
  if (noted !== undefined) return noted.node;
  return [...acks].sort((a, b) => a.ackedAtUs - b.ackedAtUs)[quorumLimits.writeQuorum - 1]?.node ?? null;
}
