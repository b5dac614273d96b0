/** Endpoints: connections of clients that are handed to gateways. */
import type { MetricDefinition } from './definition.ts';

/** From at once to the 10 s after which a connection is given up. */
const waitBuckets = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;
/** Whom a port leads to, and which clients take it. */
const words = { kind: ['writer', 'reader'], protocol: ['http', 'postgres'] } as const;

export const endpointMetrics = {
  endpointConnections: {
    kind: 'gauge',
    name: 'sextant_endpoint_connections',
    unit: '1',
    description: 'Connections of clients that lead to a gateway now, by the port that took them',
    worry: 'the sum of a port is near 10,000, which is the most it takes',
    labels: ['kind', 'protocol'],
    words,
  },
  endpointHandedOver: {
    kind: 'counter',
    name: 'sextant_endpoint_handed_over_total',
    unit: '1',
    description: 'Connections that were handed to a gateway',
    worry: 'stands still while clients connect',
    labels: ['kind', 'protocol'],
    words,
  },
  endpointWait: {
    kind: 'histogram',
    name: 'sextant_endpoint_wait_seconds',
    unit: 'seconds',
    description: 'How long a connection waited until it was handed to a gateway',
    worry: 'p99 above 0.1: gateways refuse connections, or are not there',
    labels: ['kind', 'protocol'],
    words,
    buckets: waitBuckets,
  },
  endpointRefused: {
    kind: 'counter',
    name: 'sextant_endpoint_refused_total',
    unit: '1',
    description:
      'Connections that no gateway got: none took it within 10 s (no_gateway), or the port had as many as it takes (limit)',
    worry: 'rises',
    labels: ['kind', 'protocol', 'why'],
    words: { ...words, why: ['no_gateway', 'limit'] },
  },
  endpointCut: {
    kind: 'counter',
    name: 'sextant_endpoint_cut_total',
    unit: '1',
    description: 'Connections that were cut because their gateway had not answered for 3 s',
    worry: 'rises: a gateway is frozen, or cannot be reached',
    labels: ['kind', 'protocol'],
    words,
  },
  endpointDialsFailed: {
    kind: 'counter',
    name: 'sextant_endpoint_dials_failed_total',
    unit: '1',
    description: 'Times a gateway did not take a connection that was handed to it; it was given to the next',
    worry: 'rises although the gateways run',
    labels: ['gateway'],
  },
  endpointGateways: {
    kind: 'gauge',
    name: 'sextant_endpoint_gateways',
    unit: '1',
    description:
      'Gateways of the deployment that the endpoint knows, by what they last said: the one that writes, those that serve, those that are not ready, those that do not answer, and those not asked yet',
    worry: 'writing is 0 for longer than a move takes; silent is above 0',
    labels: ['state'],
    words: { state: ['writing', 'ready', 'unready', 'silent', 'unasked'] },
  },
  endpointGatewayAnswers: {
    kind: 'gauge',
    name: 'sextant_endpoint_gateway_answers',
    unit: '1',
    description: '1 while a gateway, `<region>/<name>`, answers this endpoint, else 0',
    worry: '0',
    labels: ['gateway'],
  },
  endpointGatewayConnections: {
    kind: 'gauge',
    name: 'sextant_endpoint_gateway_connections',
    unit: '1',
    description: 'Connections of clients that lead to a gateway now, by gateway',
    worry: 'one of several that read has most of them for long: its clients keep their connections for good',
    labels: ['gateway'],
  },
} as const satisfies Record<string, MetricDefinition>;
