/**
 * Every metric: name, kind, unit, meaning, labels and when to worry. A process registers the ones it keeps, and
 * telemetry/METRICS.md is made of this table (T14). Labels are bounded: regions, nodes and fixed words, never statements, ids or addresses.
 */
import { controlMetrics } from './definitions/control.ts';
import { databaseMetrics } from './definitions/database.ts';
import type { MetricDefinition } from './definitions/definition.ts';
import { endpointMetrics } from './definitions/endpoint.ts';
import { gatewayMetrics } from './definitions/gateway.ts';
import { localMetrics } from './definitions/local.ts';
import { postgresMetrics } from './definitions/postgres.ts';
import { processMetrics } from './definitions/process.ts';
import { regionMetrics } from './definitions/region.ts';
import { storageMetrics } from './definitions/storage.ts';
import { writerMetrics } from './definitions/writer.ts';

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
