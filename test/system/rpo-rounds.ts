/**
 * The RPO of 0 on a real deployment: writes from many connections, the primary region killed in the middle of them, a failover
 * to the better survivor; then every acknowledged row has to be there, in every region. And what it costs: the time of a write
 * with it and without it, in turn.
 *
 * node test/system/rpo-rounds.ts [--rounds 20] [--rpo-ms 0|off] [--turns 6] [--base-port 20000]
 */
import { parseArgs } from 'node:util';
import type { Client } from '@libsql/client';
import { TestDeployment } from './local-deployment.ts';
import { idsIn, SteadyWriter } from './steady-writer.ts';

export const rpoRegions = ['us', 'eu', 'ap'] as const;
const perSecond = 15;
const idsPerWriter = 1_000_000;

export interface RoundAccount {
  readonly killed: string;
  readonly target: string;
  readonly acknowledged: number;
  /** Acknowledged and not there after the failover. */
  readonly lost: readonly number[];
  /** Ended in an error, each with its code: they may be there or not. */
  readonly failed: Readonly<Record<string, number>>;
}

/** One loss of the primary region under load, and its return. @param round names this round's rows. */
export async function loseRegion(deployment: TestDeployment, round: number): Promise<RoundAccount> {
  const { primary: killed } = await deployment.settled(120_000);
  if (killed === null) throw new Error('no region is primary');
  const table = `round_${round}`;
  const survivors = deployment.regions.filter((name) => name !== killed);
  await deployment.client(killed).execute(`CREATE TABLE ${table} (id INTEGER PRIMARY KEY, text TEXT)`);
  await deployment.settled(60_000);
  const writers = writersIn(deployment, [killed, killed, ...survivors], table);
  await Promise.all(writers.map((writer) => writer.acknowledges(2 * perSecond, 60_000)));
  await deployment.run('region', 'kill', killed);
  const target = await failOver(deployment, survivors);
  const survivorWriters = writers.slice(2);
  await Promise.all(survivorWriters.map((writer) => writer.acknowledges(perSecond, 60_000)));
  const accounts = await Promise.all(writers.map((writer) => writer.stop()));
  const acknowledged = accounts.flatMap((account) => account.acknowledged);
  const lost = missing(acknowledged, await idsIn(deployment.client(target), table));
  await deployment.run('region', 'start', killed);
  await served(deployment, killed);
  await deployment.settled(120_000);
  for (const region of deployment.regions) {
    const here = missing(acknowledged, await idsIn(deployment.client(region), table));
    if (here.length !== lost.length)
      throw new Error(`${region} lacks ${here.length} acknowledged rows and ${target} ${lost.length}`);
  }
  const failed: Record<string, number> = {};
  for (const { code } of accounts.flatMap((account) => account.failed))
    failed[code] = (failed[code] ?? 0) + 1;
  return { killed, target, acknowledged: acknowledged.length, lost, failed };
}

/** Resolves once a region's gateway answers: a region follows before it has one. */
async function served(deployment: TestDeployment, region: string): Promise<void> {
  const untilMs = performance.now() + 120_000;
  while ((await deployment.status(region).catch(() => null)) === null) {
    if (performance.now() > untilMs) throw new Error(`the gateway of ${region} does not come back`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A connection of its own for each, in turn over HTTP and WebSocket. */
function writersIn(
  deployment: TestDeployment,
  regions: readonly string[],
  table: string,
): readonly SteadyWriter[] {
  return regions.map((region, index) => {
    const client = deployment.client(region, index % 2 === 0 ? 'http' : 'ws');
    return new SteadyWriter(client, table, { perSecond, firstId: 1 + index * idsPerWriter });
  });
}

/** To the survivor that holds most: the other one is refused by name. */
async function failOver(deployment: TestDeployment, survivors: readonly string[]): Promise<string> {
  let refused = '';
  // A survivor that does not know yet what it holds, or was just lost, is asked again.
  for (let tries = 0; tries < 10; tries += 1) {
    const target = survivors[tries % survivors.length] ?? '';
    const result = await deployment.cli(['failover', '--to', target, '--allow-data-loss']);
    if (result.code === 0) return target;
    refused = result.stderr;
  }
  throw new Error(`no survivor could take over: ${refused}`);
}

const missing = (ids: readonly number[], there: ReadonlySet<number>): readonly number[] =>
  ids.filter((id) => !there.has(id));

/** The time of single-row writes in milliseconds, from a number of connections at once. */
async function writeTimes(clients: readonly Client[], forMs: number): Promise<readonly number[]> {
  const until = performance.now() + forMs;
  const took: number[] = [];
  const write = async (client: Client): Promise<void> => {
    while (performance.now() < until) {
      const from = performance.now();
      await client.execute("INSERT INTO cost (text) VALUES ('a row of some thirty characters')");
      took.push(performance.now() - from);
    }
  };
  await Promise.all(clients.map(write));
  return took.sort((a, b) => a - b);
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;

/** What an RPO of 0 costs: turns with and without it, beside each other. */
async function measureCost(deployment: TestDeployment, turns: number): Promise<void> {
  const { primary } = await deployment.settled(120_000);
  const region = primary ?? '';
  await deployment.client(region).execute('CREATE TABLE cost (id INTEGER PRIMARY KEY, text TEXT)');
  for (const connections of [1, 16]) {
    const clients = Array.from({ length: connections }, () => deployment.client(region, 'ws'));
    const times: Record<'off' | '0', number[]> = { off: [], '0': [] };
    await writeTimes(clients, 1_000);
    for (let turn = 0; turn < turns; turn += 1) {
      const rpo = turn % 2 === 0 ? 'off' : '0';
      await deployment.run('policy', '--rpo-ms', rpo);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      times[rpo].push(...(await writeTimes(clients, 4_000)));
    }
    const [off, zero] = [times.off.sort((a, b) => a - b), times['0'].sort((a, b) => a - b)];
    const row = (name: string, q: number): string => {
      const [without, with_] = [quantile(off, q), quantile(zero, q)];
      return `${name} ${without.toFixed(1)} ms off, ${with_.toFixed(1)} ms at 0: ${(with_ / without).toFixed(2)} times`;
    };
    console.log(
      `${connections} connections: ${row('p50', 0.5)}; ${row('p99', 0.99)}; writes ${off.length} and ${zero.length}`,
    );
  }
}

const usage = `node test/system/rpo-rounds.ts [--rounds 20] [--rpo-ms 0|off] [--turns 6] [--base-port 20000]
  --rounds   losses of the primary region
  --rpo-ms   the policy under which they happen; with off rows may be lost, which shows that this would see it
  --turns    turns of the measurement of what it costs; 0 for none`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20' },
      'rpo-ms': { type: 'string', default: '0' },
      turns: { type: 'string', default: '6' },
      'base-port': { type: 'string', default: '20000' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(usage);
  const deployment = await TestDeployment.start({
    regions: rpoRegions,
    basePort: Number(values['base-port']),
  });
  let [lost, acknowledged] = [0, 0];
  try {
    if (Number(values.turns) > 0) await measureCost(deployment, Number(values.turns));
    await deployment.run('policy', '--rpo-ms', values['rpo-ms']);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      const account = await loseRegion(deployment, round);
      lost += account.lost.length;
      acknowledged += account.acknowledged;
      console.log(
        `round ${round}: ${account.killed} lost, ${account.target} took over; ${account.acknowledged} acknowledged, ` +
          `${account.lost.length} of them lost; failed ${JSON.stringify(account.failed)}`,
      );
    }
  } finally {
    await deployment.stop();
  }
  console.log(`${acknowledged} acknowledged, ${lost} of them lost`);
  process.exitCode = lost === 0 ? 0 : 1;
}

if (import.meta.main) await main();
