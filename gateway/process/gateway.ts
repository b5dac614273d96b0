/** One gateway, composed of its parts. */
import { gatewayStop } from '../../regions/core.ts';
import { type AdminAct, auditLog, drillLink, type GatewayReport, postgresBase } from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import { adminRoutes } from '../admin/admin.ts';
import { AgentLink } from '../admin/agent-link.ts';
import type { HttpRequest } from '../direct/exchange.ts';
import type { Takeover } from '../reign/takeover.ts';
import { describeError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import type { GatewayConfig } from './config.ts';
import type { GatewayStatus } from './gateway-status.ts';
import { type HttpServer, startHttpServer } from './http-server.ts';
import { type ControlPart, openControlPart } from './open-control.ts';
import { checkSetup, type GatewayOptions, type GatewaySetup, GatewayStartError } from './setup.ts';
import { Beside } from './start-branches.ts';
import { type NewsPart, startNewsPart } from './start-news.ts';
import { type PostgresPart, startPostgresPart } from './start-postgres.ts';
import { type SqlPart, startSqlPart } from './start-sql.ts';
import { makeTakeover } from './start-takeover.ts';
import { startTelemetryPart, type TelemetryPart } from './start-telemetry.ts';
import { startVolumePart, type VolumePart } from './start-volume.ts';

export { type GatewayOptions, GatewayStartError } from './setup.ts';

export interface RunningGateway {
  /** `host:port`, with the port it got. */
  readonly address: string;
  readonly report: () => GatewayReport;
  /** Gives the lease back, lets requests finish, and stops. */
  close(): Promise<void>;
}

export interface GatewayParts {
  readonly setup: GatewaySetup;
  readonly observed: TelemetryPart;
  readonly control: ControlPart;
  readonly storage: VolumePart;
  readonly sql: SqlPart;
  readonly news: NewsPart;
  readonly takeover: Takeover;
}

/** Starts a gateway. It serves as soon as its region can be read. @throws GatewayStartError with what to do about it. */
export async function startGateway(config: GatewayConfig, options: GatewayOptions): Promise<RunningGateway> {
  const parts = await startParts(checkSetup(config, options));
  const server = await serve(parts);
  const postgres = await openPostgres(parts, server);
  const { status } = parts.news;
  options.log.info({ address: status.address, gateway: config.gateway }, 'the gateway listens');
  let closed: Promise<void> | null = null;
  return {
    address: status.address,
    report: () => status.report(),
    close: () => {
      closed ??= shutDown(parts, server, postgres);
      return closed;
    },
  };
}

/**
 * Everything but the listening sockets; whoever starts it without them lets go of it with `release`. Nothing hears of the writer role
 * before all of it is there.
 */
export async function startParts(setup: GatewaySetup): Promise<GatewayParts> {
  const observed = startTelemetryPart(setup);
  const control = openControlPart(setup);
  const beside = new Beside();
  const storage = await startVolumePart(setup, control, observed, beside);
  const sql = startSqlPart(setup, control, observed, storage);
  beside.join(sql.databases);
  const news = startNewsPart(setup, control, observed, storage, sql);
  const takeover = makeTakeover(setup, control, observed, storage, sql);
  const parts = { setup, observed, control, storage, sql, news, takeover };
  measure(parts);
  storage.role.start();
  takeover.start();
  return parts;
}

function measure({ setup, observed, control, storage, sql }: GatewayParts): void {
  const { role, volume, nodes } = storage;
  const { databases } = sql;
  const volumes = () => [volume, ...databases.branches.map((branch) => branch.volume)];
  const ledgers = () => [observed.main.commits, ...databases.branches.map(({ commits }) => commits)];
  observed.process.registry.onScrape(() => databases.tell());
  observed.metrics.watch(
    setup.config.nodes.map(({ node }) => node),
    () => ({
      sessions: sql.service.openSessions,
      vdl: volume.vdl,
      epoch: role.record?.epoch ?? 0,
      mayAcknowledge: role.mayAcknowledge(),
      leaseRemainingMs: role.leaseRemainingMs,
      nodes: new Map(nodes.nodes.map((node) => [node, nodes.isUp(node)])),
      writableNodes: nodes.writableNodes,
      backlogBytes: backlogsOf(volume),
      pageCaches: volumes().flatMap(({ engines }) =>
        engines.map(({ kind, engine }) => ({ engine: kind, of: engine, ...engine.pageCounts })),
      ),
      natsConnected: control.nats.connected,
      controlReadMsAgo: control.store.readMsAgo,
      commitsPending: sumOf(ledgers(), ({ pending }) => pending),
      commitRemainingBytes: sumOf(volumes(), ({ standing }) =>
        standing === null ? 0 : standing.lastLsn - standing.vcl,
      ),
      answersHeld: sumOf(volumes(), ({ standing }) => standing?.hold?.answers ?? 0),
    }),
  );
}

const sumOf = <T>(all: readonly T[], of: (one: T) => number): number =>
  all.reduce((sum, one) => sum + of(one), 0);

function backlogsOf({ standing: reign }: VolumePart['volume']): ReadonlyMap<string, number> {
  const backlogs = new Map<string, number>();
  for (const node of reign?.nodes ?? []) {
    const bytes = reign?.backlogOf(node) ?? null;
    if (bytes !== null) backlogs.set(node, bytes);
  }
  return backlogs;
}

/** @throws GatewayStartError when the address cannot be listened on; everything is released then. */
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
  if (!started.ok) {
    await release(parts);
    throw new GatewayStartError(started.message);
  }
  const server = started.value;
  observed.metrics.watchAnswers(() => server.counts());
  news.status.address = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${server.port}`;
  return server;
}

/** @throws GatewayStartError when its address cannot be listened on; everything is released then. */
async function openPostgres(parts: GatewayParts, server: HttpServer): Promise<PostgresPart | null> {
  try {
    const postgres = await startPostgresPart(parts.setup, parts.sql, parts.observed, parts.control.nats);
    parts.news.status.postgres = postgres?.reachedAt ?? null;
    return postgres;
  } catch (error) {
    await server.close();
    await release(parts);
    throw error;
  }
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
  }).route('/', news.page.routes);
}

/**
 * Requests under way are answered first, own clients' and then those of other gateways; then the lease is given back. Each step has its
 * time (`gatewayStop`): whoever stops gateways waits for the sum of them.
 */
async function shutDown(
  parts: GatewayParts,
  server: HttpServer,
  postgres: PostgresPart | null,
): Promise<void> {
  const { log } = parts.setup.options;
  log.info('the gateway stops');
  parts.news.live.close();
  const untilMs = monotonicMs() + parts.setup.protocolLimits.shutdownMs;
  await Promise.all([server.close(), postgres?.close()]);
  await parts.sql.forwardServer.drain(Math.max(gatewayStop.forwardsMs, untilMs - monotonicMs()));
  await release(parts);
  log.info('the gateway has stopped');
}

/** Gives the lease back and lets go of everything. */
export async function release(parts: GatewayParts): Promise<void> {
  const { setup, observed, control, storage, sql, news } = parts;
  parts.takeover.close();
  await storage.role.shutdown(gatewayStop.leaseMs);
  news.reporter.close();
  news.feed.close();
  sql.forwardServer.close();
  await sql.past.close();
  storage.role.close();
  storage.stopTelling();
  await sql.databases.close();
  control.store.close();
  await storage.volume.close();
  storage.nodes.close();
  observed.main.tracer.close();
  observed.process.stop();
  await control.nats.close();
  setup.credentials?.close();
  await observed.telemetry.shutdown();
  setup.closeKeys();
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
