/** Keeps a number of commits in flight to six storage nodes through the writer's own driver, without SQL: the storage layer alone. */

import { RegionClient, runRecovery, WriterDriver } from '../../../storage/index.ts';
import { epoch, type Lsn, mainBranch, nodeId, pageNo, regionId } from '../../../storage/redo/ids.ts';
import { encodeMtr, type Mtr } from '../../../storage/redo/record.ts';
import { Histogram } from '../measure/histogram.ts';
import type { FromLoad } from './plan.ts';
import type { StorageNodes } from './storage-nodes.ts';
import { seeded } from './workload.ts';

export interface StoragePlan {
  readonly nodes: Pick<StorageNodes, 'cluster' | 'secret' | 'region' | 'nodes'>;
  /** Each run of the generator reigns under an epoch of its own, rising. */
  readonly reign: number;
  readonly inFlight: number;
  readonly recordBytes: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

const pageCount = 2_000;
const pgBytes = 10 * 2 ** 30;
const recoverMs = 20_000;
/** The benchmark may be gone by the time a message is written. */
const ignored = (): void => undefined;
const tell = (message: FromLoad): void => void process.send?.(message, ignored);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function run(plan: StoragePlan): Promise<void> {
  const { cluster, secret, region, nodes } = plan.nodes;
  const client = new RegionClient({
    cluster,
    secret,
    region: regionId(region),
    nodes: nodes.map(({ node, az, address }) => ({ node: nodeId(node), az, address })),
  });
  const reign = epoch(plan.reign);
  const recovery = await runRecovery(
    client,
    { kind: 'fork', branch: mainBranch, epoch: reign },
    { timeoutMs: recoverMs },
  );
  if (recovery.kind !== 'recovered') throw new Error(`recovery: ${JSON.stringify(recovery)}`);
  const { forks, vdl } = recovery.outcome;
  const random = seeded(plan.reign);
  const latency = new Histogram();
  const pending: { readonly lsn: Lsn; readonly startMs: number }[] = [];
  let head = 0;
  let acknowledged = 0;
  const state: { measuring: boolean } = { measuring: false };
  const end = (reason: string): void => tell({ kind: 'failed', message: reason });
  const driver = new WriterDriver({
    region: client,
    epoch: reign,
    forks,
    forkLsn: vdl,
    onDurable: (durable) => {
      const now = performance.now();
      for (let next = pending[head]; next !== undefined && next.lsn <= durable; next = pending[head]) {
        head += 1;
        acknowledged += 1;
        if (state.measuring) latency.record((now - next.startMs) * 1_000);
      }
      if (head > 10_000) {
        pending.splice(0, head);
        head = 0;
      }
      fill();
    },
    onFenced: (by) => end(`fenced by epoch ${by}`),
    onQuorumLost: end,
  });
  const mtr = (): Mtr => {
    const runs = [
      {
        offset: 8 * Math.floor(random() * 400),
        bytes: new Uint8Array(plan.recordBytes).fill(1 + random() * 250),
      },
    ];
    const page = pageNo(1 + Math.floor(random() * pageCount));
    return encodeMtr(
      [{ kind: 'pageDelta', page, runs }],
      [{ kind: 'commit', commitTimeUs: 1, trace: null }],
      pgBytes,
    );
  };
  function fill(): void {
    while (pending.length - head < plan.inFlight && driver.hasRoom)
      pending.push({ lsn: driver.commit(mtr()), startMs: performance.now() });
  }
  fill();
  await pause(plan.warmMs);
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  state.measuring = true;
  tell({ kind: 'measuring' });
  await pause(plan.measureMs);
  state.measuring = false;
  const used = process.cpuUsage(cpu);
  tell({
    kind: 'measured',
    result: {
      transactions: latency.count,
      elapsedMs: performance.now() - startMs,
      latency: latency.data(),
      errors: 0,
      firstError: null,
      longestGapMs: 0,
      acknowledged,
      cpuMs: (used.user + used.system) / 1_000,
    },
  });
  tell({ kind: 'finished', acknowledged });
  driver.close();
  client.close();
}

process.once('message', (plan: StoragePlan) => {
  run(plan).catch((error: unknown) => tell({ kind: 'failed', message: String(error) }));
});
process.once('disconnect', () => process.exit(0));
