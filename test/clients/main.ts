/** `npm run test:clients`: real clients against the primary and a secondary region. See README.md. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stepsOf } from './catalogue.ts';
import { endAll, run } from './command.ts';
import { type Installed, install, missingOf, versionsOf } from './install.ts';
import { LocalRegions } from './local-regions.ts';
import { parseOptions, type SmokeOptions, usage } from './options.ts';
import type { SmokeClient, Toolchain, Transport } from './smoke-client.ts';
import { sweep } from './sweep.ts';
import { sweepPostgres } from './sweep-postgres.ts';
import { anyFailed, asText, judge, type Outcome, type Verdict } from './verdict.ts';

interface Gateways {
  readonly primary: string;
  readonly secondary: string;
}

/** Progress: the outcome alone goes to stdout. */
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const failedAt = (step: string, why: string): Verdict => ({ kind: 'failed', failures: [{ step, why }] });

async function tryGateway(
  client: SmokeClient,
  transport: Transport,
  gateway: string,
  installed: Extract<Installed, { kind: 'ready' }>,
  programMs: number,
): Promise<Verdict> {
  try {
    await (client.engine === 'sqlite' ? sweep(gateway) : sweepPostgres(gateway));
  } catch (error) {
    return failedAt('sweep', error instanceof Error ? error.message : String(error));
  }
  const url = transport === 'ws' ? gateway.replace(/^http/, 'ws') : gateway;
  const { program, cwd, env } = installed;
  const ended = await run(program, { cwd, env: { ...env, SMOKE_URL: url }, limitMs: programMs });
  return judge(stepsOf(client, transport), ended.stdout, ended);
}

async function tryClient(
  client: SmokeClient,
  gateways: Gateways,
  missing: string | null,
  options: SmokeOptions,
): Promise<readonly Outcome[]> {
  const versions = versionsOf(client);
  const same = (verdict: Verdict): readonly Outcome[] =>
    client.transports.map((transport) => ({
      client: client.name,
      versions,
      transport,
      primary: verdict,
      secondary: verdict,
    }));
  if (missing !== null) return same({ kind: 'skipped', why: missing });
  say(`${client.name}: installing`);
  const installed = await install(
    client,
    options.cache ?? join(tmpdir(), 'sextant-clients'),
    options.installMs,
  );
  if (installed.kind === 'failed') return same(failedAt('install', installed.why));
  const outcomes: Outcome[] = [];
  for (const transport of client.transports) {
    say(`${client.name}: ${transport}`);
    const through = (gateway: string) => tryGateway(client, transport, gateway, installed, options.programMs);
    const primary = await through(gateways.primary);
    const secondary = await through(gateways.secondary);
    outcomes.push({ client: client.name, versions, transport, primary, secondary });
  }
  return outcomes;
}

async function tryAll(
  clients: readonly SmokeClient[],
  options: SmokeOptions,
  gateways: Gateways,
): Promise<readonly Outcome[]> {
  const missing = new Map<Toolchain, string | null>();
  const outcomes: Outcome[] = [];
  for (const client of clients) {
    const { toolchain } = client;
    if (!missing.has(toolchain)) missing.set(toolchain, await missingOf(toolchain));
    outcomes.push(...(await tryClient(client, gateways, missing.get(toolchain) ?? null, options)));
  }
  return outcomes;
}

/** What runs now, for the handler of a signal. */
let running: LocalRegions | null = null;

/** A deployment for each engine that a client needs, one after the other. */
async function tryOnOwn(options: SmokeOptions): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const engine of engines) {
    const clients = options.clients.filter((client) => client.engine === engine);
    if (clients.length === 0) continue;
    const regions = new LocalRegions(engine, options.basePort);
    running = regions;
    try {
      say(`starting two regions of ${engine} from port ${options.basePort}`);
      await regions.start();
      outcomes.push(...(await tryAll(clients, options, regions)));
    } finally {
      if (options.keep) say(`left running; to stop: npx sextant down --data ${regions.dataDir}`);
      else await regions.stop();
      running = null;
    }
  }
  return outcomes;
}

/** Prints what came of it; answers the exit code. */
function report(options: SmokeOptions, outcomes: readonly Outcome[]): number {
  const text = options.json ? JSON.stringify(outcomes, null, 2) : asText(options.clients, outcomes);
  process.stdout.write(`${text}\n`);
  return anyFailed(outcomes) ? 1 : 0;
}

const engines = ['sqlite', 'postgres'] as const;
const signals = [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const;

/** @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  const parsed = parseOptions(argv, process.env);
  if (parsed.kind === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  if (parsed.kind === 'invalid') {
    process.stderr.write(`${parsed.message}\n\n${usage}`);
    return 2;
  }
  const { options } = parsed;
  const { clients, gateways } = options;
  if (gateways !== null) return report(options, await tryAll(clients, options, gateways));
  for (const [signal, code] of signals)
    process.once(signal, () => {
      endAll();
      const stopped = running?.stop() ?? Promise.resolve();
      void stopped.finally(() => process.exit(code));
    });
  return report(options, await tryOnOwn(options));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
