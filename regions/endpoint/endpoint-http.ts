/** How an endpoint is, for whoever watches over it: `/healthz`, `/readyz` and `/metrics`, and nothing that clients would ask. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Credentials, createSecureServer, parseAddress } from '../../storage/index.ts';
import { type Logger, type MetricRegistry, metricsContentType } from '../../telemetry/index.ts';
import type { GatewaySight } from './core/endpoint-choice.ts';

export interface EndpointHttpOptions {
  readonly registry: MetricRegistry;
  readonly gateways: () => readonly GatewaySight[];
  /** In an encrypted deployment. */
  readonly credentials: Credentials | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/** Why a connection that came now would find nobody; null while it would be taken. */
export function unreadyReason(gateways: readonly GatewaySight[]): string | null {
  if (gateways.some(({ state }) => state === 'writing' || state === 'ready')) return null;
  const told = gateways.map(({ id, state }) => `${id} ${words[state]}`).join(', ');
  return `no gateway serves: ${told}`;
}

const words = {
  writing: 'writes',
  ready: 'is ready',
  unready: 'is not ready',
  silent: 'does not answer',
  unasked: 'was not asked yet',
} as const;

/** @throws Error as `listen` of node:net does */
export function serveEndpointHttp(address: string, options: EndpointHttpOptions): Promise<Server> {
  const { credentials, log } = options;
  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    answer(request, response, options);
  const server: Server =
    credentials === undefined
      ? createServer(onRequest)
      : createSecureServer({
          credentials,
          doorOf: () => 'watch',
          onRequest,
          onRefused: (refused) => log.warn(refused, 'a caller was turned away'),
        });
  const place = parseAddress(address);
  if (place === undefined) return Promise.reject(new Error(`${address} is not host:port`));
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.port, place.host, () => {
      server.off('error', reject);
      server.on('error', (error) => log.warn({ err: error }, 'a question could not be taken'));
      resolve(server);
    });
  });
}

function answer(
  { method, url }: IncomingMessage,
  response: ServerResponse,
  { registry, gateways }: EndpointHttpOptions,
): void {
  const json = (status: number, body: object): void =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (method !== 'GET' && method !== 'HEAD') {
    json(405, { code: 'METHOD_NOT_ALLOWED', message: 'this port takes GET' });
    return;
  }
  switch (url) {
    case '/healthz':
      json(200, { status: 'ok' });
      return;
    case '/readyz': {
      const reason = unreadyReason(gateways());
      if (reason === null) json(200, { ready: true });
      else json(503, { ready: false, reason });
      return;
    }
    case '/metrics':
      response.writeHead(200, { 'content-type': metricsContentType }).end(registry.render());
      return;
    default:
      json(404, {
        code: 'NOT_FOUND',
        message:
          'here are /healthz, /readyz and /metrics; clients connect to the ports `writer` and `reader`',
      });
  }
}
