import type { SmokeClient, Toolchain } from './smoke-client.ts';

type Driver = Pick<SmokeClient, 'name' | 'packages'> &
  Partial<Pick<SmokeClient, 'extra' | 'without' | 'tool'>>;

const driver = (toolchain: Toolchain, client: Driver): SmokeClient => ({
  engine: 'postgres',
  toolchain,
  transports: ['postgres'],
  extra: [],
  without: [],
  ...client,
});

const noBatch = { steps: ['batch'], why: 'it has no batches but transactions' } as const;
const noCopy = { steps: ['copy'], why: 'COPY is left to the driver below' } as const;
const noCursor = { steps: ['cursor'], why: 'cursors are left to the driver below' } as const;

/** Clients of PostgreSQL's protocol. The tools are those of PostgreSQL 18, which a package for Python holds. */
export const postgresClients: readonly SmokeClient[] = [
  driver('npm', {
    name: 'node-postgres',
    packages: ['pg', 'pg-cursor', 'pg-copy-streams'],
    without: [noBatch],
  }),
  driver('npm', { name: 'postgres-js', packages: ['postgres'], without: [noBatch] }),
  driver('npm', {
    name: 'pg-drizzle',
    packages: ['drizzle-orm', 'drizzle-kit', 'pg'],
    extra: ['push'],
    without: [noBatch, noCursor, noCopy],
  }),
  driver('npm', {
    name: 'pg-kysely',
    packages: ['kysely', 'pg', 'pg-cursor'],
    without: [noBatch, noCopy, { steps: ['prepared'], why: 'it gives no statement a name' }],
  }),
  driver('npm', {
    name: 'pg-prisma',
    packages: ['@prisma/client', '@prisma/adapter-pg'],
    without: [noCursor, noCopy, { steps: ['prepared'], why: 'its adapter gives no statement a name' }],
  }),
  driver('python', { name: 'psycopg', packages: ['psycopg'] }),
  driver('python', { name: 'pg-sqlalchemy', packages: ['sqlalchemy', 'psycopg'], without: [noCopy] }),
  driver('go', { name: 'pgx', packages: ['github.com/jackc/pgx/v5'] }),
  driver('java', { name: 'pgjdbc', packages: ['postgresql'] }),
  driver('python', {
    name: 'psql',
    packages: ['embedded-postgres'],
    without: [{ steps: ['batch'], why: 'it sends one statement after the other' }],
  }),
  driver('python', {
    name: 'pg-dump',
    packages: ['embedded-postgres'],
    tool: ['connect', 'schema', 'insert', 'copy', 'inserts', 'archive', 'whole'],
  }),
  driver('python', {
    name: 'pgbench',
    packages: ['embedded-postgres'],
    tool: ['connect', 'schema', 'select', 'tpc-b', 'extended', 'prepared', 'sums'],
  }),
];
