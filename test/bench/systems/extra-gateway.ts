/** One more gateway in the first region of a deployment, beside the one that the deployment runs itself. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gatewayConfigSchema } from '../../../gateway/process/config.ts';
import { gatewayPart } from '../../../regions/index.ts';
import { loadProcessConfig } from '../../../storage/index.ts';
import { freePorts } from '../../free-ports.ts';
import type { Target } from '../load/plan.ts';
import type { RunningProcess, Workbench } from '../workbench.ts';
import { gatewayFile, type RunningSextant } from './sextant.ts';

export interface ExtraGateway {
  readonly process: RunningProcess;
  target(protocol: 'hrana-ws' | 'hrana-http'): Target;
}

let started = 0;

/** Starts it, and does not wait until it serves. @param limits `limits` of its configuration. @throws Error when the region's file cannot be read */
export async function startGateway(
  bench: Workbench,
  system: RunningSextant,
  limits: Readonly<Record<string, number>> = {},
): Promise<ExtraGateway> {
  const [port = 0] = await freePorts(1);
  const region = system.regions[0] ?? '';
  const own = join(system.dataDir, region, 'region.yaml');
  const loaded = loadProcessConfig(own, gatewayConfigSchema, gatewayPart(undefined), {});
  if (loaded.kind === 'invalid') throw new Error(loaded.message);
  started += 1;
  const name = `gateway-${started}`;
  const file = join(bench.directory, `${name}.json`);
  const config = { ...loaded.value, gateway: `bench-${started}`, listen: `127.0.0.1:${port}`, limits };
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return {
    process: bench.start({ name, command: process.execPath, args: [gatewayFile, '--config', file] }),
    target: (protocol) => ({ protocol, host: '127.0.0.1', port }),
  };
}
