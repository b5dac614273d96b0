/** The part of a gateway that holds the data: the region's nodes, the engines on main, and the writer role. */
import { decodeAck, defaultLeaseLimits, subjectsOf } from '../../regions/index.ts';
import { defaultGeometry, type Membership, machine, nodesOf, RegionClient } from '../../storage/index.ts';
import { defaultEngineLimits, type EngineLimits } from '../engine/core/engine-limits.ts';
import { EngineReserve } from '../engine/engine-reserve.ts';
import { loadQuick } from '../engine/quick/load-quick.ts';
import { QuickReader } from '../engine/quick/quick-reader.ts';
import type { MakeQuickReads } from '../engine/quick-reads.ts';
import { tellLargeCommits } from '../reign/commit-progress.ts';
import type { Proof } from '../reign/core/elsewhere.ts';
import { type Line, mainLine } from '../reign/follower.ts';
import { GatewayVolume } from '../reign/gateway-volume.ts';
import { RecoveryTrace } from '../reign/recovery-trace.ts';
import { RoleDriver } from '../reign/role-driver.ts';
import type { DatabaseLimits } from '../session/core/service-limits.ts';
import { LocalSessions } from '../session/local-session.ts';
import type { EngineKind } from '../sql/engine-kind.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { Beside } from './start-branches.ts';
import type { DatabaseTelemetry, TelemetryPart } from './start-telemetry.ts';

const defaultPageCacheBytes = 256 * 1024 * 1024;
/** With PostgreSQL one thread reads, whatever the load; with SQLite there may be several. */
const defaultReaderCacheBytes: Readonly<Record<EngineKind, number>> = {
  sqlite: 64 * 1024 * 1024,
  postgres: 128 * 1024 * 1024,
};

export interface VolumePart {
  readonly nodes: RegionClient;
  /** Where every engine of the gateway gets its thread. */
  readonly reserve: EngineReserve;
  readonly volume: GatewayVolume;
  /** Streams of main on this gateway's engines. */
  readonly sessions: LocalSessions;
  /** Takes no part in anything before it is started. */
  readonly role: RoleDriver;
  /** Ends what is said of large commits. */
  readonly stopTelling: () => void;
}

/** Resolves when the engines run that are there from the start; the volume attaches behind the caller's back. @param beside what main shares the lease with. */
export async function startVolumePart(
  setup: GatewaySetup,
  control: ControlPart,
  observed: TelemetryPart,
  beside: Beside,
): Promise<VolumePart> {
  const { config, options, limits, scratchFolder, me, credentials } = setup;
  const { cluster, region, secret } = config;
  const { log } = options;
  const place = credentials === undefined ? {} : { credentials };
  const nodes = new RegionClient({ cluster, secret, region, nodes: config.nodes, log, place });
  tellNodes(nodes, observed.main);
  const sessions = new LocalSessions();
  const reserve = new EngineReserve({
    ...(config.engine !== undefined && { kind: config.engine }),
    limits: engineLimitsOf(limits),
    scratchFolder,
    ahead: options.ahead ?? null,
  });
  const volume = makeVolume(setup, nodes, observed.main, observed, reserve, mainLine);
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
    sessions: {
      get writing() {
        return [...sessions.writing, ...beside.writing];
      },
    },
    settledBeside: (to) => beside.haveArrivedIn(to),
    watchProofs: (onProof) => watchProofs(setup, control, onProof),
    metrics: observed.metrics,
    log,
    trace: (about) => recoveryTrace(setup, observed, observed.main, about),
  });
  return { nodes, reserve, volume, sessions, role, stopTelling: tellLargeCommits(volume, log) };
}

/** What an operator may set of an engine's limits. */
const engineLimitsOf = ({
  statementMs,
  transactionBytes,
  transactionPageBytes,
  scratchBytes,
}: DatabaseLimits) => ({ statementMs, transactionBytes, transactionPageBytes, scratchBytes });

/** Hears what other regions acknowledge of this region's redo, until the function that it answers is called. */
export function watchProofs(
  { config }: GatewaySetup,
  { nats }: ControlPart,
  onProof: (proof: Proof) => void,
): () => void {
  return nats.subscribe(subjectsOf(config.cluster).ack(config.region), ({ data }) => {
    const ack = decodeAck(data);
    if (ack.kind === 'ok') onProof(ack.value);
  });
}

export function recoveryTrace(
  { config }: GatewaySetup,
  { telemetry }: TelemetryPart,
  { namespace }: DatabaseTelemetry,
  about: Pick<ConstructorParameters<typeof RecoveryTrace>[0], 'epoch' | 'operation'>,
): RecoveryTrace {
  return new RecoveryTrace({ ...about, cluster: config.cluster, namespace, telemetry, runtime: machine });
}

/** A commit is told with what each node of the region took. @returns a function that ends it. */
export function tellNodes(nodes: RegionClient, { tracer }: DatabaseTelemetry): () => void {
  const use = (membership: Membership): void => tracer.useNodes(nodesOf(membership));
  use(nodes.membership);
  return nodes.watch({ onNodeUp: () => undefined, onNodeDown: () => undefined, onMembers: use });
}

/** Each engine of a branch caches so much less than main's writer. */
const branchShare = 8;

/** Pages that the main thread keeps for reads that it answers itself. */
const quickCacheBytes = 16 * 1024 * 1024;

function quickReads(limits: DatabaseLimits, pageCacheBytes: number): MakeQuickReads {
  const engineLimits: EngineLimits = { ...defaultEngineLimits, ...engineLimitsOf(limits) };
  return (parts) =>
    new QuickReader({
      ...parts,
      load: () => loadQuick(engineLimits),
      cacheBytes: Math.min(quickCacheBytes, pageCacheBytes),
      earlyRedoBytes: quickCacheBytes,
    });
}

/** @param main of a branch: the volume whose reign its reigns are part of; left out for main itself. */
export function makeVolume(
  { config, options, limits }: GatewaySetup,
  region: RegionClient,
  { commits }: DatabaseTelemetry,
  { telemetry }: TelemetryPart,
  reserve: EngineReserve,
  line: Line,
  main?: GatewayVolume,
): GatewayVolume {
  const share = main === undefined ? 1 : branchShare;
  const pageCacheBytes = Math.floor((options.pageCacheBytes ?? defaultPageCacheBytes) / share);
  return new GatewayVolume({
    region,
    line,
    reserve,
    startsOnDemand: config.engine === 'postgres',
    ...(main !== undefined && { main }),
    log: options.log,
    limits: main === undefined ? limits : { ...limits, readerThreads: limits.branchReaderThreads },
    pageCacheBytes,
    readerCacheBytes: Math.min(
      pageCacheBytes,
      options.pageCacheBytes ?? defaultReaderCacheBytes[config.engine ?? 'sqlite'],
    ),
    quick: main === undefined && config.engine !== 'postgres' ? quickReads(limits, pageCacheBytes) : null,
    recordFacts: telemetry.enabled,
    onFatal: options.onFatal,
    observer: commits,
  });
}
