/** One process, one copy: what this machine gives to a gateway that does as little as one can. A yardstick, not a database. */
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../free-ports.ts';
import { schema } from '../load/workload.ts';
import type { Workbench } from '../workbench.ts';
import { countUpdates, querySql, type RunningSystem } from './system.ts';

const serverFile = fileURLToPath(new URL('./baseline-server.ts', import.meta.url));

export async function startBaseline(bench: Workbench): Promise<RunningSystem> {
  const [port = 0] = await freePorts(1);
  const log = `${bench.makeDirectory('baseline')}/log`;
  const process_ = bench.start({
    name: 'baseline',
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', serverFile, String(port), log],
  });
  const target = { protocol: 'hrana-ws', host: '127.0.0.1', port } as const;
  await process_.until(() => querySql(target, ['SELECT 1']), 20_000);
  return {
    name: 'baseline',
    title: 'baseline process',
    durability: 'one copy: SQLite in memory, one log, fdatasync for as many commits as have come in',
    version: process.version,
    targets: { 'hrana-ws': target },
    workloads: ['update'],
    copies: 1,
    roles: () => ({ server: [process_.pid] }),
    prepare: async () => {
      await querySql(target, schema({ serial: 'INTEGER PRIMARY KEY', text: 'TEXT' }));
    },
    updates: () => countUpdates(target),
    counters: async () => ({}),
    stop: () => process_.stop(),
  };
}
