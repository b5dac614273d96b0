/** etcd, three members: a put is on the disks of two before the answer. Spoken to through its HTTP/JSON gateway, at the leader. */
import { z } from 'zod';
import { freePorts } from '../../free-ports.ts';
import { rowCount } from '../load/workload.ts';
import { findProgram, type Workbench } from '../workbench.ts';
import { type Missing, querySql, type RunningSystem } from './system.ts';

const memberCount = 3;
const startMs = 60_000;
const putsAtOnce = 100;

const statusSchema = z.object({ header: z.object({ member_id: z.string() }), leader: z.string() });

/** The value of a Prometheus counter without labels; null when it is not there. */
export function counterIn(text: string, name: string): number | null {
  const match = new RegExp(`^${name} (\\S+)$`, 'm').exec(text);
  return match === null ? null : Number(match[1]);
}

export async function startEtcd(bench: Workbench): Promise<RunningSystem | Missing> {
  const server = findProgram('etcd');
  if (server === null) return { missing: 'etcd: no `etcd` (Debian: etcd-server)' };
  const version = /etcd Version: (\S+)/.exec(await bench.run(server, ['--version']))?.[1] ?? 'unknown';
  const ports = await freePorts(2 * memberCount);
  const members = Array.from({ length: memberCount }, (_, at) => ({
    name: `e${at + 1}`,
    client: ports[2 * at] ?? 0,
    peer: ports[2 * at + 1] ?? 0,
  }));
  const url = (port: number): string => `http://127.0.0.1:${port}`;
  const cluster = members.map(({ name, peer }) => `${name}=${url(peer)}`).join(',');
  const processes = members.map(({ name, client, peer }) =>
    bench.start({
      name: `etcd-${name}`,
      command: server,
      args: [
        ...['--name', name, '--data-dir', bench.makeDirectory(`etcd-${name}`)],
        ...['--listen-client-urls', url(client), '--advertise-client-urls', url(client)],
        ...['--listen-peer-urls', url(peer), '--initial-advertise-peer-urls', url(peer)],
        ...[
          '--initial-cluster',
          cluster,
          '--initial-cluster-state',
          'new',
          '--initial-cluster-token',
          'bench',
        ],
        ...['--quota-backend-bytes', String(8 * 2 ** 30), '--auto-compaction-retention', '1'],
      ],
      unprivileged: true,
    }),
  );
  const findLeader = async (): Promise<number> => {
    for (const { client } of members) {
      const response = await fetch(`${url(client)}/v3/maintenance/status`, {
        method: 'POST',
        body: '{}',
        signal: AbortSignal.timeout(2_000),
      });
      const status = statusSchema.parse(await response.json());
      if (status.leader === status.header.member_id) return client;
    }
    throw new Error('no leader yet');
  };
  const leaderPort = await processes[0]?.until(findLeader, startMs);
  const target = { protocol: 'etcd', host: '127.0.0.1', port: leaderPort ?? 0 } as const;
  return {
    name: 'etcd',
    title: 'etcd, three members',
    durability: 'two of three copies: fdatasync of the raft log',
    version,
    targets: { etcd: target },
    workloads: ['update', 'insert', 'select'],
    copies: memberCount,
    roles: () => ({ members: processes.map(({ pid }) => pid) }),
    prepare: async () => {
      const batches: string[] = [];
      for (let first = 1; first <= rowCount; first += putsAtOnce)
        batches.push(`put ${first} ${first + putsAtOnce - 1}`);
      await querySql(target, batches);
    },
    updates: async () => null,
    counters: async () => {
      let syncs = 0;
      for (const { client } of members) {
        const text = await (await fetch(`${url(client)}/metrics`)).text();
        syncs += counterIn(text, 'etcd_disk_wal_fsync_duration_seconds_count') ?? 0;
      }
      return { walSyncs: syncs };
    },
    stop: async () => {
      await Promise.all(processes.map((process) => process.stop()));
    },
  };
}
