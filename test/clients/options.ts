/** The command line of the smoke tests. */
import { parseArgs } from 'node:util';
import { clients, type SmokeClient } from './catalogue.ts';

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

const names = clients.map((client) => client.name);
const defaults = { basePort: 28_000, programS: 90, installS: 1_200 } as const;

export const usage = `npm run test:clients -- [options]

Tries real clients, each in the version its folder pins, against the primary and a secondary region.

  --only LIST        ${names.join(', ')}
  --json             print the outcome as JSON
  --keep             leave the deployment running
  --base-port N      of the deployment (default ${defaults.basePort})
  --cache DIR        where clients are installed (default: in the system's temporary directory)
  --timeout S        for one program against one gateway (default ${defaults.programS})
  --install-timeout S  for installing one client (default ${defaults.installS}; Rust compiles)

SEXTANT_PRIMARY and SEXTANT_SECONDARY (http://host:port of two gateways) are used instead of a deployment of its own; every
table there whose name begins with smoke_ is dropped. A client whose toolchain is missing is skipped, and named. The exit code
is 1 when a client failed, 2 when nothing could be tried.
`;

/** The origin of a gateway, or null for what is none. */
function originOf(text: string): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== '/') return null;
  return url.origin;
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    options: {
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
  const wanted = values.only?.split(',').map((name) => name.trim()) ?? names;
  const unknown = wanted.filter((name) => !names.includes(name));
  if (unknown.length > 0) return invalid(`--only: ${unknown.join(', ')} is none of ${names.join(', ')}`);
  const basePort = Number(values['base-port']);
  if (!Number.isInteger(basePort) || basePort < 1_024 || basePort > 65_000)
    return invalid('--base-port is a whole number from 1024 to 65000');
  const programMs = Number(values.timeout) * 1_000;
  const installMs = Number(values['install-timeout']) * 1_000;
  if (!(programMs > 0) || !(installMs > 0))
    return invalid('--timeout and --install-timeout are numbers above 0');
  const { SEXTANT_PRIMARY: primary, SEXTANT_SECONDARY: secondary } = env;
  let gateways: SmokeOptions['gateways'] = null;
  if (primary !== undefined || secondary !== undefined) {
    const origins = { primary: originOf(primary ?? ''), secondary: originOf(secondary ?? '') };
    if (origins.primary === null || origins.secondary === null)
      return invalid('SEXTANT_PRIMARY and SEXTANT_SECONDARY are set together, each to http://host:port');
    gateways = { primary: origins.primary, secondary: origins.secondary };
  }
  const options: SmokeOptions = {
    clients: clients.filter(({ name }) => wanted.includes(name)),
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
