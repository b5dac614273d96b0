/** The HTTP side of a storage node: is it alive, is it ready, and what it counts. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import type { DiskHealth } from '../log/disk-health.ts';
import { type LinkRefusal, linkPath } from '../wire/link-protocol.ts';
import type { StorageNode } from './core/node.ts';

export type NodeHttp =
  /** The log is being read. */
  | { readonly kind: 'starting'; readonly registry: MetricRegistry }
  | {
      readonly kind: 'ready';
      readonly registry: MetricRegistry;
      readonly node: StorageNode;
      readonly health: DiskHealth;
    };

const starting: LinkRefusal = { status: 503, code: 'LINK_STARTING', message: 'this process is starting' };

/**
 * `/healthz`: the process runs. `/readyz`: it takes links and writes, and how complete it is; 503 with the reason while its
 * disk takes nothing. `/metrics`: Prometheus text.
 */
export function answerHttp(http: NodeHttp, request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    json(response, 405, { error: 'only GET is answered here' });
    return;
  }
  switch (request.url) {
    case '/healthz':
      json(response, 200, { status: 'ok' });
      return;
    case '/readyz':
      answerReady(http, response);
      return;
    case '/metrics':
      response.writeHead(200, { 'content-type': metricsContentType }).end(http.registry.render());
      return;
    case linkPath:
      // Whoever asks for a link while there is no server of links yet: this is no error, and no stranger's address.
      if (http.kind === 'starting') {
        json(response, starting.status, starting);
        return;
      }
      json(response, 426, { error: 'links are upgrades' });
      return;
    default:
      json(response, 404, { error: 'try /healthz, /readyz or /metrics' });
  }
}

function answerReady(http: NodeHttp, response: ServerResponse): void {
  const trouble = http.kind === 'ready' ? http.health.trouble : 'the log is being read';
  if (http.kind === 'starting') json(response, 503, { ready: false, reason: trouble });
  else if (trouble === null) json(response, 200, { ready: true, ...position(http.node) });
  else json(response, 503, { ready: false, reason: trouble, ...position(http.node) });
}

function position(node: StorageNode): object {
  const { head } = node;
  return { head, sealed: node.sealed, scl: node.segment.volumeEnd(head), vdl: node.durable.vdl };
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
