/**
 * A storage node as a process of its own: `node storage/main.ts --config FILE [--node NAME]`. The file is the node's own, or its
 * region's, in which it has that name.
 */
import { parseArgs } from 'node:util';
import { createLogger, type Logger, serviceName } from '../telemetry/index.ts';
import { type Disk, nodeDisk } from './log/disk.ts';
import { slowableDisk, slowDiskOrder } from './log/slow-disk.ts';
import { StartError, startStorageNode } from './node/node-process.ts';
import { compileSooner, keepCompiledCode } from './process/compilation.ts';
import { type StorageConfig, storageConfigSchema } from './process/config.ts';
import { loadProcessConfig } from './process/config-file.ts';
import { returnMemoryAtRest } from './process/rest-memory.ts';
import { storagePart } from './region/region-file.ts';

function configFromArguments(): StorageConfig {
  const options = { config: { type: 'string' }, node: { type: 'string' } } as const;
  const { values } = parseArgs({ options, strict: true });
  if (values.config === undefined) return giveUp('usage: sextant storage --config FILE [--node NAME]');
  const loaded = loadProcessConfig(values.config, storageConfigSchema, storagePart(values.node));
  return loaded.kind === 'ok' ? loaded.value : giveUp(loaded.message);
}

function giveUp(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** What nobody handled is a bug: it is logged once and the supervisor starts the process again. */
function exitOnBugs(logger: Logger): void {
  const exit = (error: unknown): void => {
    logger.fatal({ err: error }, 'an error nobody handled, the process ends');
    process.exit(1);
  };
  process.once('uncaughtException', exit);
  process.once('unhandledRejection', exit);
}

/** A supervisor that started this process may rehearse a slow disk, over a channel that only it has. Without one nothing can. */
function faultsOfDrills(logger: Logger): { readonly disk?: Disk } {
  const channel = process.channel;
  if (channel === undefined || channel === null) return {};
  const { disk, slow } = slowableDisk(nodeDisk);
  const toDelay = (delayMs: number): void => {
    slow(delayMs);
    logger.warn(
      { delayMs },
      delayMs > 0 ? 'a drill slows every flush down' : 'flushes are as fast as the disk',
    );
  };
  process.on('message', (message) => {
    const delayMs = slowDiskOrder(message);
    if (delayMs !== null) toDelay(delayMs);
  });
  // Nobody is left who could end it.
  process.once('disconnect', () => toDelay(0));
  channel.unref();
  return { disk };
}

compileSooner();
const config = configFromArguments();
const logger = createLogger({
  service: serviceName(config.region),
  region: config.region,
  component: `storage/${config.node}`,
});
exitOnBugs(logger);
try {
  const starting = startStorageNode(config, { logger, ...faultsOfDrills(logger) });
  // A signal during the start waits for it: the log is being read and perhaps mended.
  const stop = (): void => void starting.then((node) => node.close()).then(() => process.exit(0));
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  await starting;
  keepCompiledCode();
  returnMemoryAtRest();
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  logger.fatal({ reason: error.message }, 'the storage node cannot start');
  giveUp(error.message);
}
