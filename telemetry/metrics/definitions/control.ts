/** Control plane: the lease, the control record, NATS. */
import type { MetricDefinition } from './definition.ts';

export const controlMetrics = {
  leaseRemainingSeconds: {
    kind: 'gauge',
    name: 'sextant_lease_remaining_seconds',
    unit: 'seconds',
    description: 'Time left in which this holder may acknowledge writes; 0 while the lease is suspended',
    worry: '0 at the writer: writes wait',
    labels: [],
  },
  leaseSuspensions: {
    kind: 'counter',
    name: 'sextant_lease_suspensions_total',
    unit: '1',
    description: 'Times the lease lapsed without a renewal, so that answers waited',
    worry: 'rises again and again: the control plane is slow, or this process is starved',
    labels: [],
  },
  controlUpdates: {
    kind: 'counter',
    name: 'sextant_control_updates_total',
    unit: '1',
    description: 'Compare-and-set attempts on the control record, by outcome: won, lost or unanswered',
    worry: 'unanswered rises: the control plane is away',
    labels: ['outcome'],
    words: { outcome: ['won', 'lost', 'unanswered'] },
  },
  controlRecordAge: {
    kind: 'gauge',
    name: 'sextant_control_record_age_seconds',
    unit: 'seconds',
    description: 'Time since this process last read the control record',
    worry: 'above 5 s: the control plane is away',
    labels: [],
  },
  natsConnected: {
    kind: 'gauge',
    name: 'sextant_nats_connected',
    unit: '1',
    description: '1 while this process is connected to a NATS server',
    worry: '0',
    labels: [],
  },
  jetStreamUp: {
    kind: 'gauge',
    name: 'sextant_jetstream_up',
    unit: '1',
    description: '1 while JetStream answers this agent about the control record',
    worry: '0',
    labels: [],
  },
  controlCopyCurrent: {
    kind: 'gauge',
    name: 'sextant_control_copy_current',
    unit: '1',
    description:
      '1 while the NATS server has a current copy of the control record, and so a vote, as the leader of the copies says',
    worry: '0 for long: start that server again; with two of three at 0 nobody can write',
    labels: ['server'],
  },
  controlLeader: {
    kind: 'gauge',
    name: 'sextant_control_leader',
    unit: '1',
    description: '1 for the NATS server that leads the copies of the control record',
    worry: 'nobody leads; the leader is in the primary region for minutes',
    labels: ['server'],
  },
  regionsHeard: {
    kind: 'gauge',
    name: 'sextant_regions_heard',
    unit: '1',
    description: 'Regions whose agents are heard here, this one included',
    worry: 'below the number of regions',
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;
