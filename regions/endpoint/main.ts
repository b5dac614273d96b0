/** Starts the endpoints of a region: `node regions/endpoint/main.ts --config FILE`, which is its own file or its region's. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { keepCompiledCode, loadProcessConfig } from '../../storage/index.ts';
import { createLogger, serviceName } from '../../telemetry/index.ts';
import { trustAuthority } from '../certs/trust-authority.ts';
import { endpointConfigSchema, endpointPart } from './config.ts';
import { Endpoint, EndpointStartError } from './endpoint.ts';

const { values } = parseArgs({ options: { config: { type: 'string' } } });
if (values.config === undefined) fail('usage: sextant endpoint --config FILE');
const loaded = loadProcessConfig(values.config, endpointConfigSchema, endpointPart);
if (loaded.kind === 'invalid') fail(loaded.message);
const config = loaded.value;
const log = createLogger({
  service: serviceName(config.region),
  region: config.region,
  component: 'endpoint',
});
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
if (config.caFile !== undefined) trust(config.caFile);
const endpoint = await Endpoint.start(config, log).catch((error: unknown) =>
  error instanceof EndpointStartError ? fail(error.message) : crash(error),
);
const { writer, reader, postgres } = config;
log.info({ writer, reader, postgres }, 'the endpoints listen');
keepCompiledCode();

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void endpoint.close().then(() => process.exit(0), crash));

function trust(file: string): void {
  try {
    trustAuthority(readFileSync(file, 'utf8'));
  } catch (error) {
    fail(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function crash(error: unknown): never {
  log.fatal({ err: error }, 'an error nobody handled, the endpoint ends');
  process.exit(1);
}
