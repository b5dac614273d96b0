/** MariaDB, one server, durable at every commit: redo log and binary log are both synced. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../free-ports.ts';
import { schema } from '../load/workload.ts';
import { findProgram, type Workbench } from '../workbench.ts';
import { countUpdates, type Missing, querySql, type RunningSystem } from './system.ts';

const startMs = 60_000;

export async function startMariadb(bench: Workbench): Promise<RunningSystem | Missing> {
  const server = findProgram('mariadbd');
  const install = findProgram('mariadb-install-db');
  if (server === null || install === null)
    return { missing: 'MariaDB: no `mariadbd` and `mariadb-install-db` (Debian: mariadb-server)' };
  const version = /Ver (\S+)/.exec(await bench.run(server, ['--version']))?.[1] ?? 'unknown';
  const home = bench.makeDirectory('mariadb');
  const data = join(home, 'data');
  const installArgs = [
    '--no-defaults',
    `--datadir=${data}`,
    '--skip-test-db',
    '--auth-root-authentication-method=normal',
  ];
  await bench.run(install, installArgs, { unprivileged: true });
  const init = join(bench.directory, 'mariadb-init.sql');
  writeFileSync(
    init,
    "CREATE DATABASE IF NOT EXISTS bench;\nCREATE USER IF NOT EXISTS bench@'%' IDENTIFIED BY '';\nGRANT ALL ON *.* TO bench@'%';\n",
  );
  chmodSync(init, 0o644);
  const [port = 0] = await freePorts(1);
  const process = bench.start({
    name: 'mariadb',
    command: server,
    args: [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${join(home, 'socket')}`,
      `--pid-file=${join(home, 'pid')}`,
      `--init-file=${init}`,
      '--bind-address=127.0.0.1',
      `--port=${port}`,
      '--skip-name-resolve',
      '--max-connections=300',
      '--innodb-buffer-pool-size=256M',
      '--innodb-flush-log-at-trx-commit=1',
      '--sync-binlog=1',
      '--log-bin=binlog',
      '--server-id=1',
      '--expire-logs-days=1',
      '--max-binlog-size=256M',
    ],
    unprivileged: true,
  });
  const target = { protocol: 'mysql', host: '127.0.0.1', port } as const;
  await process.until(() => querySql(target, ['SELECT 1']), startMs);
  const status = async (name: string): Promise<number> => {
    const sql = `SELECT variable_value FROM information_schema.global_status WHERE variable_name = '${name}'`;
    return Number(await querySql(target, [sql]));
  };
  return {
    name: 'mariadb',
    title: 'MariaDB',
    durability: 'one copy: redo log and binary log synced at every commit',
    version,
    targets: { mysql: target },
    workloads: ['update', 'insert', 'select', 'tpcb', 'tpcb-interactive'],
    copies: 1,
    roles: () => ({ server: [process.pid] }),
    prepare: async () => {
      await querySql(target, schema({ serial: 'BIGINT AUTO_INCREMENT PRIMARY KEY', text: 'VARCHAR(200)' }));
    },
    updates: () => countUpdates(target),
    counters: async () => ({
      redoBytes: await status('innodb_os_log_written'),
      binlogBytes: await status('binlog_bytes_written'),
      dataSyncs: await status('innodb_data_fsyncs'),
    }),
    stop: () => process.stop(),
  };
}
