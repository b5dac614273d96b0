/**
 * Every name an operator can see in a trace: span names, attribute keys and the few values that are ours to choose.
 * Metric names lie in `metric-definitions.ts`. Standard OpenTelemetry names are used wherever one exists (semantic
 * conventions 1.45); the strings are copied, so that no process loads the OpenTelemetry packages only for them.
 * Renaming anything here breaks saved searches and dashboards: treat these strings as a public interface.
 */

import type { ServiceName } from './facts.ts';

/** Names that never vary. Names with a bounded variable part have a function below. */
export const spanNames = {
  /** One client write from the engine's commit to the volume being durable at its LSN. Parent: the server span. */
  commit: 'commit',
  /** A commit that is durable in its region and waits for another one, as the policy asks. Parent: `commit`. */
  rpoWait: 'rpo.wait',
  /** A gateway that is not the writer sending a statement to the one that is, however often (T11). Parent: the server span. */
  forward: 'forward',
  /** A read waiting until this region has caught up with the session or with the primary. */
  readWait: 'read.wait',
  /** Finding the durable end of the log and opening a writer on it. Parent: the move that asked for it, if one did. */
  recovery: 'recovery',
  /** A managed move without loss, from the request to its end. */
  switchover: 'switchover',
  /** A move away from a lost region, from the decision to its end. */
  failover: 'failover',
  /** A region lists what a failover left behind there. Linked: the failover. */
  losses: 'losses',
  /** One write that is no longer part of history, at the moment of its commit. Parent: its `commit`. Linked: the failover. */
  lost: 'lost',
  /** A region or a storage node is filled from nothing. */
  bootstrap: 'bootstrap',
  /** A storage node fetches what it lacks from its peers, until it is level. */
  repair: 'repair',
  /** One rehearsed fault under a verified workload. */
  drill: 'drill',
  /** A server span whose statement begins with no known SQL verb. */
  sqlExecute: 'sql.execute',
} as const;

/** Name of the span whose duration is the replication lag of one write. At most 30 names for six regions. */
export function replicateSpanName(fromRegion: string, toRegion: string) {
  return `replicate ${fromRegion}→${toRegion}` as const;
}

/**
 * Name of the span that tells each second how far one region lags, and whose duration is that lag (T8). Its service is
 * `lagServiceName`, so that one page of Jaeger's Monitor shows all pairs. At most 30 names for six regions.
 */
export function lagSpanName(fromRegion: string, toRegion: string) {
  return `${fromRegion}→${toRegion}` as const;
}

/** Name of the span of one storage node, such as `append n3`. At most six names for a region, which has six nodes. */
export function appendSpanName(node: string) {
  return `append ${node}` as const;
}

/** Name of one phase of a drill, such as `drill recovery`; there are eight. Parent: `drill`. */
export function drillPhaseSpanName(phase: string) {
  return `${spanNames.drill} ${phase}` as const;
}

/** Name of one phase of a move, such as `failover promoting`; there are eight. Parent: the move. */
export function movePhaseSpanName(kind: 'switchover' | 'failover', phase: string) {
  return `${spanNames[kind]} ${phase}` as const;
}

/** Name of one phase of a recovery, such as `recovery surveying`; there are five. Parent: `recovery`. */
export function recoveryPhaseSpanName(phase: string) {
  return `${spanNames.recovery} ${phase}` as const;
}

const sqlVerbs = [
  ...([
    'ALTER',
    'ANALYZE',
    'ATTACH',
    'BATCH',
    'BEGIN',
    'COMMIT',
    'CREATE',
    'DELETE',
    'DETACH',
    'DROP',
  ] as const),
  ...([
    'END',
    'EXPLAIN',
    'INSERT',
    'PRAGMA',
    'REINDEX',
    'RELEASE',
    'REPLACE',
    'ROLLBACK',
    'SAVEPOINT',
  ] as const),
  ...(['SELECT', 'UPDATE', 'VACUUM', 'VALUES', 'WITH'] as const),
  // Of PostgreSQL alone.
  ...(['CALL', 'CLOSE', 'COMMENT', 'COPY', 'DECLARE', 'DO', 'FETCH', 'GRANT', 'LOCK', 'MERGE'] as const),
  ...(['REFRESH', 'RESET', 'REVOKE', 'SET', 'SHOW', 'TRUNCATE'] as const),
] as const;
type SqlVerb = (typeof sqlVerbs)[number];
const verbs: ReadonlyMap<string, SqlVerb> = new Map(sqlVerbs.map((verb) => [verb, verb]));

/**
 * Name of a gateway's server span: the SQL verb (`INSERT`), or `sql.execute` when `operation` is not one. What clients
 * send never becomes a span name unchecked, so the list of operations in Jaeger stays short.
 */
export function serverSpanName(operation: string | null): SqlVerb | typeof spanNames.sqlExecute {
  return verbs.get(operation?.toUpperCase() ?? '') ?? spanNames.sqlExecute;
}

/** What a span may be called: nothing else gets into Jaeger's list of operations (T10). */
export type SpanName =
  | (typeof spanNames)[keyof typeof spanNames]
  | ReturnType<
      | typeof replicateSpanName
      | typeof appendSpanName
      | typeof lagSpanName
      | typeof drillPhaseSpanName
      | typeof movePhaseSpanName
      | typeof recoveryPhaseSpanName
      | typeof serverSpanName
    >;

/** Attribute keys, grouped by who defined them. */
export const attributes = {
  /** Byte position in the redo stream just past the write's commit record. */
  lsn: 'sextant.lsn',
  /** The reign the write belongs to. */
  epoch: 'sextant.epoch',
  /** Storage node that persisted the write, such as `n3`. */
  node: 'sextant.node',
  /** True on the one `append` whose acknowledgement made the write quorum. Absent on the others. */
  quorum: 'sextant.quorum',
  /** Volume durable LSN when the fact was recorded. */
  vdl: 'sextant.vdl',
  /** Bytes of redo the write made. */
  redoBytes: 'sextant.redo_bytes',
  /** Secondary's clock minus the primary's, milliseconds, as last estimated. Not yet subtracted from any duration. */
  clockSkewMs: 'sextant.clock_skew_ms',
  /** Region the write came from and region that applied it. */
  sourceRegion: 'sextant.source.region',
  targetRegion: 'sextant.target.region',
  /** What the target of a heartbeat lacks; left out while it is unknown. */
  lagBytes: 'sextant.lag_bytes',
  /** Commits that the target lacks: so many, or at least so many. */
  lagCommits: 'sextant.lag_commits',
  /** `eventual`, `session` or `global`. */
  consistency: 'sextant.consistency',
  /** Branch of the history tree, such as `main`. */
  branch: 'sextant.branch',
  /** Kind of process: `gateway`, `agent`, `storage` or `drill`. A resource attribute. */
  role: 'sextant.role',
  /** How often a forwarded statement was sent until a writer took it, or nobody did. */
  attempts: 'sextant.attempts',
  /** Identifier of a move or a drill in `/v1/operations` and `/v1/drills`. */
  operationId: 'sextant.operation.id',
  /** Acknowledged writes that a forced failover, or the fault of a drill, gave up. */
  lostWrites: 'sextant.lost_writes',
  /** Those of them in whose traces a `lost` span was put. */
  lostWritesMarked: 'sextant.lost_writes_marked',
  /** Redo that a failover's target had heard of and did not have. */
  atRiskBytes: 'sextant.at_risk_bytes',
  /** Redo that a repair or bootstrap brought. */
  filledBytes: 'sextant.filled_bytes',
  /** What was rehearsed, such as `region-loss`. */
  drillKind: 'sextant.drill.kind',
  /** True when every objective and every check held. */
  drillPassed: 'sextant.drill.passed',
  /** Where the fault was. */
  drillRegion: 'sextant.drill.region',
  /** Measured recovery time, milliseconds; -1 when writes did not come back. */
  drillRtoMs: 'sextant.drill.rto_ms',
  /** Longest time without an acknowledged write, milliseconds. */
  drillStallMs: 'sextant.drill.write_stall_ms',

  dbSystemName: 'db.system.name',
  dbNamespace: 'db.namespace',
  dbOperationName: 'db.operation.name',
  dbQueryText: 'db.query.text',
  dbOperationBatchSize: 'db.operation.batch.size',
  dbResponseStatusCode: 'db.response.status_code',
  errorType: 'error.type',

  cloudRegion: 'cloud.region',
  cloudAvailabilityZone: 'cloud.availability_zone',

  messagingSystem: 'messaging.system',

  hostName: 'host.name',
  serviceName: 'service.name',
  serviceNamespace: 'service.namespace',
  serviceInstanceId: 'service.instance.id',
} as const;

/** What a span may say (T10). */
export type AttributeKey = (typeof attributes)[keyof typeof attributes];

/** Values of `db.system.name`, as OpenTelemetry names the systems. */
export const dbSystems = ['sqlite', 'postgresql'] as const;
export type DbSystem = (typeof dbSystems)[number];

/** Attribute values that are the same wherever they appear. */
export const attributeValues = {
  messagingSystemNats: 'nats',
  serviceNamespace: 'sextant',
} as const;

/** The service of the spans that are the lag of regions, whichever agent tells it. */
export const lagServiceName = 'sextant-lag';

/** Jaeger's service list, Monitor tab and dependency graph separate regions by this name. */
export function serviceName(region: string): ServiceName {
  return `sextant-${region}`;
}

/** HTTP header that carries a trace context into a gateway (W3C Trace Context). */
export const traceparentHeader = 'traceparent';
