/** Starts the endpoints of a region: `node regions/endpoint/main.ts --config FILE`, which is its own file or its region's. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  type Credentials,
  IdentityError,
  keepCompiledCode,
  loadProcessConfig,
  openCredentials,
  watchCredentials,
} from '../../storage/index.ts';
import { createLogger, createProcessMetrics, serviceName } from '../../telemetry/index.ts';
import { trustAuthority } from '../certs/trust-authority.ts';
import { endpointConfigSchema, endpointPart } from '../deploy/endpoint-config.ts';
import { Endpoint, EndpointStartError } from './endpoint.ts';
import { serveEndpointHttp } from './endpoint-http.ts';
import { endpointObserver } from './endpoint-metrics.ts';

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
const { writer, reader, postgres, listen, identity } = config;
if (identity !== undefined) trust(identity.caFile);
const { registry } = createProcessMetrics({ region: config.region, process: 'endpoint' });
const observer = endpointObserver(registry, postgres === undefined ? ['http'] : ['http', 'postgres']);
const endpoint = await Endpoint.start(config, log, observer).catch((error: unknown) =>
  error instanceof EndpointStartError ? fail(error.message) : crash(error),
);
observer.watch(() => endpoint);
if (listen !== undefined) await watchAt(listen);
log.info({ writer, reader, postgres, listen }, 'the endpoints listen');
keepCompiledCode();

for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => void endpoint.close().then(() => process.exit(0), crash));

/** Tells how it is at its own address. */
async function watchAt(address: string): Promise<void> {
  const credentials = credentialsOf();
  if (credentials !== undefined) watchCredentials(registry, credentials);
  const gateways = () => endpoint.gateways;
  await serveEndpointHttp(address, { registry, gateways, credentials, log }).catch(
    (error: NodeJS.ErrnoException) =>
      fail(
        error.code === 'EADDRINUSE'
          ? `${address} is in use by another process: stop it, or change endpoint.address`
          : `cannot listen on ${address} (endpoint.address): ${error.message}`,
      ),
  );
}

function credentialsOf(): Credentials | undefined {
  try {
    return openCredentials(
      identity,
      { cluster: config.cluster, region: config.region, role: 'endpoint' },
      log,
    );
  } catch (error) {
    if (error instanceof IdentityError) fail(error.message);
    throw error;
  }
}

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
