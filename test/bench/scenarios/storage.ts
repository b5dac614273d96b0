/** The storage layer alone: the writer's driver and six storage processes, no SQL, no client. */

import { startStorageLoad } from '../load/load-client.ts';
import { startStorageNodes } from '../load/storage-nodes.ts';
import { between, sample, usageOf } from '../measure/accounting.ts';
import { Histogram } from '../measure/histogram.ts';
import { bytes, figure, median, msOfUs } from '../measure/stats.ts';
import type { Outcome, Scenario } from './scenario.ts';

const inFlights = [1, 16, 128, 1_024] as const;
const recordBytes = 160;

interface StorageRound {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly driverCpuUs: number;
  readonly nodesCpuUs: number;
  readonly nodeBytes: number;
  readonly flushes: number;
}

const middle = (rounds: readonly StorageRound[], pick: keyof StorageRound): number =>
  median(rounds.map((round) => round[pick])) ?? 0;

export const storage: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const nodes = await startStorageNodes(bench);
  const rounds = new Map<number, StorageRound[]>(inFlights.map((inFlight) => [inFlight, []]));
  let reign = 0;
  for (let round = 1; round <= options.rounds; round++) {
    for (const inFlight of inFlights) {
      reign += 1;
      const { warmMs, measureMs } = options;
      const load = startStorageLoad({ nodes, reign, inFlight, recordBytes, warmMs, measureMs });
      try {
        const roles = { nodes: nodes.pids, load: [load.pid] };
        await load.measuring;
        const from = await sample(roles);
        const result = await load.measured;
        const used = between(from, await sample(roles));
        const ofNodes = usageOf(used, 'nodes');
        await load.finished;
        const each = Math.max(1, result.transactions);
        const latency = Histogram.of([result.latency]);
        const perSecond = (result.transactions * 1_000) / result.elapsedMs;
        rounds.get(inFlight)?.push({
          perSecond,
          p50Us: latency.quantileUs(0.5),
          p99Us: latency.quantileUs(0.99),
          driverCpuUs: (result.cpuMs * 1_000) / each,
          nodesCpuUs: (ofNodes.cpuMs * 1_000) / each,
          nodeBytes: ofNodes.writtenBytes / nodes.pids.length / each,
          flushes: used.machine.diskFlushes / each,
        });
        bench.say(`  storage alone, ${inFlight} in flight: ${Math.round(perSecond)}/s`);
      } finally {
        load.close();
      }
    }
  }
  await nodes.stop();
  const lines = [...rounds].map(([inFlight, of]) => ({ inFlight, of }));
  return {
    missing: [],
    sections: [
      {
        name: 'storage',
        title: 'The storage layer alone',
        notes: [
          `commits of one ${recordBytes}-byte change each, through the writer's driver to six storage processes; durable on four of six`,
        ],
        tables: [
          {
            title: 'Quorum-durable commits a second',
            head: [
              'in flight',
              'commits/s',
              'p50 ms',
              'p99 ms',
              'CPU of the driver µs',
              'CPU of six nodes µs',
              'written per node',
              'device flushes',
            ],
            rows: lines.map(({ inFlight, of }) => [
              String(inFlight),
              figure(middle(of, 'perSecond')),
              msOfUs(middle(of, 'p50Us')),
              msOfUs(middle(of, 'p99Us')),
              figure(middle(of, 'driverCpuUs')),
              figure(middle(of, 'nodesCpuUs')),
              bytes(middle(of, 'nodeBytes')),
              figure(middle(of, 'flushes')),
            ]),
          },
        ],
        panels: [
          {
            title: 'Storage layer alone',
            unit: 'quorum-durable commits a second',
            series: ['Sextant storage'],
            groups: lines.map(({ inFlight, of }) => ({
              label: `${inFlight} in flight`,
              values: [middle(of, 'perSecond')],
            })),
          },
        ],
        data: lines,
      },
    ],
  };
};
