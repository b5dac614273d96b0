/**
 * rqlite, three nodes: a write is in the Raft logs of two, synced, before the answer. Spoken to at the leader; a read is of its
 * level `weak`, the one it has by itself, which asks nobody else.
 */
import { z } from 'zod';
import { freePorts } from '../../free-ports.ts';
import { schema } from '../load/workload.ts';
import { findProgram, type Workbench } from '../workbench.ts';
import { countUpdates, type Missing, querySql, type RunningSystem } from './system.ts';

const nodeCount = 3;
const startMs = 60_000;

const nodesSchema = z.record(
  z.string(),
  z.looseObject({ api_addr: z.string(), reachable: z.boolean(), leader: z.boolean() }),
);

/** Built without a release's flags it says its major version only. */
const statusSchema = z.looseObject({ build: z.looseObject({ version: z.string() }) });

export async function startRqlite(bench: Workbench): Promise<RunningSystem | Missing> {
  const server = findProgram('rqlited');
  if (server === null)
    return {
      missing:
        'rqlite: no `rqlited` (built from the Go module github.com/rqlite/rqlite/v8, `go build ./cmd/rqlited`)',
    };
  const ports = await freePorts(2 * nodeCount);
  const nodes = Array.from({ length: nodeCount }, (_, at) => ({
    id: `q${at + 1}`,
    http: ports[2 * at] ?? 0,
    raft: ports[2 * at + 1] ?? 0,
  }));
  const [first] = nodes;
  const processes = nodes.map((node) =>
    bench.start({
      name: `rqlite-${node.id}`,
      command: server,
      args: [
        ...[
          '-node-id',
          node.id,
          '-http-addr',
          `127.0.0.1:${node.http}`,
          '-raft-addr',
          `127.0.0.1:${node.raft}`,
        ],
        ...(node === first ? [] : ['-join', `127.0.0.1:${first?.raft}`, '-join-interval', '500ms']),
        bench.makeDirectory(`rqlite-${node.id}`),
      ],
      unprivileged: true,
    }),
  );
  const findLeader = async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${first?.http}/nodes`, {
      signal: AbortSignal.timeout(2_000),
    });
    const known = Object.values(nodesSchema.parse(await response.json()));
    const leader = known.find((node) => node.leader);
    if (leader === undefined || known.filter((node) => node.reachable).length < nodeCount)
      throw new Error('not three nodes and a leader yet');
    return Number(new URL(leader.api_addr).port);
  };
  const leaderPort = await processes[0]?.until(findLeader, startMs);
  const status = await fetch(`http://127.0.0.1:${first?.http}/status`, {
    signal: AbortSignal.timeout(startMs),
  });
  const { build } = statusSchema.parse(await status.json());
  const target = { protocol: 'rqlite', host: '127.0.0.1', port: leaderPort ?? 0 } as const;
  return {
    name: 'rqlite',
    title: 'rqlite, three nodes',
    durability: 'two of three copies: fsync of the Raft log',
    version: build.version,
    targets: { rqlite: target },
    workloads: ['update', 'insert', 'select', 'tpcb'],
    copies: nodeCount,
    roles: () => ({ nodes: processes.map(({ pid }) => pid) }),
    prepare: async () => {
      await querySql(target, schema({ serial: 'INTEGER PRIMARY KEY', text: 'TEXT' }));
    },
    updates: () => countUpdates(target),
    counters: async () => ({}),
    stop: async () => {
      await Promise.all(processes.map((process) => process.stop()));
    },
  };
}
