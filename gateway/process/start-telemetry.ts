/** The part of a gateway that tells how it is doing: metrics, spans, and the way to a collector. */
import { type BranchName, mainBranch, watchCredentials } from '../../storage/index.ts';
import { createProcessMetrics, serviceName, startTelemetry, type Telemetry } from '../../telemetry/index.ts';
import { DatabaseCounts } from '../database/database-counts.ts';
import { CommitLedger } from '../observe/commit-ledger.ts';
import { namespaceOf } from '../observe/core/namespace.ts';
import { GatewayMetrics } from '../observe/gateway-metrics.ts';
import { PostgresMetrics } from '../observe/postgres-metrics.ts';
import { RequestTracer } from '../observe/request-tracer.ts';
import type { GatewaySetup } from './setup.ts';

export interface TelemetryPart {
  readonly telemetry: Telemetry;
  readonly process: ReturnType<typeof createProcessMetrics>;
  readonly metrics: GatewayMetrics;
  /** Null where SQLite keeps the databases. */
  readonly postgres: PostgresMetrics | null;
  readonly main: DatabaseTelemetry;
  /** The same of a database. */
  of(branch: BranchName): DatabaseTelemetry;
}

export interface DatabaseTelemetry {
  readonly namespace: string;
  readonly tracer: RequestTracer;
  readonly counts: DatabaseCounts;
  readonly commits: CommitLedger;
}

export function startTelemetryPart({ config, options, limits, credentials }: GatewaySetup): TelemetryPart {
  const { cluster, region, gateway, nodes } = config;
  const instanceId = `${region}/${gateway}`;
  const telemetry =
    options.telemetry ??
    startTelemetry({ serviceName: serviceName(region), region, instanceId, role: 'gateway' });
  const process = createProcessMetrics({ region, process: `gateway/${gateway}` }, telemetry);
  if (credentials !== undefined) watchCredentials(process.registry, credentials);
  const metrics = new GatewayMetrics(process.registry);
  const postgres = config.engine === 'postgres' ? new PostgresMetrics(process.registry) : null;
  const of = (branch: BranchName): DatabaseTelemetry => {
    const namespace = namespaceOf(cluster, branch);
    const system = config.engine === 'postgres' ? 'postgresql' : 'sqlite';
    const tracer = new RequestTracer({ telemetry, system, namespace, nodes, limits });
    const counts = new DatabaseCounts(process.registry, namespace);
    return {
      namespace,
      tracer,
      counts,
      commits: new CommitLedger(metrics, tracer, counts.commits, postgres),
    };
  };
  return { telemetry, process, metrics, postgres, main: of(mainBranch), of };
}
