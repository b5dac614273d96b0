/** Sextant's PostgreSQL engine beside PostgreSQL itself, by pgbench. */
import { Pgbench, type PgbenchName, type PgbenchResult, pgbenchNames } from '../load/pgbench.ts';
import { Histogram } from '../measure/histogram.ts';
import { bytes, figure, median, msOfUs, ratio, spread, times } from '../measure/stats.ts';
import { startPostgres } from '../systems/postgres.ts';
import { startSextant } from '../systems/sextant.ts';
import type { RunningSystem } from '../systems/system.ts';
import { isMissing, nothing, type Outcome, type Scenario } from './scenario.ts';

const regions = ['us-east-1', 'eu-west-1'] as const;
const titles: Readonly<Record<PgbenchName, string>> = {
  select: 'pgbench -S',
  tpcb: 'TPC-B',
  update: 'single-row UPDATE',
};
const heatSeconds = 2;

/** Where clients are: a row of the tables. */
interface Place {
  readonly title: string;
  readonly system: RunningSystem;
  readonly port: number;
  readonly workloads: readonly PgbenchName[];
  /** The rows of one system beside those of the other. */
  readonly like: 'primary' | 'secondary';
}

interface Measured {
  readonly place: string;
  readonly isSextant: boolean;
  readonly like: Place['like'];
  readonly workload: PgbenchName;
  readonly clients: number;
  readonly perSecond: number;
  readonly spread: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly failed: number;
  /** Redo, or WAL, of one transaction, bytes; null for reads. */
  readonly redoBytes: number | null;
}

interface Round {
  readonly result: PgbenchResult;
  readonly redoBytes: number | null;
}

async function redoOf(system: RunningSystem): Promise<number> {
  const { redoBytes, walBytes } = await system.counters();
  return redoBytes ?? walBytes ?? 0;
}

export const postgres: Scenario = async ({ bench, options }): Promise<Outcome> => {
  const pgbench = Pgbench.find(bench);
  if (pgbench === null) return nothing('pgbench: not installed (Debian: postgresql-contrib or postgresql)');
  const flags = ['--engine', 'postgres'];
  const own = await startSextant(bench, { regions, flags, env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(own)) return nothing(own.missing);
  const peer = options.peers.includes('postgres') ? await startPostgres(bench) : null;
  const missing = peer !== null && isMissing(peer) ? [peer.missing] : [];
  const scale = options.quick ? 1 : 10;
  const clientCounts = options.quick ? [1, 16] : [1, 16, 32];
  const seconds = Math.max(1, Math.round(options.measureMs / 1_000));
  const places: Place[] = [
    {
      title: 'Sextant, primary',
      system: own,
      port: own.postgresPort(regions[0]),
      workloads: pgbenchNames,
      like: 'primary',
    },
    {
      title: 'Sextant, secondary',
      system: own,
      port: own.postgresPort(regions[1]),
      workloads: pgbenchNames,
      like: 'secondary',
    },
  ];
  if (peer !== null && !isMissing(peer))
    places.push(
      { title: peer.title, system: peer, port: peer.port, workloads: pgbenchNames, like: 'primary' },
      {
        title: 'PostgreSQL, a standby',
        system: peer,
        port: peer.standbyPort,
        workloads: ['select'],
        like: 'secondary',
      },
    );
  for (const { title, port, like } of places.filter((place) => place.like === 'primary')) {
    bench.say(`  ${title} (${like}): pgbench -i -s ${scale}`);
    await pgbench.prepare(port, scale);
  }
  const rounds = new Map<string, Round[]>();
  const keyOf = (place: Place, workload: PgbenchName, clients: number): string =>
    `${place.title} ${workload} ${clients}`;
  const failures: string[] = [];
  const runOnce = async (place: Place, workload: PgbenchName, clients: number): Promise<void> => {
    const before = await redoOf(place.system);
    const result = await pgbench.run({ port: place.port, workload, clients, seconds, scale });
    const redo = (await redoOf(place.system)) - before;
    const redoBytes = workload === 'select' ? null : redo / Math.max(1, result.transactions);
    const key = keyOf(place, workload, clients);
    rounds.set(key, [...(rounds.get(key) ?? []), { result, redoBytes }]);
    bench.say(
      `  ${place.title}, ${titles[workload]}, ${clients} clients: ${figure(result.perSecond)}/s, ${result.failed} failed`,
    );
  };
  for (const place of places)
    for (const workload of place.workloads)
      await pgbench.run({ port: place.port, workload, clients: 16, seconds: heatSeconds, scale });
  for (let round = 0; round < options.rounds; round++)
    for (const workload of pgbenchNames)
      for (const clients of clientCounts)
        for (const place of round % 2 === 0 ? places : places.toReversed()) {
          if (!place.workloads.includes(workload)) continue;
          await runOnce(place, workload, clients).catch((error: unknown) => {
            failures.push(`${keyOf(place, workload, clients)}: ${String(error).slice(0, 300)}`);
          });
        }
  await own.stop();
  if (peer !== null && !isMissing(peer)) await peer.stop();
  const measured: Measured[] = places.flatMap((place) =>
    place.workloads.flatMap((workload) =>
      clientCounts.flatMap((clients) => {
        const of = rounds.get(keyOf(place, workload, clients)) ?? [];
        if (of.length === 0) return [];
        const rates = of.map(({ result }) => result.perSecond);
        const latency = Histogram.of(of.map(({ result }) => result.latency.data()));
        return [
          {
            place: place.title,
            isSextant: place.system === own,
            like: place.like,
            workload,
            clients,
            perSecond: median(rates) ?? 0,
            spread: spread(rates) ?? 0,
            p50Us: latency.quantileUs(0.5),
            p99Us: latency.quantileUs(0.99),
            failed: of.reduce((sum, { result }) => sum + result.failed, 0),
            redoBytes: median(of.flatMap(({ redoBytes }) => (redoBytes === null ? [] : [redoBytes]))),
          },
        ];
      }),
    ),
  );
  const beside = (one: Measured): Measured | undefined =>
    measured.find(
      ({ isSextant, like, workload, clients }) =>
        !isSextant && like === one.like && workload === one.workload && clients === one.clients,
    );
  const ratios = Object.fromEntries(
    measured.flatMap((one) => {
      const value = one.isSextant ? ratio(one.perSecond, beside(one)?.perSecond) : null;
      return value === null ? [] : [[`pgbench.${one.workload}.${one.like}${one.clients}`, value]];
    }),
  );
  return {
    missing: [...missing, ...failures],
    ratios,
    systems: peer !== null && !isMissing(peer) ? [peer] : [],
    sections: [
      {
        name: 'postgres',
        title: 'PostgreSQL’s engine, by pgbench',
        notes: [
          `pgbench -M prepared at scale ${scale}, runs of ${seconds} s; median of ${options.rounds} rounds that visit the places in turn`,
          'Sextant with `--engine postgres` and one secondary region; PostgreSQL with five standbys and ANY 3, of which one is read as a secondary',
          'redo: of a transaction, as the writer makes it; of PostgreSQL its WAL. Six copies of either',
        ],
        tables: pgbenchNames.map((workload) => ({
          title: `${titles[workload]}: transactions a second`,
          head: ['place', 'clients', 'tx/s', '÷ PostgreSQL', 'p50 ms', 'p99 ms', 'failed', 'redo', 'spread'],
          rows: measured
            .filter((one) => one.workload === workload)
            .map((one) => [
              one.place,
              String(one.clients),
              figure(one.perSecond),
              one.isSextant ? times(ratio(one.perSecond, beside(one)?.perSecond)) : '–',
              msOfUs(one.p50Us),
              msOfUs(one.p99Us),
              String(one.failed),
              bytes(one.redoBytes),
              `${Math.round(one.spread * 100)} %`,
            ]),
        })),
        panels: pgbenchNames.map((workload) => ({
          title: titles[workload],
          unit: 'transactions a second',
          series: places.map(({ title }) => title),
          groups: clientCounts.map((clients) => ({
            label: `${clients} client${clients === 1 ? '' : 's'}`,
            values: places.map(
              ({ title }) =>
                measured.find(
                  (one) => one.place === title && one.workload === workload && one.clients === clients,
                )?.perSecond ?? null,
            ),
          })),
        })),
        data: measured,
      },
    ],
  };
};
