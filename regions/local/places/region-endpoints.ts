/** Where clients and people connect to a local deployment. */
import { mainBranch } from '../../../storage/core.ts';
import { postgresUrl } from '../../postgres/core/postgres-url.ts';
import { gatewayNamesIn } from '../layout/core/gateway-places.ts';
import {
  type Deployment,
  hasEndpoint,
  host,
  isHeadless,
  isPostgres,
  portsIn,
  schemeOf,
} from '../layout/local-layout.ts';

/** Where clients and people connect. */
export type RegionEndpoints = {
  readonly region: string;
  /** Where its gateways are; none in a headless region. */
  readonly gateways: readonly {
    readonly name: string;
    readonly url: string;
    /** Where PostgreSQL clients connect; left out where SQLite keeps the databases. */
    readonly postgres?: string;
  }[];
  /** Where its first gateway is, or would be. */
  readonly gateway: string;
  /** It has no gateway. */
  readonly headless: boolean;
  /** Where clients connect for the gateway that writes, wherever it is, and for those of this region; null with one gateway. */
  readonly writer: string | null;
  readonly reader: string | null;
  /** The same two for PostgreSQL clients; left out where there are none. */
  readonly postgres?: { readonly writer: string; readonly reader: string };
  readonly agent: string;
  readonly nats: string;
};

/** Nobody has to log in on this machine: any name is let in. */
const postgresAt = (deployment: Deployment, port: number): string =>
  postgresUrl({
    host,
    port,
    database: mainBranch,
    user: null,
    password: null,
    isEncrypted: deployment.secure === true,
  });

export function endpointsOf(deployment: Deployment): readonly RegionEndpoints[] {
  return deployment.regions.map((region) => {
    const ports = portsIn(deployment, region);
    const url = (port: number): string => `${schemeOf(deployment)}://${host}:${port}`;
    const balanced = hasEndpoint(deployment, region);
    return {
      region,
      headless: isHeadless(deployment, region),
      gateways: gatewayNamesIn(deployment, region).map((name, nth) => ({
        name,
        url: url(ports.gateways[nth] ?? 0),
        ...(isPostgres(deployment) && { postgres: postgresAt(deployment, ports.postgres[nth] ?? 0) }),
      })),
      gateway: url(ports.gateways[0] ?? 0),
      writer: balanced ? url(ports.writer) : null,
      reader: balanced ? url(ports.reader) : null,
      ...(balanced &&
        isPostgres(deployment) && {
          postgres: {
            writer: postgresAt(deployment, ports.postgresWriter),
            reader: postgresAt(deployment, ports.postgresReader),
          },
        }),
      agent: url(ports.agent),
      nats: deployment.nats?.servers[0] ?? `nats://${host}:${ports.nats}`,
    };
  });
}
