/** What the six storage nodes of a region say of their disks, and how long one takes to come back: for long runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import { portsOf } from '../../regions/local/layout/core/local-ports.ts';
import { samplesOf, sumOf } from '../telemetry/metrics/exposition.ts';

export const nodeNames = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'] as const;
const askMs = 5_000;
const backMs = 120_000;
const probeMs = 5;

export interface NodeFigures {
  readonly node: string;
  /** What the node takes on its disk, by what takes it, bytes. */
  readonly logBytes: number;
  readonly imageBytes: number;
  /** Page images it got from others in the place of log, bytes, since its start. */
  readonly refilledBytes: number;
  /** Times it was filled from images to the end, since its start. */
  readonly refills: number;
  /** From here on it keeps its log. */
  readonly floorLsn: number;
}

function addressOf(basePort: number, region: number, node: number): string {
  const port = portsOf(basePort, region).nodes[node];
  if (port === undefined) throw new Error(`region ${region} has no node ${node}`);
  return `http://127.0.0.1:${port}`;
}

/** Figures of the nodes that answer. @param region the place of the region in the deployment's list. */
export async function nodeFigures(basePort: number, region: number): Promise<readonly NodeFigures[]> {
  const asked = nodeNames.map(async (node, at): Promise<NodeFigures | null> => {
    const url = `${addressOf(basePort, region, at)}/metrics`;
    const text = await fetch(url, { signal: AbortSignal.timeout(askMs) }).then(
      (response) => response.text(),
      () => null,
    );
    if (text === null) return null;
    const samples = samplesOf(text);
    return {
      node,
      logBytes: sumOf(samples, 'sextant_storage_used_bytes', { part: 'log' }),
      imageBytes: sumOf(samples, 'sextant_storage_used_bytes', { part: 'images' }),
      refilledBytes: sumOf(samples, 'sextant_storage_refilled_bytes_total'),
      refills: sumOf(samples, 'sextant_storage_refills_total'),
      floorLsn: sumOf(samples, 'sextant_storage_floor_lsn'),
    };
  });
  return (await Promise.all(asked)).filter((figures) => figures !== null);
}

/** Bytes that all nodes of a region take on their disks. */
export function usedBytes(nodes: readonly NodeFigures[]): number {
  return nodes.reduce((sum, { logBytes, imageBytes }) => sum + logBytes + imageBytes, 0);
}

/**
 * Kills a node's process and waits until it is there again: the supervisor's pause, the start of Node.js and of its log.
 * @returns milliseconds to its first answer that it is ready. @throws Error when it does not come back.
 */
export async function restartMs(
  basePort: number,
  region: number,
  node: number,
  kill: () => Promise<void>,
): Promise<number> {
  const url = `${addressOf(basePort, region, node)}/readyz`;
  await kill();
  const startedMs = performance.now();
  while (performance.now() - startedMs < backMs) {
    const isReady = await fetch(url, { signal: AbortSignal.timeout(askMs) }).then(
      async (response) => {
        await response.text();
        return response.ok;
      },
      () => false,
    );
    if (isReady) return performance.now() - startedMs;
    await sleep(probeMs);
  }
  throw new Error(`node ${nodeNames[node]} was not ready ${backMs} ms after it was killed`);
}
