/** One gateway, composed: volume, role, SQL service, forwarding, admin API, reports and telemetry on one listening socket. */
import { randomBytes } from 'node:crypto';
import {
  ClusterView,
  defaultLeaseLimits,
  describeReading,
  type GatewayReport,
  type LeaseLimits,
  openControlStore,
  openNatsConnection,
} from '../../regions/index.ts';
import { monotonicMs, parseAddress, quorumLimits, RegionClient, wallUs } from '../../storage/index.ts';
import {
  createProcessMetrics,
  type Logger,
  serviceName,
  startTelemetry,
  type Telemetry,
} from '../../telemetry/index.ts';
import { createAuthenticator } from '../access/auth.ts';
import { adminRoutes, upgradeProblem } from '../admin/admin.ts';
import { AgentLink } from '../admin/agent-link.ts';
import { LiveFeed } from '../admin/watch.ts';
import { defaultLimits } from '../hrana/core/protocol-limits.ts';
import { GatewayMetrics } from '../observe/gateway-metrics.ts';
import { RequestTracer } from '../observe/request-tracer.ts';
import { GatewayVolume } from '../reign/gateway-volume.ts';
import { RoleDriver } from '../reign/role-driver.ts';
import {
  defaultServiceLimits,
  type ServiceLimits,
  serviceLimitsProblem,
} from '../session/core/service-limits.ts';
import { ForwardClient } from '../session/forward-client.ts';
import { ForwardServer } from '../session/forward-server.ts';
import { LocalSessions } from '../session/local-session.ts';
import { GatewaySqlService } from '../session/sql-service.ts';
import { gatewaySubject, peerName, peerSubject, WriterWatch } from '../session/writer-watch.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import type { GatewayConfig } from './config.ts';
import { Reporter } from './gateway-report.ts';
import { startHttpServer } from './http-server.ts';

export interface GatewayOptions {
  readonly log: Logger;
  readonly version: string;
  /** The gateway cannot go on: log it and end the process. */
  readonly onFatal: (error: Error) => void;
  readonly telemetry?: Telemetry;
  readonly limits?: Partial<ServiceLimits>;
  readonly leaseLimits?: LeaseLimits;
  /** Consistency of streams that ask for none. Default `session`. */
  readonly readDefault?: ReadPreference;
  /** Durable pages each engine keeps. Default 256 MiB in the one that writes, 64 MiB in each that reads. */
  readonly pageCacheBytes?: number;
  readonly pgBytes?: number;
}

export interface RunningGateway {
  /** `host:port`, with the port it got. */
  readonly address: string;
  readonly report: () => GatewayReport;
  /** Gives the lease back, lets requests finish, and stops. */
  close(): Promise<void>;
}

/** An expected reason why a gateway cannot start, in words for the operator. */
export class GatewayStartError extends Error {}

const defaultPageCacheBytes = 256 * 1024 * 1024;
const defaultReaderCacheBytes = 64 * 1024 * 1024;
const giveBackMs = 3_000;

/** Starts a gateway. It serves as soon as its region can be read. @throws GatewayStartError with what to do about it. */
export async function startGateway(config: GatewayConfig, options: GatewayOptions): Promise<RunningGateway> {
  const { cluster, region, secret, nodes } = config;
  const { log } = options;
  const limits: ServiceLimits = { ...defaultServiceLimits, ...options.limits };
  const problem = serviceLimitsProblem(limits);
  const protocolLimits = { ...defaultLimits, ...config.limits };
  const auth = createAuthenticator({
    jwtPublicKey: config.auth?.jwtPublicKey ?? null,
    limits: protocolLimits,
  });
  const listen = parseAddress(config.listen);
  if (problem !== null) throw new GatewayStartError(problem);
  if (!auth.ok) throw new GatewayStartError(auth.error.message);
  if (listen === undefined) throw new GatewayStartError(`listen: ${config.listen} is not host:port`);

  const me = { gateway: config.gateway, incarnation: randomBytes(8).toString('hex') };
  const instanceId = `${region}/${config.gateway}`;
  const telemetry =
    options.telemetry ??
    startTelemetry({ serviceName: serviceName(region), region, instanceId, role: 'gateway' });
  const processMetrics = createProcessMetrics({ region, process: `gateway/${config.gateway}` }, telemetry);
  const metrics = new GatewayMetrics(processMetrics.registry);
  const nats = openNatsConnection({
    servers: config.nats.servers,
    token: config.nats.token,
    name: `gateway-${region}-${config.gateway}`,
    onStatus: (status) => {
      if (status.kind === 'unanswerable')
        log.warn(status, 'passed over a NATS message that names no subject for its answer');
      else log.info({ status }, 'NATS');
    },
  });
  const store = openControlStore({ connection: nats, cluster, replicas: config.nats.replicas ?? null });
  const client = new RegionClient({ cluster, secret, region, nodes, log });
  const view = new ClusterView(cluster, config.regions);
  const sessions = new LocalSessions();
  const tracer = new RequestTracer({ telemetry, cluster, nodes, limits });
  const pendingCommits: { readonly lsn: number; readonly commitTimeUs: number }[] = [];

  const volume: GatewayVolume = new GatewayVolume({
    region: client,
    log,
    limits,
    pageCacheBytes: options.pageCacheBytes ?? defaultPageCacheBytes,
    readerCacheBytes: options.pageCacheBytes ?? defaultReaderCacheBytes,
    ...(options.pgBytes !== undefined && { pgBytes: options.pgBytes }),
    recordFacts: telemetry.enabled,
    onFatal: options.onFatal,
    onCommit: (commit, reign) => {
      metrics.committed(commit.mtr.byteLength);
      for (const { lsn, commitTimeUs } of commit.commits) pendingCommits.push({ lsn, commitTimeUs });
      tracer.commitsMade(commit, reign.epoch);
    },
    onDurable: (vdl, facts) => {
      const nowUs = wallUs();
      let settled = 0;
      for (
        let next = pendingCommits[0];
        next !== undefined && next.lsn <= vdl;
        next = pendingCommits[settled]
      ) {
        metrics.durable((nowUs - next.commitTimeUs) / 1_000);
        settled += 1;
      }
      if (settled > 0) pendingCommits.splice(0, settled);
      tracer.durableAt(vdl, facts);
    },
    onRegionVdl: (head, vdl) => role?.regionVdl(head, vdl),
  });
  let role: RoleDriver | null = null;
  await volume.start();

  const watch = new WriterWatch({
    cluster,
    region,
    me,
    limits,
    record: () => role?.record ?? null,
    recordAgeMs: () => role?.recordAgeMs ?? 0,
    phase: () => role?.phase ?? 'reading',
    isOpen: () => volume.reign !== null,
    quorumLost: () => client.upNodes.length < quorumLimits.writeQuorum,
  });
  const address = { text: config.listen };
  const report = (): GatewayReport => ({
    v: 1,
    region,
    gateway: config.gateway,
    address: address.text,
    pid: process.pid,
    phase: role?.phase === 'writing' && volume.reign === null ? 'recovering' : (role?.phase ?? 'reading'),
    epoch: role?.epoch ?? null,
    ready: readiness().ready,
    vdl: volume.vdl,
  });
  const readiness = () => {
    const reasons: string[] = [];
    const record = role?.record ?? null;
    if (!volume.isAttached)
      reasons.push('no point to read at: fewer than three storage nodes of this region answer');
    const problem = role?.recordProblem ?? null;
    // A secondary reads on without a record; its primary cannot write on.
    const needed = record === null || (record.primary === region && problem?.kind !== 'unavailable');
    if (problem !== null && needed) reasons.push(describeReading(problem, volume.head).reason);
    else if (record === null) reasons.push('the control record has not been read yet');
    else if (record.primary === region && watch.place() !== 'here' && watch.remote() === null)
      reasons.push('this region is primary and has no writer');
    const { engineDoubtMs } = limits;
    const silentMs = Math.round(volume.writer.silentMs);
    if (silentMs > engineDoubtMs)
      reasons.push(
        `the thread that writes has given no sign of life for ${silentMs} ms: a statement keeps it that cannot be interrupted`,
      );
    const waitedMs = Math.round(volume.readers.waitedMs());
    if (waitedMs > engineDoubtMs)
      reasons.push(`no reading thread has been free for ${waitedMs} ms: all are busy with slow statements`);
    const stall = view.stallReason(region, monotonicMs()) ?? volume.stallReason();
    if (stall !== null) reasons.push(stall);
    return {
      ready: reasons.length === 0,
      reasons,
      region,
      gateway: config.gateway,
      phase: role?.phase ?? 'reading',
      epoch: volume.head,
      vdl: volume.vdl,
    };
  };
  const feed = new LiveFeed({
    limits,
    status: () => JSON.stringify(view.status(monotonicMs())),
    problem: (request) => upgradeProblem(request, auth.value, secret),
  });
  const reporter = new Reporter({ nats, cluster, region, view, report, onHeard: () => feed.changed() });

  role = new RoleDriver({
    region,
    me,
    leaseLimits: options.leaseLimits ?? defaultLeaseLimits,
    tickMs: limits.roleTickMs,
    store,
    nodes: client,
    volume,
    sessions,
    metrics,
    log,
    onChange: () => {
      const record = role?.record ?? null;
      if (record !== null) view.saw(record);
      watch.changed();
      reporter.publish();
      feed.changed();
    },
    onReignEnded: () => {
      metrics.unknown(pendingCommits.length);
      pendingCommits.length = 0;
      tracer.reignEnded();
    },
  });
  const roleDriver = role;

  const forward = new ForwardClient(nats, peerName(region, me), limits);
  const forwardServer = new ForwardServer({
    nats,
    subject: gatewaySubject(cluster, region, me),
    subjectOf: (peer) => peerSubject(cluster, peer),
    log,
    volume,
    sessions,
    watch,
    tracer,
    limits,
  });
  const service = new GatewaySqlService({
    volume,
    sessions,
    watch,
    forward,
    tracer,
    metrics,
    limits,
    readDefault: options.readDefault ?? 'session',
  });
  metrics.watch(() => ({
    sessions: service.openSessions,
    vdl: volume.vdl,
    epoch: roleDriver.record?.epoch ?? 0,
    isPrimary: roleDriver.record?.primary === region,
    leaseRemainingMs: roleDriver.leaseRemainingMs,
    quorumNodes: client.upNodes.length,
    commitsPending: pendingCommits.length,
  }));

  const release = async (): Promise<void> => {
    await roleDriver.shutdown(giveBackMs);
    reporter.close();
    feed.close();
    forwardServer.close();
    roleDriver.close();
    store.close();
    await volume.close();
    client.close();
    tracer.close();
    processMetrics.stop();
    await nats.close();
    await telemetry.shutdown();
  };
  const server = await startHttpServer({
    service,
    listen,
    auth: auth.value,
    limits: protocolLimits,
    logger: log,
    version: options.version,
    app: adminRoutes({
      auth: auth.value,
      secret,
      version: options.version,
      regions: config.regions,
      view,
      agents: new AgentLink(nats, cluster, limits.agentAnswerMs),
      registry: processMetrics.registry,
      ready: readiness,
    }),
    onUpgrade: (request, socket, head) => feed.upgrade(request, socket, head),
  });
  if (!server.ok) {
    await release();
    throw new GatewayStartError(server.message);
  }
  metrics.watchAnswers(() => server.value.counts());
  address.text = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${server.value.port}`;
  log.info({ address: address.text, gateway: config.gateway }, 'the gateway listens');

  let closed: Promise<void> | null = null;
  const shutDown = async (): Promise<void> => {
    log.info('the gateway stops');
    // Requests under way are answered while the lease is given back: those that committed wait for nobody else.
    const drained = server.value.close();
    await drained;
    await release();
    log.info('the gateway has stopped');
  };
  return {
    address: address.text,
    report,
    close: () => {
      closed ??= shutDown();
      return closed;
    },
  };
}
