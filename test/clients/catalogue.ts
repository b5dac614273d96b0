/** The clients that are tried, and the steps their smoke programs go through. */

/** In the order in which programs take them. */
const steps = [
  'connect',
  'schema',
  'insert',
  'read',
  'last-id',
  'changes',
  'commit',
  'rollback',
  'batch',
  'cascade',
  'unique',
  'read-only',
  'describe',
  'infinity',
  'own-writes',
  'push',
] as const;
export type Step = (typeof steps)[number];

/** What only some clients can show. */
const extraSteps = ['read-only', 'describe', 'infinity', 'push'] as const;
type ExtraStep = (typeof extraSteps)[number];
type CommonStep = Exclude<Step, ExtraStep>;

export type Transport = 'http' | 'ws';
export type Toolchain = 'npm' | 'python' | 'go' | 'rust' | 'java';

/** A step that a client has no way to take, and why. */
export interface Without {
  readonly steps: readonly CommonStep[];
  /** Absent: over every transport. */
  readonly transport?: Transport;
  readonly why: string;
}

export interface SmokeClient {
  /** Of its folder, and of `--only`. */
  readonly name: string;
  readonly toolchain: Toolchain;
  /** What the manifest pins and the table shows; the first is the client itself. */
  readonly packages: readonly string[];
  readonly transports: readonly Transport[];
  readonly extra: readonly ExtraStep[];
  readonly without: readonly Without[];
}

const both: readonly Transport[] = ['http', 'ws'];

export const clients: readonly SmokeClient[] = [
  {
    name: 'libsql-client',
    toolchain: 'npm',
    packages: ['@libsql/client'],
    transports: both,
    extra: ['read-only', 'infinity'],
    without: [],
  },
  {
    name: 'hrana-client',
    toolchain: 'npm',
    packages: ['@libsql/hrana-client'],
    transports: both,
    extra: ['describe', 'infinity'],
    without: [],
  },
  {
    name: 'drizzle',
    toolchain: 'npm',
    packages: ['drizzle-orm', 'drizzle-kit', '@libsql/client'],
    transports: both,
    extra: ['push'],
    without: [],
  },
  {
    name: 'kysely',
    toolchain: 'npm',
    packages: ['kysely', '@libsql/kysely-libsql', '@libsql/client'],
    transports: both,
    extra: [],
    without: [{ steps: ['batch'], why: 'Kysely has no batches' }],
  },
  {
    name: 'prisma',
    toolchain: 'npm',
    packages: ['@prisma/client', '@prisma/adapter-libsql'],
    transports: both,
    extra: [],
    without: [],
  },
  {
    name: 'knex',
    toolchain: 'npm',
    packages: ['knex', '@libsql/knex-libsql', '@libsql/sqlite3'],
    transports: both,
    extra: [],
    without: [{ steps: ['batch'], why: 'knex has no batches but transactions' }],
  },
  {
    name: 'typeorm',
    toolchain: 'npm',
    packages: ['typeorm', 'libsql'],
    transports: ['http'],
    extra: [],
    without: [{ steps: ['batch'], why: 'TypeORM has no batches but transactions' }],
  },
  {
    name: 'turso-serverless',
    toolchain: 'npm',
    packages: ['@tursodatabase/serverless'],
    transports: ['http'],
    extra: ['describe', 'infinity'],
    without: [],
  },
  {
    name: 'python-libsql',
    toolchain: 'python',
    packages: ['libsql'],
    transports: ['http'],
    extra: ['infinity'],
    without: [],
  },
  {
    name: 'python-libsql-client',
    toolchain: 'python',
    packages: ['libsql-client'],
    transports: both,
    extra: ['infinity'],
    without: [
      { steps: ['commit', 'rollback'], transport: 'http', why: 'its HTTP transport has no transactions' },
    ],
  },
  {
    name: 'go-libsql-client',
    toolchain: 'go',
    packages: ['github.com/tursodatabase/libsql-client-go'],
    transports: both,
    extra: ['infinity'],
    without: [
      { steps: ['batch'], transport: 'ws', why: 'its WebSocket transport sends one statement a call' },
    ],
  },
  {
    name: 'rust-libsql',
    toolchain: 'rust',
    packages: ['libsql'],
    transports: ['http'],
    extra: ['read-only', 'infinity'],
    without: [],
  },
  {
    name: 'jdbc-dbeaver',
    toolchain: 'java',
    packages: ['com.dbeaver.jdbc.driver.libsql'],
    transports: ['http'],
    extra: ['infinity'],
    without: [{ steps: ['commit', 'rollback', 'batch'], why: 'the driver sends every statement by itself' }],
  },
];

export const manifests: Readonly<Record<Toolchain, string>> = {
  npm: 'package.json',
  python: 'requirements.txt',
  go: 'go.mod',
  rust: 'Cargo.toml',
  java: 'pom.xml',
};

/** The steps a program of `client` has to report over `transport`. */
export function stepsOf(client: SmokeClient, transport: Transport): readonly Step[] {
  const left = client.without
    .filter((entry) => entry.transport === undefined || entry.transport === transport)
    .flatMap((entry) => entry.steps);
  const others: readonly Step[] = extraSteps.filter((step) => !client.extra.includes(step));
  return steps.filter((step) => !others.includes(step) && !left.some((lacking) => lacking === step));
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/**
 * The version of `name` that a manifest pins.
 *
 * @throws when it does not name it, or not with one exact version
 */
export function pinnedVersion(toolchain: Toolchain, manifest: string, name: string): string {
  const exact = String.raw`v?\d[\w.+-]*`;
  const patterns: Readonly<Record<Toolchain, string>> = {
    npm: `"${escaped(name)}": "(${exact})"`,
    python: `^${escaped(name)}==(${exact})$`,
    go: `^(?:require\\s+|\\s+)${escaped(name)} (${exact})$`,
    rust: `^${escaped(name)} = (?:\\{ version = )?"=(${exact})"`,
    java: `<artifactId>${escaped(name)}</artifactId>\\s*<version>(${exact})</version>`,
  };
  const version = new RegExp(patterns[toolchain], 'm').exec(manifest)?.[1];
  if (version === undefined)
    throw new Error(`${manifests[toolchain]} does not pin ${name} to one exact version`);
  return version;
}
