/**
 * One storage node as a process: its data, its links and a little HTTP.
 *
 * The port is taken first and the data directory locked next, so that a second process of the same node stops before it
 * touches the data; links are let in once the log has been read. A kill at any moment is fine: what was acknowledged is flushed, and a start takes stock.
 */
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import {
  createLogger,
  createProcessMetrics,
  type Logger,
  metrics as metricNames,
  serviceName,
} from '../../telemetry/index.ts';
import {
  type Credentials,
  IdentityError,
  openCredentials,
  watchCredentials,
} from '../identity/credentials.ts';
import { createSecureServer, refusalOf } from '../identity/secure-server.ts';
import { type Disk, nodeDisk } from '../log/disk.ts';
import { parseAddress, type StorageConfig } from '../process/config.ts';
import { type DirectoryLock, heldMessage, lockDirectory } from '../process/directory-lock.ts';
import { machine } from '../process/runtime.ts';
import type { LinkRefusalCode } from '../wire/link-protocol.ts';
import { LinkServer } from '../wire/link-server.ts';
import type { StorageNode } from './core/node.ts';
import { StartError } from './node-data.ts';
import { answerHttp, type NodeHttp } from './node-http.ts';
import { watchNode } from './node-metrics.ts';
import { type NodeParts, type NodePlace, openParts } from './node-parts.ts';
import type { NodeRuntime } from './node-runtime.ts';
import { PeerRepair } from './repair.ts';
import { serveLink } from './serve-link.ts';
import { SetAsideWatch, setAside, setAsideDir } from './set-aside.ts';
import { SpaceWatch } from './space-watch.ts';

/** Refusals whose reason quotes nothing that a stranger sent but its identity and its version. */
const tellable: ReadonlySet<LinkRefusalCode> = new Set(['IDENTITY_REFUSED', 'LINK_VERSION_MISMATCH']);

export { StartError } from './node-data.ts';

export interface StorageNodeOptions {
  readonly disk?: Disk;
  readonly logger?: Logger;
  /**
   * Runs once when the disk can no longer be trusted: the process should end, and its supervisor start it again.
   * Default: the process exits with code 1.
   */
  readonly onFatal?: (message: string) => void;
}

export interface RunningNode {
  /** Where it listens, with the port it got. */
  readonly address: string;
  /** Its state machine, to look at. */
  readonly node: StorageNode;
  /** Ends links, saves a hint of what is durable and closes the log. */
  close(): Promise<void>;
}

/** Starts a storage node. @throws StartError with a message for the operator. */
export async function startStorageNode(
  config: StorageConfig,
  options: StorageNodeOptions = {},
): Promise<RunningNode> {
  const { region } = config;
  const logger =
    options.logger ??
    createLogger({ service: serviceName(region), region, component: `storage/${config.node}` });
  const onFatal = oneFatal(logger, options.onFatal);
  const metrics = createProcessMetrics({ region, process: `storage/${config.node}`, zone: config.az });
  const credentials = credentialsOf(config, logger);
  if (credentials !== undefined) watchCredentials(metrics.registry, credentials);
  let http: NodeHttp = { kind: 'starting', registry: metrics.registry };
  const server = serverFor(credentials, logger, (request, response) => answerHttp(http, request, response));
  const address = await listen(server, config.listen);
  let lock: DirectoryLock | undefined;
  try {
    lock = await lockData(config);
    const asides = metrics.registry.counter(metricNames.storageSetAside).with({});
    const flushes = metrics.registry.histogram(metricNames.storageSyncDuration).with({});
    const disk = options.disk ?? nodeDisk;
    const place: NodePlace = {
      config,
      disk,
      runtime: machine,
      repair: new PeerRepair(config, credentials === undefined ? {} : { credentials }),
      logger,
      pid: process.pid,
      onFatal,
      onFlushed: (tookMs) => flushes.observe(tookMs / 1_000),
    };
    const parts = await openParts(place).catch((error: unknown) => openWithout(error, place, asides));
    removeOldImages(config);
    const { node, runtime, startedAtMs, log } = parts;
    const links = new LinkServer({
      server,
      cluster: config.cluster,
      secret: config.secret,
      ...(credentials !== undefined && {
        identityRefusal: (stream) => refusalOf(credentials, 'link', stream),
      }),
      onLink: (link) => serveLink(runtime, link, logger),
      onRefused: ({ code, message }, peer) =>
        logger.warn({ peer, code, ...(tellable.has(code) && { reason: message }) }, 'a link was refused'),
    });
    const space = new SpaceWatch(config.dataDir);
    const aside = new SetAsideWatch(config.dataDir, node, () =>
      logger.info('the node is complete again: the data that was set aside is removed'),
    );
    watchNode(metrics.registry, parts, space);
    http = { kind: 'ready', registry: metrics.registry, node, health: parts.health };
    const { files, sealed, frames, damagedBytes } = parts.recovery;
    logger.info(
      {
        address,
        files,
        sealed,
        frames,
        damagedBytes,
        logBytes: log.bytes,
        startMs: Date.now() - startedAtMs,
      },
      'the storage node is ready',
    );
    const close = async (): Promise<void> => {
      space.close();
      aside.close();
      await closeAll(server, links, runtime, metrics.stop, logger);
      credentials?.close();
      lock?.release();
    };
    return { address, node, close };
  } catch (error) {
    credentials?.close();
    lock?.release();
    server.closeAllConnections();
    server.close();
    metrics.stop();
    throw error;
  }
}

/** S43: opens a node anew whose data cannot be believed. @throws what was thrown, where that is not why, or where it has happened before. */
async function openWithout(error: unknown, place: NodePlace, asides: { add(): void }): Promise<NodeParts> {
  const { config, logger } = place;
  if (!(error instanceof StartError && error.wantsWipe) || !setAside(config.dataDir)) throw error;
  asides.add();
  logger.error(
    { reason: error.message, setAside: setAsideDir(config.dataDir) },
    'the data of this node cannot be believed and is set aside; the node begins empty and is refilled by its peers',
  );
  return openParts({ ...place, isSetAside: true });
}

/** Page images used to be databases, one a group, that a start emptied: what an older version left is of no use. */
function removeOldImages({ dataDir }: StorageConfig): void {
  const images = join(dataDir, 'images');
  for (const name of readdirSync(images))
    if (/^pg-\d+$/.test(name)) rmSync(join(images, name), { recursive: true, force: true });
}

/** @throws StartError when the certificate cannot be used. */
function credentialsOf(config: StorageConfig, log: Logger): Credentials | undefined {
  const { identity, cluster, region, node } = config;
  try {
    return openCredentials(identity, { cluster, region, role: 'storage', name: node }, log);
  } catch (error) {
    throw error instanceof IdentityError ? new StartError(error.message) : error;
  }
}

function serverFor(
  credentials: Credentials | undefined,
  logger: Logger,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  if (credentials === undefined) return createServer(onRequest);
  return createSecureServer({
    credentials,
    doorOf: () => 'watch',
    onRequest,
    onRefused: (refused) => logger.warn(refused, 'a caller was turned away'),
  });
}

/** @throws StartError naming the directory and the process that has it. */
async function lockData({ dataDir, node }: StorageConfig): Promise<DirectoryLock> {
  const outcome = await lockDirectory(dataDir, `storage node ${node}`);
  if (outcome.kind === 'locked') return outcome.lock;
  if (outcome.kind === 'failed')
    throw new StartError(`dataDir ${dataDir} cannot be locked: ${outcome.reason}`);
  throw new StartError(`dataDir ${heldMessage(dataDir, outcome.holder)}`);
}

function oneFatal(logger: Logger, given: ((message: string) => void) | undefined): (message: string) => void {
  let fatal = false;
  return (message) => {
    if (fatal) return;
    fatal = true;
    logger.fatal({ reason: message }, 'the disk cannot be trusted any more, the process ends');
    if (given === undefined) process.exit(1);
    else given(message);
  };
}

/** @throws StartError naming the port and the key when it is taken. */
async function listen(server: Server, wanted: string): Promise<string> {
  const target = parseAddress(wanted);
  if (target === undefined) throw new StartError(`listen: ${wanted} is not host:port`);
  const { host, port } = target;
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EADDRINUSE') {
      throw new StartError(
        `port ${port} is taken by another process; stop it, or change the key listen (${wanted})`,
      );
    }
    throw new StartError(
      `cannot listen on ${wanted} (key listen): ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const bound = server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return host.includes(':') ? `[${host}]:${boundPort}` : `${host}:${boundPort}`;
}

async function closeAll(
  server: Server,
  links: LinkServer,
  runtime: NodeRuntime,
  stopMetrics: () => void,
  logger: Logger,
): Promise<void> {
  stopMetrics();
  server.close();
  await links.close();
  await runtime.close();
  server.closeAllConnections();
  logger.info('the storage node has stopped');
}
