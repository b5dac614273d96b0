/** What a write costs that a client hands to a secondary's gateway, which sends it on to the writer, beside one at the writer itself. */
import { runLoad } from '../load/load-client.ts';
import { type Cell, measure, type Round, summarize } from '../measure/cell.ts';
import { figure, msOfUs, ratio } from '../measure/stats.ts';
import type { Goal } from '../report/report.ts';
import { startSextant } from '../systems/sextant.ts';
import type { Missing } from '../systems/system.ts';
import { type Context, isMissing, nothing, type Outcome, planOf, type Scenario } from './scenario.ts';

const regions = ['us-east-1', 'eu-west-1'] as const;
const clientCounts = [1, 16, 128] as const;
const crowd = 128;

/** Round trips between the regions, in milliseconds: none, and about that between the coasts of an ocean. */
const distancesMs = [0, 80] as const;

interface ForwardRun {
  readonly rttMs: number;
  readonly clients: number;
  readonly primary: Cell;
  readonly secondary: Cell;
}

const roles = ['gateway', 'nats', 'storage'] as const;

async function runsAt(rttMs: number, { bench, options }: Context): Promise<readonly ForwardRun[] | Missing> {
  const flags = rttMs === 0 ? [] : ['--wan-rtt-ms', String(rttMs)];
  const system = await startSextant(bench, { regions, flags, env: { OTEL_SDK_DISABLED: 'true' } });
  if (isMissing(system)) return system;
  await system.prepare();
  const plan = (region: string, clients: number) => planOf(options, system.target(region), 'update', clients);
  for (const region of regions)
    await runLoad({ ...plan(region, crowd), warmMs: 0, measureMs: options.heatMs });
  const runs: ForwardRun[] = [];
  for (const clients of clientCounts) {
    const rounds: Record<(typeof regions)[number], Round[]> = { 'us-east-1': [], 'eu-west-1': [] };
    for (let round = 0; round < options.rounds; round += 1)
      for (const region of round % 2 === 0 ? regions : [...regions].reverse())
        rounds[region].push(await measure(system, plan(region, clients)));
    const [primary, secondary] = [summarize(rounds['us-east-1']), summarize(rounds['eu-west-1'])];
    if (primary === null || secondary === null) continue;
    runs.push({ rttMs, clients, primary, secondary });
    bench.say(
      `  ${rttMs} ms apart, ${clients} clients: ${figure(primary.perSecond)}/s at the primary, ${figure(secondary.perSecond)}/s through the secondary`,
    );
  }
  await system.stop();
  return runs;
}

export const forward: Scenario = async (context): Promise<Outcome> => {
  const { options } = context;
  const runs: ForwardRun[] = [];
  for (const rttMs of distancesMs) {
    const found = await runsAt(rttMs, context);
    if ('missing' in found) return nothing(found.missing);
    runs.push(...found);
  }
  const at = (rttMs: number, clients: number) =>
    runs.find((run) => run.rttMs === rttMs && run.clients === clients);
  const [lone, far, many] = [at(0, 1), at(80, 1), at(0, crowd)];
  /** What a forwarded write takes beyond the way there and back, in local writes. */
  const beyond = far === undefined ? undefined : far.secondary.p50Us - far.rttMs * 1_000;
  const goals: Goal[] = [
    {
      text: `forwarded UPDATE, ${crowd} clients: throughput ÷ at the primary`,
      value: ratio(many?.secondary.perSecond, many?.primary.perSecond),
      bound: 0.6,
      better: 'atLeast',
    },
    {
      text: 'forwarded UPDATE, 1 client, no distance: p50 ÷ at the primary',
      value: ratio(lone?.secondary.p50Us, lone?.primary.p50Us),
      bound: 1.3,
      better: 'atMost',
    },
    {
      text: 'forwarded UPDATE, 1 client, 80 ms apart: p50 beyond the round trip ÷ at the primary',
      value: ratio(beyond, far?.primary.p50Us),
      bound: 1.3,
      better: 'atMost',
    },
  ];
  return {
    missing: [],
    goals,
    sections: [
      {
        name: 'forward',
        title: 'Writes through a secondary',
        notes: [
          `single-row UPDATEs through the gateway of ${regions[1]}, which sends them on to the writer in ${regions[0]}; both regions on this machine, and messages between them take the time that is said`,
          `rounds visit the two gateways in turn; median of ${options.rounds}`,
        ],
        tables: [
          {
            title: 'UPDATE at the primary / through the secondary',
            head: [
              'round trip ms',
              'clients',
              'tx/s',
              'p50 ms',
              'p99 ms',
              'errors',
              'throughput ÷ primary',
              ...roles.map((role) => `CPU of ${role} µs`),
            ],
            rows: runs.map(({ rttMs, clients, primary, secondary }) => [
              String(rttMs),
              String(clients),
              `${figure(primary.perSecond)} / ${figure(secondary.perSecond)}`,
              `${msOfUs(primary.p50Us)} / ${msOfUs(secondary.p50Us)}`,
              `${msOfUs(primary.p99Us)} / ${msOfUs(secondary.p99Us)}`,
              String(primary.errors + secondary.errors),
              figure(ratio(secondary.perSecond, primary.perSecond)),
              ...roles.map(
                (role) => `${figure(primary.cpuUs[role] ?? 0)} / ${figure(secondary.cpuUs[role] ?? 0)}`,
              ),
            ]),
          },
        ],
        panels: [],
        data: runs,
      },
    ],
  };
};
