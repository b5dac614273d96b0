/** The part of a gateway that runs statements: its databases, client streams, and forwarding to and for other gateways. */
import { machine, quorumLimits } from '../../storage/index.ts';
import type { Databases } from '../database/databases.ts';
import { ForwardClient } from '../forward/forward-client.ts';
import type { Database } from '../session/database.ts';
import { ForwardServer } from '../session/forward-server.ts';
import { seesAll } from '../session/global-point.ts';
import { GatewaySqlService } from '../session/sql-service.ts';
import {
  gatewaySubject,
  peerName,
  peerSubject,
  WriterWatch,
  type WriterWatchOptions,
} from '../session/writer-watch.ts';
import { wrongEngine } from '../sql/engine-kind.ts';
import type { SqlService } from '../sql/sql.ts';
import { PastReads } from '../travel/past-reads.ts';
import { TravelService } from '../travel/travel-service.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import { startBranches } from './start-branches.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import type { VolumePart } from './start-volume.ts';

export interface SqlPart {
  /** Who takes writes of main. */
  readonly watch: WriterWatch;
  readonly databases: Databases;
  readonly service: GatewaySqlService;
  /** What libSQL clients' streams are opened by: those of `service`, which can read the past as well. */
  readonly streams: SqlService;
  readonly past: PastReads;
  readonly forward: ForwardClient;
  readonly forwardServer: ForwardServer;
}

export function startSqlPart(
  setup: GatewaySetup,
  control: ControlPart,
  observed: TelemetryPart,
  storage: VolumePart,
): SqlPart {
  const { config, options, limits, me } = setup;
  const { cluster, region } = config;
  const { nats } = control;
  const { role, volume } = storage;
  const watchWriter = writerWatches(setup, storage);
  const watch = watchWriter({
    phase: () => role.phase,
    isOpen: () => volume.reign !== null,
    want: () => databases.main.wantWriter(),
  });
  role.watch(() => watch.changed());
  const databases = startBranches(setup, control, observed, storage, watch, watchWriter);
  const forward = new ForwardClient({
    nats,
    me: peerName(region, me),
    limits,
    standingOf: (writer) => watch.standingOf(writer),
    runtime: machine,
  });
  const forwardServer = new ForwardServer({
    nats,
    subject: gatewaySubject(cluster, region, me),
    subjectOf: (peer) => peerSubject(cluster, peer),
    log: options.log,
    databases,
    limits,
  });
  role.watch(() => forward.writerChanged());
  const { metrics } = observed;
  const readDefault = options.readDefault ?? 'session';
  const services = { forward, metrics, limits, readDefault, readOnly: false, bookmark: null };
  const service = new GatewaySqlService(databases, services);
  const past = new PastReads({ region: storage.nodes, reserve: storage.reserve, limits, log: options.log });
  const hasAll = (database: Database) => seesAll({ database, forward, limits });
  const streams =
    config.engine === 'postgres'
      ? { openSession: () => ({ ok: false, error: wrongEngine('postgres') }) as const }
      : new TravelService(service, { past, metrics, hasAll });
  return { watch, databases, service, streams, past, forward, forwardServer };
}

/** What the watches of all databases have in common: there is one lease. */
function writerWatches(
  setup: GatewaySetup,
  { role, nodes }: VolumePart,
): (about: Pick<WriterWatchOptions, 'phase' | 'isOpen' | 'want'>) => WriterWatch {
  const { cluster, region } = setup.config;
  return (about) =>
    new WriterWatch({
      ...about,
      cluster,
      region,
      me: setup.me,
      limits: setup.limits,
      record: () => role.record,
      recordAgeMs: () => role.recordAgeMs,
      isSuspended: () => role.suspendedMs !== null,
      quorumLost: () => nodes.writableNodes < quorumLimits.writeQuorum,
    });
}
