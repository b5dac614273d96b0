/** What an endpoint tells Prometheus. */
import { type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { EndpointKind, GatewaySight } from './core/endpoint-choice.ts';

/** What a port takes: clients of the libSQL protocol, or of PostgreSQL's. */
export type EndpointProtocol = 'http' | 'postgres';

/** One of the ports. */
export interface EndpointPort {
  readonly kind: EndpointKind;
  readonly protocol: EndpointProtocol;
}

/** Told of what becomes of connections, as it happens. */
export interface EndpointObserver {
  handedOver(port: EndpointPort, waitedMs: number): void;
  /** No gateway got it. */
  refused(port: EndpointPort, why: 'no_gateway' | 'limit'): void;
  /** Its gateway does not answer. */
  cut(port: EndpointPort): void;
  dialFailed(gateway: string): void;
}

const kinds = ['writer', 'reader'] as const;
const states = ['writing', 'ready', 'unready', 'silent', 'unasked'] as const;

/** What is read at each scrape. */
export interface EndpointFigures {
  readonly gateways: readonly GatewaySight[];
  openAt(port: EndpointPort): number;
}

/** Keeps the metrics. @param protocols those that the endpoint has ports for: of others there are no samples */
export function endpointObserver(
  registry: MetricRegistry,
  protocols: readonly EndpointProtocol[],
): EndpointObserver & { watch(read: () => EndpointFigures): void } {
  const handed = registry.counter(metrics.endpointHandedOver);
  const wait = registry.histogram(metrics.endpointWait);
  const refused = registry.counter(metrics.endpointRefused);
  const cut = registry.counter(metrics.endpointCut);
  const dials = registry.counter(metrics.endpointDialsFailed);
  const open = registry.gauge(metrics.endpointConnections);
  const counts = registry.gauge(metrics.endpointGateways);
  const answers = registry.gauge(metrics.endpointGatewayAnswers);
  const connections = registry.gauge(metrics.endpointGatewayConnections);
  const ports = protocols.flatMap((protocol) => kinds.map((kind): EndpointPort => ({ kind, protocol })));
  for (const port of ports) {
    handed.with({ ...port });
    wait.with({ ...port });
    cut.with({ ...port });
    for (const why of ['no_gateway', 'limit'] as const) refused.with({ ...port, why });
  }
  return {
    handedOver: (port, waitedMs) => {
      handed.with({ ...port }).add();
      wait.with({ ...port }).observe(waitedMs / 1_000);
    },
    refused: (port, why) => refused.with({ ...port, why }).add(),
    cut: (port) => cut.with({ ...port }).add(),
    dialFailed: (gateway) => dials.with({ gateway }).add(),
    watch: (read) =>
      registry.onScrape(() => {
        const figures = read();
        const { gateways } = figures;
        for (const port of ports) open.with({ ...port }).set(figures.openAt(port));
        for (const state of states)
          counts.with({ state }).set(gateways.filter((one) => one.state === state).length);
        answers.clear();
        connections.clear();
        for (const { id: gateway, state, connections: count } of gateways) {
          answers.with({ gateway }).set(state === 'silent' || state === 'unasked' ? 0 : 1);
          connections.with({ gateway }).set(count);
          dials.with({ gateway });
        }
      }),
  };
}
