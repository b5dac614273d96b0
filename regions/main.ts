/** Starts one region's agent: `node regions/main.ts --config FILE`. The file is the agent's own, or its region's. */
import { parseArgs } from 'node:util';
import {
  IdentityError,
  keepCompiledCode,
  loadProcessConfig,
  openCredentials,
  returnMemoryAtRest,
  watchCredentials,
} from '../storage/index.ts';
import { createLogger, createProcessMetrics, serviceName, startTelemetry } from '../telemetry/index.ts';
import { Agent, AgentStartError } from './agent/agent.ts';
import { agentRoutes, listenHttp } from './agent/agent-http.ts';
import { watchAgent } from './agent/agent-metrics.ts';
import { auditLog } from './api/audit.ts';
import { agentConfigSchema } from './deploy/agent-config.ts';
import { agentPart } from './deploy/region-file.ts';

const { values } = parseArgs({ options: { config: { type: 'string' } } });
if (values.config === undefined) fail('usage: sextant agent --config FILE');
const loaded = loadProcessConfig(values.config, agentConfigSchema, agentPart);
if (loaded.kind === 'invalid') fail(loaded.message);
const config = loaded.value;

const log = createLogger({ service: serviceName(config.region), region: config.region, component: 'agent' });
const telemetry = startTelemetry({
  serviceName: serviceName(config.region),
  region: config.region,
  instanceId: `${config.region}/agent`,
  role: 'agent',
  log,
});
const metrics = createProcessMetrics({ region: config.region, process: 'agent' }, telemetry);
process.on('uncaughtException', (error) => crash(error));
process.on('unhandledRejection', (error) => crash(error));

const credentials = credentialsOf();
if (credentials !== undefined) watchCredentials(metrics.registry, credentials);
const agent = await Agent.start({ config, log, telemetry, credentials }).catch((error: unknown) =>
  error instanceof AgentStartError ? fail(error.message) : crash(error),
);
watchAgent(metrics.registry, agent);
const listening = await listenHttp(
  agentRoutes(agent, config, metrics.registry, auditLog(log)),
  config.listen,
  credentials === undefined ? undefined : { credentials, log },
);
if (listening.kind === 'failed') fail(listening.message);
log.info({ listen: config.listen }, 'agent listens');
keepCompiledCode();
returnMemoryAtRest();

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    log.info({ signal }, 'agent stops');
    if (listening.kind === 'listening') listening.server.close();
    agent
      .close()
      .then(() => telemetry.shutdown())
      .then(
        () => process.exit(0),
        (error: unknown) => crash(error),
      );
  });
}

function credentialsOf() {
  const { cluster, region, identity } = config;
  try {
    return openCredentials(identity, { cluster, region, role: 'agent' }, log);
  } catch (error) {
    if (error instanceof IdentityError) fail(error.message);
    throw error;
  }
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function crash(error: unknown): never {
  log.fatal({ err: error }, 'a broken invariant stops the agent');
  process.exit(1);
}
