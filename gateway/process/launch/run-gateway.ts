/** A gateway as a process: from its arguments to its end. */
import { writeSync } from 'node:fs';
import { gatewayStopMs } from '../../../regions/core.ts';
import { gatewayPart } from '../../../regions/index.ts';
import {
  type ConfigProblem,
  compileSooner,
  keepCompiledCode,
  loadProcessConfig,
  returnMemoryAtRest,
} from '../../../storage/index.ts';
import { sextantVersion } from '../../../telemetry/core.ts';
import { createLogger, type Logger, serviceName } from '../../../telemetry/index.ts';
import type { ThreadAhead } from '../../engine/engine-thread.ts';
import { checkedConfigSchema } from '../check-files.ts';
import { type GatewayConfig, gatewayConfigSchema } from '../config.ts';
import { GatewayStartError, startGateway } from '../gateway.ts';

/** What the process was told. With `check` there may be several files and names, in pairs. */
export interface GatewayArguments {
  readonly files: readonly string[];
  readonly names: readonly string[];
  readonly check: boolean;
}

/** Not at once: compiling would delay a start, and with it the next write after a writer died. */
const compileSoonerAfterMs = 2_000;

function giveUp(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** `--check`: only says what is wrong with configurations, as JSON, for `sextant config check`. */
function tell(files: readonly string[], names: readonly string[]): never {
  const found = files.flatMap((file, at): readonly ConfigProblem[] => {
    const loaded = loadProcessConfig(file, checkedConfigSchema, gatewayPart(names[at]));
    return loaded.kind === 'ok' ? [] : loaded.found;
  });
  writeSync(process.stdout.fd, JSON.stringify(found));
  process.exit(0);
}

function configFrom({ files, names, check }: GatewayArguments): GatewayConfig {
  const [file] = files;
  if (file === undefined) return giveUp('usage: sextant gateway --config FILE [--name NAME]');
  if (check) return tell(files, names);
  if (files.length > 1 || names.length > 1) return giveUp('a gateway has one --config and one --name');
  const loaded = loadProcessConfig(file, gatewayConfigSchema, gatewayPart(names[0]));
  return loaded.kind === 'ok' ? loaded.value : giveUp(loaded.message);
}

/** What nobody handled is a bug: it is logged once, and the supervisor starts the process again. */
function exitOnBugs(log: Logger): (error: unknown) => void {
  let ending = false;
  const exit = (error: unknown): void => {
    if (ending) return;
    ending = true;
    log.fatal({ err: error }, 'an error nobody handled, the process ends');
    process.exit(1);
  };
  process.on('uncaughtException', exit);
  process.on('unhandledRejection', exit);
  return exit;
}

/** Runs until it is told to end. @param ahead a thread for its first engine, where one was begun already */
export async function runGateway(given: GatewayArguments, ahead: ThreadAhead | null): Promise<void> {
  const config = configFrom(given);
  const log = createLogger({
    service: serviceName(config.region),
    region: config.region,
    component: `gateway/${config.gateway}`,
  });
  const fatal = exitOnBugs(log);
  try {
    const gateway = await startGateway(config, { log, version: sextantVersion, onFatal: fatal, ahead });
    const stop = (): void => {
      // What is left by then holds nobody up any more: the lease was given back.
      setTimeout(() => process.exit(0), gatewayStopMs(config.limits?.shutdownMs));
      void gateway.close().then(() => process.exit(0), fatal);
    };
    process.once('SIGTERM', stop);
    process.once('SIGINT', stop);
    keepCompiledCode();
    returnMemoryAtRest();
    setTimeout(compileSooner, compileSoonerAfterMs).unref();
  } catch (error) {
    if (!(error instanceof GatewayStartError)) throw error;
    log.fatal({ reason: error.message }, 'the gateway cannot start');
    giveUp(error.message);
  }
}
