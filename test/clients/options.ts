/** The command line of the smoke tests. */
import { parseArgs } from 'node:util';
import { clients } from './catalogue.ts';
import type { Engine, SmokeClient } from './smoke-client.ts';

export interface SmokeOptions {
  readonly clients: readonly SmokeClient[];
  readonly json: boolean;
  readonly keep: boolean;
  readonly basePort: number;
  /** Null: a folder of the system's temporary directory, which is used again. */
  readonly cache: string | null;
  /** Of one smoke program against one gateway. */
  readonly programMs: number;
  /** Of installing and building one client. */
  readonly installMs: number;
  /** Gateways to use instead of a deployment of one's own. */
  readonly gateways: { readonly primary: string; readonly secondary: string } | null;
}

export type Parsed =
  | { readonly kind: 'run'; readonly options: SmokeOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'invalid'; readonly message: string };

const namesOf = (engine: Engine): readonly string[] =>
  clients.filter((client) => client.engine === engine).map((client) => client.name);
const defaults = { basePort: 28_000, programS: 90, installS: 1_200 } as const;

export const usage = `npm run test:clients -- [options]

Tries real clients, each in the version its folder pins, against the primary and a secondary region.

  --engine E         sqlite or postgres: only the clients of such a deployment
  --only LIST        ${namesOf('sqlite').join(', ')},
                     ${namesOf('postgres').join(', ')}
  --json             print the outcome as JSON
  --keep             leave the deployment running; with clients of one engine only
  --base-port N      of the deployment (default ${defaults.basePort})
  --cache DIR        where clients are installed (default: in the system's temporary directory)
  --timeout S        for one program against one gateway (default ${defaults.programS})
  --install-timeout S  for installing one client (default ${defaults.installS}; Rust compiles)

SEXTANT_PRIMARY and SEXTANT_SECONDARY (two gateways, each http://host:port or, of a PostgreSQL database, postgres://…) are used
instead of a deployment of its own, for the clients of its engine; every table there whose name begins with smoke_ or
pgbench_ is dropped. A client whose toolchain is missing is skipped, and named. The exit code
is 1 when a client failed, 2 when nothing could be tried.
`;

interface Place {
  readonly engine: Engine;
  readonly url: string;
}

/** A gateway, or null for what is none. */
function placeOf(text: string): Place | null {
  const url = URL.parse(text);
  if (url === null) return null;
  if (/^postgres(?:ql)?:$/.test(url.protocol)) return { engine: 'postgres', url: text };
  if (!/^https?:$/.test(url.protocol) || url.pathname !== '/') return null;
  return { engine: 'sqlite', url: url.origin };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
      engine: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      'base-port': { type: 'string', default: String(defaults.basePort) },
      cache: { type: 'string' },
      timeout: { type: 'string', default: String(defaults.programS) },
      'install-timeout': { type: 'string', default: String(defaults.installS) },
      help: { type: 'boolean', default: false, short: 'h' },
    },
  }).values;
}

/** Reads the command line and what of the environment takes part. */
export function parseOptions(argv: readonly string[], env: NodeJS.ProcessEnv): Parsed {
  const invalid = (message: string): Parsed => ({ kind: 'invalid', message });
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    return invalid(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return { kind: 'help' };
  const { engine, only } = values;
  if (engine !== undefined && engine !== 'sqlite' && engine !== 'postgres')
    return invalid(`--engine: ${engine} is neither sqlite nor postgres`);
  const basePort = Number(values['base-port']);
  if (!Number.isInteger(basePort) || basePort < 1_024 || basePort > 65_000)
    return invalid('--base-port is a whole number from 1024 to 65000');
  const programMs = Number(values.timeout) * 1_000;
  const installMs = Number(values['install-timeout']) * 1_000;
  if (!(programMs > 0) || !(installMs > 0))
    return invalid('--timeout and --install-timeout are numbers above 0');
  const { SEXTANT_PRIMARY: primary, SEXTANT_SECONDARY: secondary } = env;
  let gateways: SmokeOptions['gateways'] = null;
  let there: Engine | undefined;
  if (primary !== undefined || secondary !== undefined) {
    const [one, other] = [placeOf(primary ?? ''), placeOf(secondary ?? '')];
    if (one === null || other === null || one.engine !== other.engine)
      return invalid(
        'SEXTANT_PRIMARY and SEXTANT_SECONDARY are set together, both to http://host:port or to postgres://…',
      );
    gateways = { primary: one.url, secondary: other.url };
    there = one.engine;
  }
  const among = clients.filter((client) =>
    [engine, there].every((kind) => kind === undefined || kind === client.engine),
  );
  const names = among.map(({ name }) => name);
  const wanted = only?.split(',').map((name) => name.trim()) ?? names;
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) return invalid(`--only: ${unknown.join(', ')} is none of ${names.join(', ')}`);
  const chosen = among.filter(({ name }) => wanted.includes(name));
  if (values.keep && new Set(chosen.map((client) => client.engine)).size > 1)
    return invalid(
      '--keep leaves one deployment running: choose clients of one engine, with --engine or --only',
    );
  const options: SmokeOptions = {
    clients: chosen,
    json: values.json,
    keep: values.keep,
    basePort,
    cache: values.cache ?? null,
    programMs,
    installMs,
    gateways,
  };
  return { kind: 'run', options };
}
