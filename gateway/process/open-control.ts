/** The part of a gateway that talks to the rest of the deployment: NATS, and the control record in it. */
import {
  type NatsConnection,
  natsSecurity,
  openControlStore,
  openNatsConnection,
} from '../../regions/index.ts';
import type { GatewaySetup } from './setup.ts';

export interface ControlPart {
  readonly nats: NatsConnection;
  readonly store: ReturnType<typeof openControlStore>;
}

export function openControlPart({ config, options, credentials }: GatewaySetup): ControlPart {
  const { cluster, region, gateway } = config;
  const { servers, token, replicas } = config.nats;
  const nats = openNatsConnection({
    servers,
    ...(token !== undefined && { token }),
    ...natsSecurity(credentials, { cluster, region, role: 'gateway' }),
    name: `gateway-${region}-${gateway}`,
    onStatus: (status) => {
      if (status.kind === 'unanswerable')
        options.log.warn(status, 'passed over a NATS message that names no subject for its answer');
      else options.log.info({ status }, 'NATS');
    },
  });
  return { nats, store: openControlStore({ connection: nats, cluster, replicas: replicas ?? null }) };
}
