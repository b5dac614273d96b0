/** The part of a gateway that tells how it is doing: metrics, spans, and the way to a collector. */
import { watchCredentials } from '../../storage/index.ts';
import { createProcessMetrics, serviceName, startTelemetry, type Telemetry } from '../../telemetry/index.ts';
import { CommitLedger } from '../observe/commit-ledger.ts';
import { GatewayMetrics } from '../observe/gateway-metrics.ts';
import { RequestTracer } from '../observe/request-tracer.ts';
import type { GatewaySetup } from './setup.ts';

export interface TelemetryPart {
  readonly telemetry: Telemetry;
  readonly process: ReturnType<typeof createProcessMetrics>;
  readonly metrics: GatewayMetrics;
  readonly tracer: RequestTracer;
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
  const tracer = new RequestTracer({ telemetry, cluster, nodes, limits });
  return { telemetry, process, metrics, tracer, commits: new CommitLedger(metrics, tracer) };
}
