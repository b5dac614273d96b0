/** PostgreSQL with five streaming standbys and `ANY 3`: with the primary's own, four of six copies are on disk before the answer. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../free-ports.ts';
import { schema } from '../load/workload.ts';
import { findProgram, type RunningProcess, type Workbench } from '../workbench.ts';
import { countUpdates, type Missing, querySql, type RunningSystem } from './system.ts';

const standbyCount = 5;
const startMs = 60_000;

/** Debian keeps each major version's programs in a directory of its own; the newest wins. */
function programDirectories(): readonly string[] {
  const base = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(base).toSorted((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(base, version, 'bin'));
  } catch {
    return [];
  }
}

/** Nothing here trades durability for speed: fsync, full page writes and synchronous commit stay as they are delivered. */
const settings = (port: number): string => `
port = ${port}
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
max_wal_senders = 10
wal_keep_size = 1GB
max_wal_size = 2GB
shared_buffers = 128MB
logging_collector = off
`;

export interface RunningPostgres extends RunningSystem {
  readonly port: number;
  /** One that only reads. */
  readonly standbyPort: number;
}

export async function startPostgres(bench: Workbench): Promise<RunningPostgres | Missing> {
  const directories = programDirectories();
  const server = findProgram('postgres', directories);
  const initdb = findProgram('initdb', directories);
  if (server === null || initdb === null)
    return { missing: 'PostgreSQL: no `postgres` and `initdb` (Debian: postgresql)' };
  const version = (await bench.run(server, ['--version'])).trim().replace(/^postgres \(PostgreSQL\) /, '');
  const ports = await freePorts(1 + standbyCount);
  const home = bench.makeDirectory('postgres');
  const dirOf = (at: number): string => join(home, at === 0 ? 'primary' : `s${at}`);
  const initArgs = ['-D', dirOf(0), '-U', 'bench', '--auth=trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  await bench.run(initdb, initArgs, { unprivileged: true });
  const primaryPort = ports[0] ?? 0;
  const names = Array.from({ length: standbyCount }, (_, at) => `s${at + 1}`);
  // A copy of a cluster that has never run is a base for standbys, and quicker than five base backups.
  for (let at = 1; at <= standbyCount; at++) {
    await bench.run('cp', ['-a', dirOf(0), dirOf(at)], { unprivileged: true });
    const connection = `host=127.0.0.1 port=${primaryPort} user=bench application_name=s${at}`;
    writeFileSync(
      join(dirOf(at), 'postgresql.auto.conf'),
      `${settings(ports[at] ?? 0)}primary_conninfo = '${connection}'\n`,
    );
    writeFileSync(join(dirOf(at), 'standby.signal'), '');
  }
  const quorum = `synchronous_commit = on\nsynchronous_standby_names = 'ANY 3 (${names.join(', ')})'\n`;
  writeFileSync(join(dirOf(0), 'postgresql.auto.conf'), settings(primaryPort) + quorum);
  const processes: RunningProcess[] = Array.from({ length: 1 + standbyCount }, (_, at) =>
    bench.start({
      name: `postgres-${at}`,
      command: server,
      args: ['-D', dirOf(at)],
      unprivileged: true,
      // Fast shutdown: does not wait for clients.
      stopSignal: 'SIGINT',
    }),
  );
  const target = { protocol: 'postgres', host: '127.0.0.1', port: primaryPort } as const;
  const [primary] = processes;
  const streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
  await primary?.until(async () => {
    const count = await querySql(target, [streaming]);
    if (count !== String(standbyCount)) throw new Error(`${count} of ${standbyCount} standbys stream`);
  }, startMs);
  return {
    name: 'postgres',
    title: 'PostgreSQL, ANY 3 of 5',
    durability: 'four of six copies: fdatasync on the primary and on three of five standbys',
    version,
    targets: { postgres: target },
    port: primaryPort,
    standbyPort: ports[1] ?? 0,
    workloads: ['update', 'insert', 'select', 'tpcb', 'tpcb-interactive'],
    copies: 1 + standbyCount,
    roles: () => ({
      primary: processes.slice(0, 1).map(({ pid }) => pid),
      standbys: processes.slice(1).map(({ pid }) => pid),
    }),
    prepare: async () => {
      const serial = 'BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY';
      await querySql(target, [...schema({ serial, text: 'TEXT' }), 'ANALYZE', 'CHECKPOINT']);
    },
    updates: () => countUpdates(target),
    counters: async () => ({
      walBytes: Number(await querySql(target, ['SELECT wal_bytes FROM pg_stat_wal'])),
      primarySyncs: Number(await querySql(target, ['SELECT wal_sync FROM pg_stat_wal'])),
    }),
    stop: async () => {
      // The primary last: it waits for its standbys to have everything.
      for (const process of processes.toReversed()) await process.stop();
    },
  };
}
