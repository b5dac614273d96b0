/** A repair of a storage node as a span. Nodes have no collector of their own: their region's agent hears of it and tells. */
import type { NodeAddress, RepairReport } from '../../storage/index.ts';
import { attributes, namedTrace, type SpanFact, spanNames } from '../../telemetry/index.ts';

/** @param where the node, and the deployment and region it belongs to. Times are by the node's clock. */
export function repairSpan(
  where: { readonly cluster: string; readonly region: string; readonly node: NodeAddress },
  report: RepairReport,
): SpanFact {
  const { cluster, region, node } = where;
  const { toLsn, wasEmpty, beganAtUs, endedAtUs, bytes } = report;
  return {
    name: wasEmpty ? spanNames.bootstrap : spanNames.repair,
    kind: 'internal',
    context: namedTrace('repair', cluster, region, node.node, `${beganAtUs}`),
    parentSpanId: null,
    startUs: beganAtUs,
    endUs: endedAtUs,
    attributes: {
      [attributes.node]: node.node,
      [attributes.cloudAvailabilityZone]: node.az,
      [attributes.lsn]: toLsn,
      [attributes.filledBytes]: bytes,
    },
  };
}
