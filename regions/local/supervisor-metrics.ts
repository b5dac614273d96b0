/** What a supervisor tells Prometheus, at the base port of its deployment: what only it knows of processes, NATS stores and drills. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import {
  type Counter,
  createProcessMetrics,
  follow,
  type MetricRegistry,
  metrics,
  metricsContentType,
} from '../../telemetry/index.ts';
import type { EndedDrill, SupervisorStatus } from './control-socket.ts';

export interface SupervisorFigures {
  readonly status: SupervisorStatus;
  /** Bytes left where each NATS server stores, by its name. */
  readonly natsFreeBytes: ReadonlyMap<string, number>;
  /** Every drill of the deployment that has ended. */
  readonly drills: readonly EndedDrill[];
}

/** Keeps them; they are read at each scrape. */
export function watchSupervisor(registry: MetricRegistry, read: () => SupervisorFigures): void {
  const restarts = registry.counter(metrics.supervisedRestarts);
  const trouble = registry.gauge(metrics.supervisedTrouble);
  const free = registry.gauge(metrics.natsStoreFree);
  const drills = registry.counter(metrics.drills);
  const totals = new Map<Counter, (total: number) => void>();
  const set = (counter: Counter, total: number): void => {
    const known = totals.get(counter) ?? follow(counter);
    totals.set(counter, known);
    known(total);
  };
  registry.onScrape(() => {
    const figures = read();
    for (const { id: name, restarts: count, trouble: what } of figures.status.processes) {
      set(restarts.with({ name }), count);
      trouble.with({ name }).set(what === null ? 0 : 1);
    }
    free.clear();
    for (const [name, bytes] of figures.natsFreeBytes) free.with({ name }).set(bytes);
    const ended = new Map<Counter, number>();
    for (const { kind, result } of figures.drills) {
      const counter = drills.with({ kind, result });
      ended.set(counter, (ended.get(counter) ?? 0) + 1);
    }
    for (const [counter, total] of ended) set(counter, total);
  });
}

/** Serves `/metrics` on the loopback interface. @throws Error when the port is taken. */
export async function serveSupervisorMetrics(
  port: number,
  read: () => SupervisorFigures,
): Promise<{ close(): void }> {
  const { registry, stop } = createProcessMetrics({ process: 'supervisor' });
  watchSupervisor(registry, read);
  const server: Server = createServer((request, response) => {
    if (request.method === 'GET' && request.url === '/metrics')
      response.writeHead(200, { 'content-type': metricsContentType }).end(registry.render());
    else response.writeHead(404, { 'content-type': 'text/plain' }).end('try GET /metrics\n');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    close() {
      stop();
      server.close();
      server.closeAllConnections();
    },
  };
}
