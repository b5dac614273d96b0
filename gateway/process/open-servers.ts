/** What of a gateway listens: for libSQL clients and the admin API, and for PostgreSQL clients. */
import { type AdminAct, auditLog, drillLink, postgresBase } from '../../regions/index.ts';
import { adminRoutes } from '../admin/admin.ts';
import { AgentLink } from '../admin/agent-link.ts';
import { consoleRoutes } from '../console/console-routes.ts';
import type { HttpRequest } from '../direct/exchange.ts';
import { describeError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import type { GatewayConfig } from './config.ts';
import type { GatewayParts } from './gateway.ts';
import type { GatewayStatus } from './gateway-status.ts';
import { type HttpServer, startHttpServer } from './http/http-server.ts';
import { GatewayStartError } from './setup.ts';
import { startPostgresPart } from './start-postgres.ts';

export interface Servers {
  /** Lets requests finish. */
  close(): Promise<void>;
}

/** Resolves when all of them listen. @throws GatewayStartError when an address cannot be listened on; none listens then. */
export async function openServers(parts: GatewayParts): Promise<Servers> {
  const { setup, observed, control, sql, news } = parts;
  const http = await serve(parts);
  try {
    const postgres = await startPostgresPart(setup, sql, observed, control.nats);
    news.status.postgres = postgres?.reachedAt ?? null;
    return {
      close: async () => {
        await Promise.all([http.close(), postgres?.close()]);
      },
    };
  } catch (error) {
    await http.close();
    throw error;
  }
}

/** @throws GatewayStartError when the address cannot be listened on. */
async function serve(parts: GatewayParts): Promise<HttpServer> {
  const { setup, observed, sql, news } = parts;
  const { config, options, listen, auth, protocolLimits } = setup;
  const started = await startHttpServer({
    service: sql.streams,
    listen,
    auth,
    tls: config.tls ?? null,
    ownHost: config.advertise?.replace(/^[a-z]+:\/\//, '') ?? null,
    origins: config.origins ?? [],
    limits: protocolLimits,
    logger: options.log,
    version: options.version,
    app: adminApp(parts),
    onForeign: foreignAudit(auditLog(options.log)),
    onUpgrade: (request, socket, head) => news.feed.upgrade(request, socket, head),
  });
  if (!started.ok) throw new GatewayStartError(started.message);
  const server = started.value;
  observed.metrics.watchAnswers(() => server.counts());
  news.status.address = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${server.port}`;
  return server;
}

/** What addresses of branches begin with. */
const addressForClients = (
  { tls, advertise }: GatewayConfig,
  { postgres, address }: GatewayStatus,
): string =>
  postgres === null
    ? `${tls === undefined ? 'http' : 'https'}://${advertise ?? address}`
    : postgresBase(postgres);

function adminApp({ setup, observed, control, news }: GatewayParts): ReturnType<typeof adminRoutes> {
  const { config, options, auth, limits } = setup;
  return adminRoutes({
    auth,
    secret: config.secret,
    cluster: config.cluster,
    version: options.version,
    region: config.region,
    base: () => addressForClients(config, news.status),
    view: news.view,
    agents: new AgentLink(control.nats, config.cluster, limits.agentAnswerMs),
    drills: config.supervisor === undefined ? null : drillLink(config.supervisor),
    registry: observed.process.registry,
    audit: auditLog(options.log),
    ready: () => news.status.readiness(),
    readiness: () => news.status.takeover(),
    live: news.live,
  }).route('/', consoleRoutes(news.page));
}

/** Writes down admin acts that a foreign page may have asked for. */
function foreignAudit(audit: (act: AdminAct) => void): (request: HttpRequest, error: SqlError) => void {
  return ({ method = '', url = '' }, { code }) => {
    const path = url.split('?')[0] ?? '';
    if (method === 'GET' || !path.startsWith('/v1/')) return;
    const status = describeError(code).httpStatus;
    audit({ who: null, what: `${method} ${path}`, target: {}, status, code, id: null, traceId: null });
  };
}
