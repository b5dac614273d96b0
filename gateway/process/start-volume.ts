/** The part of a gateway that holds the data: the region's nodes, the engines on the volume, and the writer role. */
import { decodeAck, defaultLeaseLimits, subjectsOf } from '../../regions/index.ts';
import { defaultGeometry, machine, nodesOf, RegionClient } from '../../storage/index.ts';
import { GatewayVolume } from '../reign/gateway-volume.ts';
import { RecoveryTrace } from '../reign/recovery-trace.ts';
import { RoleDriver } from '../reign/role-driver.ts';
import { LocalSessions } from '../session/local-session.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { TelemetryPart } from './start-telemetry.ts';

const defaultPageCacheBytes = 256 * 1024 * 1024;
const defaultReaderCacheBytes = 64 * 1024 * 1024;

export interface VolumePart {
  readonly nodes: RegionClient;
  readonly volume: GatewayVolume;
  /** Streams on this gateway's engines. */
  readonly sessions: LocalSessions;
  /** Takes no part in anything before it is started. */
  readonly role: RoleDriver;
}

/** Resolves when the engines run; the volume attaches behind the caller's back. */
export async function startVolumePart(
  setup: GatewaySetup,
  control: ControlPart,
  observed: TelemetryPart,
): Promise<VolumePart> {
  const { config, options, limits, me, credentials } = setup;
  const { cluster, region, secret } = config;
  const { log } = options;
  const place = credentials === undefined ? {} : { credentials };
  const nodes = new RegionClient({ cluster, secret, region, nodes: config.nodes, log, place });
  nodes.watch({
    onNodeUp: () => undefined,
    onNodeDown: () => undefined,
    onMembers: (membership) => observed.tracer.useNodes(nodesOf(membership)),
  });
  const sessions = new LocalSessions();
  const volume = makeVolume(setup, nodes, observed);
  await volume.start();
  const role = new RoleDriver({
    region,
    me,
    leaseLimits: defaultLeaseLimits,
    tickMs: limits.roleTickMs,
    answerWaitMs: limits.writeWaitMs,
    store: control.store,
    nodes,
    upNodes: () => nodes.writableNodes,
    volume,
    geometry: { ...defaultGeometry, ...(config.pgBytes !== undefined && { pgBytes: config.pgBytes }) },
    sessions,
    watchProofs: (onProof) =>
      control.nats.subscribe(subjectsOf(cluster).ack(region), ({ data }) => {
        const ack = decodeAck(data);
        if (ack.kind === 'ok') onProof(ack.value);
      }),
    metrics: observed.metrics,
    log,
    trace: (about) =>
      new RecoveryTrace({ ...about, cluster, telemetry: observed.telemetry, runtime: machine }),
  });
  return { nodes, volume, sessions, role };
}

function makeVolume(
  { options, limits }: GatewaySetup,
  region: RegionClient,
  observed: TelemetryPart,
): GatewayVolume {
  return new GatewayVolume({
    region,
    log: options.log,
    limits,
    pageCacheBytes: options.pageCacheBytes ?? defaultPageCacheBytes,
    readerCacheBytes: options.pageCacheBytes ?? defaultReaderCacheBytes,
    recordFacts: observed.telemetry.enabled,
    onFatal: options.onFatal,
    observer: observed.commits,
  });
}
