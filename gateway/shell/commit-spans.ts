/** The spans of one commit, out of recorded facts: `commit`, and one `append` for each storage node. */
import {
  type AttributeValue,
  attributes,
  type SpanFact,
  spanNames,
  type TraceContext,
} from '../../telemetry/index.ts';

/** What one node did for a commit. */
export interface NodeAck {
  readonly node: string;
  readonly az: string;
  readonly sentAtUs: number;
  readonly ackedAtUs: number;
  readonly quorum: boolean;
}

export interface CommitFacts {
  readonly context: TraceContext;
  /** The span of the request that committed; null when its answer has not been seen. */
  readonly parentSpanId: string | null;
  readonly lsn: number;
  readonly epoch: number;
  readonly redoBytes: number;
  readonly commitTimeUs: number;
  /** When it was known to be durable; null when its reign ended before. */
  readonly durableUs: number | null;
  /** When its batch left; null when that is not known. */
  readonly sentAtUs: number | null;
  readonly acks: readonly NodeAck[];
  readonly endedUs: number;
}

/** Copies a write needs. */
const quorum = 4;

/** @param nodes every storage node of the region with its zone. */
export function commitSpans(
  facts: CommitFacts,
  nodes: readonly { readonly node: string; readonly az: string }[],
  newSpanId: () => string,
): readonly SpanFact[] {
  const { context, durableUs } = facts;
  const endUs = durableUs ?? facts.endedUs;
  const position: Record<string, AttributeValue> = {
    [attributes.lsn]: facts.lsn,
    [attributes.epoch]: facts.epoch,
    [attributes.branch]: 'main',
    [attributes.redoBytes]: facts.redoBytes,
  };
  const commit: SpanFact = {
    name: spanNames.commit,
    kind: 'internal',
    context,
    parentSpanId: facts.parentSpanId,
    startUs: facts.commitTimeUs,
    endUs,
    attributes: position,
    ...(durableUs === null && {
      error: {
        code: 'SEXTANT_COMMIT_UNKNOWN',
        message: 'the reign ended before four storage nodes had confirmed the commit',
      },
    }),
  };
  return [commit, ...nodes.map((node) => appendSpan(facts, node, decisive(facts), endUs, newSpanId()))];
}

/** The node whose acknowledgement made the quorum: as noted, or the fourth to answer. */
function decisive(facts: CommitFacts): string | null {
  const noted = facts.acks.find((ack) => ack.quorum);
  if (noted !== undefined) return noted.node;
  if (facts.durableUs === null) return null;
  return [...facts.acks].sort((a, b) => a.ackedAtUs - b.ackedAtUs)[quorum - 1]?.node ?? null;
}

function appendSpan(
  facts: CommitFacts,
  target: { readonly node: string; readonly az: string },
  decisiveNode: string | null,
  endUs: number,
  spanId: string,
): SpanFact {
  const ack = facts.acks.find((candidate) => candidate.node === target.node);
  const startUs = ack?.sentAtUs ?? facts.sentAtUs ?? facts.commitTimeUs;
  return {
    name: spanNames.append,
    kind: 'client',
    context: { ...facts.context, spanId },
    parentSpanId: facts.context.spanId,
    startUs,
    endUs: ack?.ackedAtUs ?? Math.max(startUs, endUs),
    attributes: {
      [attributes.node]: target.node,
      [attributes.cloudAvailabilityZone]: target.az,
      [attributes.lsn]: facts.lsn,
      [attributes.epoch]: facts.epoch,
      ...(target.node === decisiveNode && { [attributes.quorum]: true }),
    },
    ...(ack === undefined && {
      error: {
        code: 'SEXTANT_NOT_ACKNOWLEDGED',
        message: `${target.node} had not confirmed it when its span was made`,
      },
    }),
  };
}
