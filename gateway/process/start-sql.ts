/** The part of a gateway that runs statements: client streams, and forwarding to and for other gateways. */
import { quorumLimits } from '../../storage/index.ts';
import { ForwardClient } from '../session/forward-client.ts';
import { ForwardServer } from '../session/forward-server.ts';
import { GatewaySqlService } from '../session/sql-service.ts';
import { gatewaySubject, peerName, peerSubject, WriterWatch } from '../session/writer-watch.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import type { VolumePart } from './start-volume.ts';

export interface SqlPart {
  readonly watch: WriterWatch;
  readonly service: GatewaySqlService;
  readonly forward: ForwardClient;
  readonly forwardServer: ForwardServer;
}

export function startSqlPart(
  setup: GatewaySetup,
  { nats }: ControlPart,
  { tracer, metrics }: TelemetryPart,
  storage: VolumePart,
): SqlPart {
  const { config, options, limits, me } = setup;
  const { cluster, region } = config;
  const { volume, sessions } = storage;
  const watch = watchWriter(setup, storage);
  const forward = new ForwardClient(
    nats,
    peerName(region, me),
    limits,
    (writer) => !watch.isReplaced(writer),
  );
  const forwardServer = new ForwardServer({
    nats,
    subject: gatewaySubject(cluster, region, me),
    subjectOf: (peer) => peerSubject(cluster, peer),
    log: options.log,
    volume,
    sessions,
    watch,
    tracer,
    limits,
  });
  storage.role.watch(() => {
    watch.changed();
    forward.writerChanged();
  });
  const readDefault = options.readDefault ?? 'session';
  const service = new GatewaySqlService({
    volume,
    sessions,
    watch,
    forward,
    tracer,
    metrics,
    limits,
    readDefault,
    readOnly: false,
    bookmark: null,
  });
  return { watch, service, forward, forwardServer };
}

function watchWriter(setup: GatewaySetup, { role, volume, nodes }: VolumePart): WriterWatch {
  const { cluster, region } = setup.config;
  return new WriterWatch({
    cluster,
    region,
    me: setup.me,
    limits: setup.limits,
    record: () => role.record,
    recordAgeMs: () => role.recordAgeMs,
    phase: () => role.phase,
    isSuspended: () => role.suspendedMs !== null,
    isOpen: () => volume.reign !== null,
    quorumLost: () => nodes.writableNodes < quorumLimits.writeQuorum,
  });
}
