/** What a gateway is started with, checked before anything is started. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import type { Holder } from '../../regions/index.ts';
import {
  type Credentials,
  IdentityError,
  isOffLoopback,
  openCredentials,
  parseAddress,
} from '../../storage/index.ts';
import type { Logger, Telemetry } from '../../telemetry/index.ts';
import { type Authenticator, createAuthenticator } from '../access/auth.ts';
import { openKeys } from '../access/key-source.ts';
import type { ThreadAhead } from '../engine/engine-thread.ts';
import { defaultLimits, type GatewayLimits } from '../hrana/core/protocol-limits.ts';
import {
  type DatabaseLimits,
  defaultServiceLimits,
  postgresServiceLimits,
  type ServiceLimits,
  serviceLimitsProblem,
} from '../session/core/service-limits.ts';
import type { ReadPreference } from '../sql/stream-state.ts';
import type { GatewayConfig } from './config.ts';

export interface GatewayOptions {
  readonly log: Logger;
  readonly version: string;
  /** The gateway cannot go on: log it and end the process. */
  readonly onFatal: (error: Error) => void;
  readonly telemetry?: Telemetry;
  /** A thread for the first engine, begun before the rest was loaded. */
  readonly ahead?: ThreadAhead | null;
  readonly limits?: Partial<ServiceLimits>;
  /** Consistency of streams that ask for none. Default `session`. */
  readonly readDefault?: ReadPreference;
  /** Durable pages each engine keeps. Default 256 MiB in the one that writes, 64 MiB in each that reads (PostgreSQL: 128). */
  readonly pageCacheBytes?: number;
}

/** An expected reason why a gateway cannot start, in words for the operator. */
export class GatewayStartError extends Error {}

export interface GatewaySetup {
  readonly config: GatewayConfig;
  readonly options: GatewayOptions;
  readonly limits: ServiceLimits;
  readonly protocolLimits: GatewayLimits;
  readonly auth: Authenticator;
  /** What it proves itself with, where the deployment is encrypted. */
  readonly credentials: Credentials | undefined;
  /** Ends the watch over the keys of tokens. */
  readonly closeKeys: () => void;
  readonly listen: { readonly host: string; readonly port: number };
  /** Where engines keep what does not fit memory. */
  readonly scratchFolder: string;
  /** This start of this gateway. */
  readonly me: Holder;
}

/** @throws GatewayStartError with what to do about it. */
export function checkSetup(config: GatewayConfig, options: GatewayOptions): GatewaySetup {
  const asked: Partial<GatewayLimits & DatabaseLimits> = config.limits ?? {};
  const {
    openBranches,
    branchIdleMs,
    readerThreads,
    branchReaderThreads,
    idleMs,
    statementMs,
    transactionBytes,
    transactionPageBytes,
    scratchBytes,
    ...ofProtocol
  } = asked;
  const limits: ServiceLimits = {
    ...defaultServiceLimits,
    ...(config.engine === 'postgres' && postgresServiceLimits),
    ...(openBranches !== undefined && { openBranches }),
    ...(branchIdleMs !== undefined && { branchIdleMs }),
    ...(readerThreads !== undefined && { readerThreads }),
    ...(branchReaderThreads !== undefined && { branchReaderThreads }),
    ...(idleMs !== undefined && { idleMs }),
    ...(statementMs !== undefined && { statementMs }),
    ...(transactionBytes !== undefined && { transactionBytes }),
    ...(transactionPageBytes !== undefined && { transactionPageBytes }),
    ...(scratchBytes !== undefined && { scratchBytes }),
    ...options.limits,
  };
  const problem = serviceLimitsProblem(limits);
  const protocolLimits: GatewayLimits = { ...defaultLimits, ...ofProtocol };
  const listen = parseAddress(config.listen);
  if (problem !== null) throw new GatewayStartError(problem);
  if (listen === undefined) throw new GatewayStartError(`listen: ${config.listen} is not host:port`);
  const { auth, closeKeys } = openAuth(config, protocolLimits, options.log);
  warnOfInsecurity(config, options.log);
  const me = { gateway: config.gateway, incarnation: randomBytes(8).toString('hex') };
  const credentials = credentialsOf(config, options.log);
  const scratchFolder = scratchFolderOf(config);
  return { config, options, limits, protocolLimits, auth, closeKeys, listen, scratchFolder, me, credentials };
}

/** @throws GatewayStartError when it takes no files: a transaction would hear of it first. */
function scratchFolderOf({ temporaryFolder }: GatewayConfig): string {
  const folder = resolve(temporaryFolder ?? tmpdir());
  try {
    if (temporaryFolder !== undefined) mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return folder;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new GatewayStartError(`temporaryFolder: ${folder} takes no files (${why})`);
  }
}

/** @throws GatewayStartError when the certificate cannot be used. */
function credentialsOf(
  { cluster, region, gateway, identity }: GatewayConfig,
  log: Logger,
): Credentials | undefined {
  try {
    return openCredentials(identity, { cluster, region, role: 'gateway', name: gateway }, log);
  } catch (error) {
    throw error instanceof IdentityError ? new GatewayStartError(error.message) : error;
  }
}

/** @throws GatewayStartError naming the key that cannot be used. */
function openAuth(
  { auth }: GatewayConfig,
  limits: GatewayLimits,
  log: Logger,
): Pick<GatewaySetup, 'auth' | 'closeKeys'> {
  if (auth === undefined) return { auth: createAuthenticator({ keys: null }), closeKeys: () => undefined };
  const keys = openKeys(auth, log);
  if (keys.kind === 'unusable') throw new GatewayStartError(keys.reason);
  const { audience = null, issuer = null, expiry, clockToleranceMs } = auth;
  const rules = { audience, issuer, expiry };
  return {
    auth: createAuthenticator({ keys: keys.ring, rules, clockToleranceMs, limits }),
    closeKeys: keys.close,
  };
}

/** What was left out on purpose is said at each start. */
function warnOfInsecurity({ listen, insecure = [], auth, tls }: GatewayConfig, log: Logger): void {
  if (!isOffLoopback(listen)) return;
  const missing = [...(auth === undefined ? ['auth'] : []), ...(tls === undefined ? ['tls'] : [])];
  if (missing.length > 0)
    log.warn(
      { listen, insecure, missing },
      'other machines reach this gateway, and it is not secured against them',
    );
}
