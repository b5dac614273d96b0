/** Six storage nodes of one region as processes, without agent, gateway or NATS. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../../free-ports.ts';
import type { RunningProcess, Workbench } from '../workbench.ts';

const storageFile = fileURLToPath(new URL('../../../storage/main.ts', import.meta.url));

export interface NodeAddress {
  readonly node: string;
  readonly az: string;
  readonly address: string;
}

export interface StorageNodes {
  readonly cluster: string;
  readonly secret: string;
  readonly region: string;
  readonly nodes: readonly NodeAddress[];
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

export async function startStorageNodes(bench: Workbench): Promise<StorageNodes> {
  const shared = { cluster: 'bench', secret: 'not a secret on loopback', region: 'us-east-1' };
  const ports = await freePorts(6);
  const nodes = ports.map((port, at) => ({
    node: `n${at + 1}`,
    az: `az${1 + Math.floor(at / 2)}`,
    address: `127.0.0.1:${port}`,
  }));
  const processes: RunningProcess[] = nodes.map(({ node, az, address }) => {
    const config = {
      ...shared,
      node,
      az,
      listen: address,
      dataDir: bench.makeDirectory(`storage-${node}`),
      peers: nodes,
    };
    const file = join(bench.directory, `storage-${node}.json`);
    writeFileSync(file, JSON.stringify(config));
    return bench.start({
      name: `storage-${node}`,
      command: process.execPath,
      args: [storageFile, '--config', file],
    });
  });
  await Promise.all(
    processes.map((process, at) =>
      process.until(async () => {
        const response = await fetch(`http://${nodes[at]?.address}/readyz`);
        if (!response.ok) throw new Error(`readyz answers ${response.status}`);
      }, 30_000),
    ),
  );
  return {
    ...shared,
    nodes,
    pids: processes.map(({ pid }) => pid),
    stop: async () => {
      await Promise.all(processes.map((process) => process.stop()));
    },
  };
}
