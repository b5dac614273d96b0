/**
 * Every metric: name, kind, unit, meaning, labels and when to worry. A process registers the ones it keeps, and
 * telemetry/METRICS.md is made of this table (T14). Labels are bounded: regions, nodes and fixed words, never statements, ids or addresses.
 */
import { controlMetrics } from './control-definitions.ts';
import { databaseMetrics } from './database-definitions.ts';
import { endpointMetrics } from './endpoint-definitions.ts';
import { gatewayMetrics } from './gateway-definitions.ts';
import { localMetrics } from './local-definitions.ts';
import type { MetricDefinition } from './metrics.ts';
import { postgresMetrics } from './postgres-definitions.ts';
import { processMetrics } from './process-definitions.ts';
import { regionMetrics } from './region-definitions.ts';
import { storageMetrics } from './storage-definitions.ts';
import { writerMetrics } from './writer-definitions.ts';

export const metrics = {
  ...gatewayMetrics,
  ...databaseMetrics,
  ...postgresMetrics,
  ...writerMetrics,
  ...storageMetrics,
  ...regionMetrics,
  ...controlMetrics,
  ...endpointMetrics,
  ...localMetrics,
  ...processMetrics,
} as const;

/** The same, as an operator looks for them. */
export const metricSections: readonly {
  readonly title: string;
  readonly metrics: Readonly<Record<string, MetricDefinition>>;
}[] = [
  { title: 'Gateway: what clients feel', metrics: gatewayMetrics },
  { title: 'Databases: main and branches in a gateway', metrics: databaseMetrics },
  { title: 'PostgreSQL databases: clients and engines', metrics: postgresMetrics },
  { title: 'Writer: commits and the write quorum', metrics: writerMetrics },
  { title: 'Storage: one node', metrics: storageMetrics },
  { title: 'Regions: lag, shipping, readiness and moves', metrics: regionMetrics },
  { title: 'Control plane: the lease, the control record, NATS', metrics: controlMetrics },
  { title: 'Endpoints: connections that are handed to gateways', metrics: endpointMetrics },
  { title: 'A deployment on one machine: what its supervisor knows', metrics: localMetrics },
  { title: 'Every process', metrics: processMetrics },
];
