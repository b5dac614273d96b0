/** The part of a gateway that talks to the rest of the deployment: NATS, the control record in it, and what was heard of others. */
import {
  ClusterView,
  type NatsConnection,
  natsSecurity,
  openControlStore,
  openNatsConnection,
} from '../../regions/index.ts';
import type { GatewaySetup } from './setup.ts';

export interface ControlPart {
  readonly nats: NatsConnection;
  readonly store: ReturnType<typeof openControlStore>;
  /** The deployment as it was last heard of; `start-news.ts` keeps it up to date. */
  readonly view: ClusterView;
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
  const store = openControlStore({ connection: nats, cluster, replicas: replicas ?? null });
  return { nats, store, view: new ClusterView(cluster, config.regions) };
}
