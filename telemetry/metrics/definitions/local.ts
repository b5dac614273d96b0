/** A deployment on one machine: what its supervisor knows. */
import type { MetricDefinition } from './definition.ts';

/** What can be rehearsed (`DrillKind` of regions/drills). */
const drillKinds = [
  'region-loss',
  'region-freeze',
  'partition',
  'az-loss',
  'node-loss',
  'writer-loss',
  'agent-loss',
  'nats-loss',
  'slow-link',
  'slow-disk',
  'switchover',
] as const;

export const localMetrics = {
  supervisedRestarts: {
    kind: 'counter',
    name: 'sextant_supervised_restarts_total',
    unit: '1',
    description: 'Times the supervisor of a local deployment started a process again, by process',
    worry: 'rises again and again',
    labels: ['name'],
  },
  supervisedTrouble: {
    kind: 'gauge',
    name: 'sextant_supervised_trouble',
    unit: '1',
    description: '1 while the supervisor sees that something is wrong with a process although it runs',
    worry: '1: sextant status says what',
    labels: ['name'],
  },
  natsStoreFree: {
    kind: 'gauge',
    name: 'sextant_nats_store_free_bytes',
    unit: 'bytes',
    description: 'Space left where the NATS server keeps the control record',
    worry: 'below 100 MiB',
    labels: ['name'],
  },
  drills: {
    kind: 'counter',
    name: 'sextant_drills_total',
    unit: '1',
    description: 'Drills in the history of this deployment that ended, by kind and result',
    worry: 'failed rises',
    labels: ['kind', 'result'],
    words: { kind: drillKinds, result: ['passed', 'failed', 'abandoned'] },
  },
} as const satisfies Record<string, MetricDefinition>;
