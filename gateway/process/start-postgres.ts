/** The part of a gateway that PostgreSQL clients connect to, where PostgreSQL keeps the databases. */
import { type NatsConnection, subjectsOf } from '../../regions/index.ts';
import { monotonicMs, parseAddress } from '../../storage/index.ts';
import type { PostgresFigures } from '../observe/postgres-metrics.ts';
import { CancelAllowance, decodeCancel, encodeCancel } from '../postgres/core/cancel-message.ts';
import {
  type PostgresCounts,
  type PostgresServer,
  type PostgresServerOptions,
  startPostgresServer,
} from '../postgres/postgres-server.ts';
import { postgresVersion } from '../sql/engine-kind.ts';
import type { GatewayConfig } from './config.ts';
import { type GatewaySetup, GatewayStartError } from './setup.ts';
import type { SqlPart } from './start-sql.ts';
import type { TelemetryPart } from './start-telemetry.ts';

export interface PostgresPart extends Pick<PostgresServer, 'close'> {
  /** Where others reach it. */
  readonly reachedAt: string;
}

/** Requests to cancel that are passed on to other gateways. */
const cancelsPerSecond = 50;

/** What drivers are told: they look at the first word, and know by it what the server understands. */
const serverVersion = (version: string): string => `${postgresVersion} (Sextant ${version})`;

/** Everybody is let in only where the whole gateway is open: one that asks libSQL clients for tokens asks these for passwords. */
const usersOf = ({ postgres, auth }: GatewayConfig): PostgresServerOptions['users'] =>
  postgres?.users ?? (auth === undefined ? null : []);

/** Each connection counted once. */
function figuresOf({
  connections,
  clients,
  running,
  inTransaction,
  ...totals
}: PostgresCounts): PostgresFigures {
  return {
    login: Math.max(0, connections - clients),
    idle: clients - running - inTransaction,
    active: running,
    idleInTransaction: inTransaction,
    loginsOk: totals.logins.ok,
    loginsRefused: totals.logins.refused,
    cancelsMet: totals.cancels.met,
    cancelsMissed: totals.cancels.missed,
  };
}

/** Resolves when it listens; null where SQLite keeps the databases. @throws GatewayStartError saying what is in the way. */
export async function startPostgresPart(
  { config, options, protocolLimits }: GatewaySetup,
  { service }: SqlPart,
  { postgres: metrics }: TelemetryPart,
  nats: Pick<NatsConnection, 'publish' | 'subscribe'>,
): Promise<PostgresPart | null> {
  const { postgres, tls } = config;
  if (postgres === undefined) return null;
  const listen = parseAddress(postgres.listen);
  if (listen === undefined)
    throw new GatewayStartError(`postgres.listen: ${postgres.listen} is not host:port`);
  const subjects = subjectsOf(config.cluster);
  const passedOn = new CancelAllowance(cancelsPerSecond);
  try {
    const server = await startPostgresServer({
      service,
      listen,
      tls: tls ?? null,
      users: usersOf(config),
      limits: { shutdownMs: protocolLimits.shutdownMs },
      log: options.log,
      version: serverVersion(options.version),
      passOn: (key) => {
        if (passedOn.take(monotonicMs())) nats.publish(subjects.cancel(config.region), encodeCancel(key));
      },
    });
    // Its own come back too: nobody here knows them, and they go no further.
    const unsubscribe = nats.subscribe(subjects.allCancels, ({ data }) => {
      const key = decodeCancel(data);
      if (key !== null) server.cancel(key);
    });
    metrics?.watch(() => figuresOf(server.counts()));
    const { address, port } = server.address;
    const reachedAt = postgres.advertise ?? `${address.includes(':') ? `[${address}]` : address}:${port}`;
    options.log.info({ address: reachedAt }, 'PostgreSQL clients are taken');
    return {
      reachedAt,
      close: () => {
        unsubscribe();
        return server.close();
      },
    };
  } catch (error) {
    throw new GatewayStartError(`postgres: ${error instanceof Error ? error.message : String(error)}`);
  }
}
