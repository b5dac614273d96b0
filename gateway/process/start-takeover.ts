/** The part of a gateway that looks after the writer of its region, and takes its place. */
import { Takeover } from '../reign/takeover.ts';
import { gatewaySubject } from '../session/writer-watch.ts';
import type { ControlPart } from './open-control.ts';
import type { GatewaySetup } from './setup.ts';
import type { SqlPart } from './start-sql.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import type { VolumePart } from './start-volume.ts';

/** Takes no part in anything before it is started. */
export function makeTakeover(
  { config, options, me }: GatewaySetup,
  { nats }: ControlPart,
  { metrics }: TelemetryPart,
  { nodes, role }: VolumePart,
  { forward }: SqlPart,
): Takeover {
  const { cluster, region } = config;
  const takeover = new Takeover({
    region,
    me,
    role,
    nodes,
    ask: (writer, waitMs) => forward.ping(gatewaySubject(cluster, region, writer), waitMs),
    isConnected: () => nats.connected,
    metrics,
    log: options.log,
  });
  role.watch(() => takeover.roleChanged());
  return takeover;
}
