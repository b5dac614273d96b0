/** One gateway, composed of its parts. */
import { gatewayStop } from '../../regions/core.ts';
import type { GatewayReport } from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import type { Takeover } from '../reign/takeover.ts';
import type { GatewayConfig } from './config.ts';
import { type ControlPart, openControlPart } from './open-control.ts';
import { openServers, type Servers } from './open-servers.ts';
import { checkSetup, type GatewayOptions, type GatewaySetup } from './setup.ts';
import { Beside } from './start-branches.ts';
import { type NewsPart, startNewsPart } from './start-news.ts';
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
  const servers = await listen(parts);
  const { status } = parts.news;
  options.log.info({ address: status.address, gateway: config.gateway }, 'the gateway listens');
  let closed: Promise<void> | null = null;
  return {
    address: status.address,
    report: () => status.report(),
    close: () => {
      closed ??= shutDown(parts, servers);
      return closed;
    },
  };
}

/** @throws GatewayStartError when an address cannot be listened on; everything is released then. */
async function listen(parts: GatewayParts): Promise<Servers> {
  try {
    return await openServers(parts);
  } catch (error) {
    await release(parts);
    throw error;
  }
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

/**
 * Requests under way are answered first, own clients' and then those of other gateways; then the lease is given back. Each step has its
 * time (`gatewayStop`): whoever stops gateways waits for the sum of them.
 */
async function shutDown(parts: GatewayParts, servers: Servers): Promise<void> {
  const { log } = parts.setup.options;
  log.info('the gateway stops');
  parts.news.live.close();
  const untilMs = monotonicMs() + parts.setup.protocolLimits.shutdownMs;
  await servers.close();
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
