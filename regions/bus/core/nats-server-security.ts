/** What nats-server is configured with so that processes are known by their certificates, and may say what their role does (R50, R51). */
import { regionId } from '../../../storage/core.ts';
import { answersOf, natsRoles, natsUser, permissionsOf } from './nats-permissions.ts';

export interface NatsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Blocks of a server's configuration: at its top level, and inside `cluster`. */
export interface NatsServerSecurity {
  readonly tls: object;
  readonly authorization: object;
  readonly clusterTls: object;
}

/** Seconds that a handshake may take, also between continents. */
const handshakeSeconds = 5;

/** @param regions every region of the deployment: processes of others are strangers. */
export function natsServerSecurity(
  cluster: string,
  regions: readonly string[],
  { caFile, certFile, keyFile }: NatsFiles,
): NatsServerSecurity {
  const tls = { ca_file: caFile, cert_file: certFile, key_file: keyFile, timeout: handshakeSeconds };
  const all = regions.map(regionId);
  const users = all.flatMap((region) =>
    natsRoles.map((role) => {
      const process = { cluster, region, role };
      const { publish, subscribe } = permissionsOf(process);
      return {
        user: natsUser(process),
        permissions: { publish: [...publish, ...answersOf(cluster, role, all)], subscribe },
      };
    }),
  );
  return {
    // The subject of a client's certificate is its user; without one there is no user, and no password would do instead.
    tls: { ...tls, verify_and_map: true },
    authorization: { users, timeout: handshakeSeconds },
    clusterTls: { ...tls, verify: true },
  };
}
