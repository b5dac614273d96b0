/**
 * A deployment that is written to for as long as one likes, with a short retention: what its nodes keep on their disks, how long
 * one takes to start, what it costs to fill a node or a region from images, and whether VACUUM gives space back.
 * `node test/system/years-of-writes.ts [--updates N] [--steps updates,wipe,region,vacuum]`. Ten million updates take about
 * half an hour on two cores.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parseBytes } from '../../regions/cli/ask/output.ts';
import { runLoad, startLoad } from '../bench/load/load-client.ts';
import type { LoadPlan, LoadResult } from '../bench/load/plan.ts';
import { schema } from '../bench/load/workload.ts';
import { Histogram } from '../bench/measure/histogram.ts';
import { countUpdates, querySql } from '../bench/systems/system.ts';
import { TestDeployment } from './local-deployment.ts';
import { type NodeFigures, nodeFigures, nodeNames, restartMs, usedBytes } from './node-figures.ts';

const help = `usage: node test/system/years-of-writes.ts [--updates N] [--steps LIST] [--retention-bytes SIZE] [--rate N]
  --updates N             updates of a random row each, on 128 connections (10000000)
  --steps LIST            of updates,wipe,region,vacuum; in this order (all)
  --retention-bytes SIZE  most log that each node keeps (64MiB)
  --rate N                writes a second while a node or a region is filled (2000)
`;
const mebibyte = 2 ** 20;
const clients = 128;
const segmentMs = 30_000;
const calmMs = 20_000;
/** A row fills a quarter of a page, so that updates of random rows change every page of a database of 10 MiB. */
const padBytes = 960;
const fillerRows = 40_000;
const regions = ['us-east-1', 'eu-west-1'];
const [primary = ''] = regions;
const added = 'ap-northeast-1';
/** A node is filled, and what a window has let go is gone from the disks, well within this time. */
const settleMs = 150_000;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    updates: { type: 'string', default: '10000000' },
    steps: { type: 'string', default: 'updates,wipe,region,vacuum' },
    'retention-bytes': { type: 'string', default: '64MiB' },
    rate: { type: 'string', default: '2000' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const steps = values.steps.split(',');
const retention = values['retention-bytes'];
const windowBytes = sizeOf(retention);
const problems: string[] = [];

const flags = ['--retention-bytes', retention, '--retention-hours', '0.02'];
const deployment = await TestDeployment.start({ regions, flags });
const [host = '', port = ''] = deployment.gateway(primary).split(':');
const target = { protocol: 'hrana-ws', host, port: Number(port) } as const;
let seed = 0;
try {
  await querySql(target, schema({ serial: 'INTEGER PRIMARY KEY', text: 'TEXT' }));
  await querySql(target, [`UPDATE bench SET pad = hex(randomblob(${padBytes / 2}))`]);
  const liveBytes = await databaseBytes();
  console.log(`database ${inMebibytes(liveBytes)}, retention ${retention}`);
  if (steps.includes('updates')) await updates(Number(values.updates), liveBytes);
  if (steps.includes('wipe')) await wipe(liveBytes);
  if (steps.includes('region')) await addRegion(liveBytes);
  if (steps.includes('vacuum')) await vacuum();
} finally {
  await deployment.stop();
}
for (const problem of problems) console.error(`PROBLEM: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);

function plan(measureMs: number, perSecond: number | null): LoadPlan {
  seed += 1;
  return {
    target,
    workload: 'update',
    connections: clients,
    streams: 1,
    warmMs: 0,
    measureMs,
    seed,
    perSecond,
  };
}

async function updates(count: number, liveBytes: number): Promise<void> {
  const startMs = await restart('with a log of seconds');
  let done = 0;
  let mostBytes = 0;
  while (done < count) {
    const result = await runLoad(plan(segmentMs, null));
    done += result.acknowledged;
    noteErrors(result);
    const nodes = await nodeFigures(deployment.basePort, 0);
    const most = largest(nodes);
    mostBytes = Math.max(mostBytes, most.logBytes + most.imageBytes);
    console.log(`${done} updates; ${latency(result)}; largest node: ${disk(most)}`);
  }
  const committed = await countUpdates(target);
  if (committed !== done) problems.push(`${done} updates were acknowledged, ${committed} are there`);
  const boundBytes = 3 * liveBytes + 2 * windowBytes;
  if (mostBytes > boundBytes)
    problems.push(`a node took ${inMebibytes(mostBytes)}, more than ${inMebibytes(boundBytes)}`);
  const endMs = await restart(`after ${done} updates`);
  if (endMs > 1.5 * startMs)
    problems.push(`a node starts in ${Math.round(endMs)} ms, at first in ${Math.round(startMs)}`);
}

async function restart(when: string): Promise<number> {
  const times: number[] = [];
  for (let nth = 0; nth < 3; nth++) {
    // A process that ran so long is started again at once.
    await sleep(10_500);
    times.push(
      await restartMs(deployment.basePort, 0, nth, () =>
        deployment.signal(`${primary}/${nodeNames[nth]}`, 'SIGKILL'),
      ),
    );
  }
  const middle = times.sort((a, b) => a - b)[1] ?? 0;
  console.log(`a node killed ${when} is ready after ${times.map((ms) => Math.round(ms)).join(', ')} ms`);
  return middle;
}

/** Runs `act` under a steady load, and prints the latencies of that load before and meanwhile. */
async function beside(what: string, act: () => Promise<void>): Promise<void> {
  const perSecond = Number(values.rate);
  const before = await runLoad(plan(calmMs, perSecond));
  const load = startLoad(plan(600_000, perSecond));
  await load.measuring;
  const startedMs = performance.now();
  await act();
  const tookMs = performance.now() - startedMs;
  load.stop();
  const during = await load.measured;
  await load.finished;
  load.close();
  noteErrors(before);
  noteErrors(during);
  console.log(`${what}: ${Math.round(tookMs)} ms; before ${latency(before)}; meanwhile ${latency(during)}`);
}

/** Before the first log file is full and let go, the log itself is what a node or a region is filled with. */
async function areImagesNeeded(step: string): Promise<boolean> {
  const nodes = await nodeFigures(deployment.basePort, 0);
  if (nodes.some(({ floorLsn }) => floorLsn > 0)) return true;
  problems.push(
    `${step}: nothing of the log has been let go yet, so nothing is filled from images: more --updates`,
  );
  return false;
}

async function wipe(liveBytes: number): Promise<void> {
  if (!(await areImagesNeeded('wipe'))) return;
  await beside('a node wiped and filled again', async () => {
    await deployment.run('node', 'wipe', `${primary}/n2`);
    await filled(0, (node) => node === 'n2');
  });
  await moved('the wiped node', 0, liveBytes, (node) => node === 'n2');
}

async function addRegion(liveBytes: number): Promise<void> {
  if (!(await areImagesNeeded('region'))) return;
  await beside('a region added', () =>
    deployment.cli(['region', 'add', added], 600_000).then(({ code, stderr }) => {
      if (code !== 0) problems.push(`region add: ${stderr}`);
    }),
  );
  await moved('each node of the new region', regions.length, liveBytes, () => true);
}

/** Waits until nodes have been filled from images. */
async function filled(region: number, which: (node: string) => boolean): Promise<void> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const nodes = await nodeFigures(deployment.basePort, region);
    const own = nodes.filter(({ node }) => which(node));
    if (own.length > 0 && own.every(({ refills }) => refills > 0)) return;
    if (performance.now() > deadline) {
      problems.push(`not filled within ${settleMs} ms: ${JSON.stringify(own)}`);
      return;
    }
    await sleep(100);
  }
}

async function moved(
  what: string,
  region: number,
  liveBytes: number,
  which: (node: string) => boolean,
): Promise<void> {
  await sleep(5_000);
  const nodes = (await nodeFigures(deployment.basePort, region)).filter(({ node }) => which(node));
  const most = Math.max(...nodes.map(({ refilledBytes }) => refilledBytes));
  console.log(
    `${what} got ${nodes.map(({ refilledBytes }) => inMebibytes(refilledBytes)).join(', ')} of images`,
  );
  if (most > 1.5 * liveBytes)
    problems.push(`${what} got ${inMebibytes(most)} for ${inMebibytes(liveBytes)} of live data`);
}

async function vacuum(): Promise<void> {
  await querySql(target, ['CREATE TABLE filler (id INTEGER PRIMARY KEY, data BLOB)']);
  const fill = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO filler (data) SELECT randomblob(4000) FROM n`;
  await querySql(
    target,
    Array.from({ length: fillerRows / 1000 }, () => fill),
  );
  await windowPasses();
  const peak = usedBytes(await nodeFigures(deployment.basePort, 0));
  const before = await databaseBytes();
  await querySql(target, [
    'DELETE FROM filler WHERE id % 10 > 0',
    'DELETE FROM bench WHERE id % 10 > 0',
    'VACUUM',
  ]);
  const after = await databaseBytes();
  await windowPasses();
  const left = usedBytes(await nodeFigures(deployment.basePort, 0));
  console.log(
    `database ${inMebibytes(before)}, after DELETE and VACUUM ${inMebibytes(after)}; six nodes ${inMebibytes(peak)}, then ${inMebibytes(left)} (${(left / peak).toFixed(2)})`,
  );
  if (left > 0.25 * peak) problems.push('VACUUM gave back less than three quarters');
}

/** Writes go on, since what is younger than the newest boundary is kept; until sizes stand still. */
async function windowPasses(): Promise<void> {
  let last = Number.POSITIVE_INFINITY;
  for (const until = performance.now() + 2 * settleMs; performance.now() < until; ) {
    await runLoad(plan(calmMs, 200));
    const nodes = await nodeFigures(deployment.basePort, 0);
    const now = usedBytes(nodes);
    console.log(`  six nodes ${inMebibytes(now)}; largest: ${disk(largest(nodes))}`);
    if (Math.abs(now - last) < 0.02 * last && performance.now() > until - settleMs) return;
    last = now;
  }
}

async function databaseBytes(): Promise<number> {
  const sql = 'SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()';
  return Number(await querySql(target, [sql]));
}

function noteErrors({ errors, firstError }: LoadResult): void {
  if (errors > 0) problems.push(`${errors} writes failed: ${firstError}`);
}

function latency(result: LoadResult): string {
  const histogram = Histogram.of([result.latency]);
  const ms = (quantile: number): string => (histogram.quantileUs(quantile) / 1_000).toFixed(1);
  const perSecond = Math.round((result.transactions * 1_000) / result.elapsedMs);
  return `${perSecond}/s, p50 ${ms(0.5)}, p99 ${ms(0.99)} ms`;
}

function largest(nodes: readonly NodeFigures[]): NodeFigures {
  const [most] = [...nodes].sort((a, b) => b.logBytes + b.imageBytes - a.logBytes - a.imageBytes);
  if (most === undefined) throw new Error('no storage node answers');
  return most;
}

function disk({ logBytes, imageBytes, floorLsn }: NodeFigures): string {
  return `log ${inMebibytes(logBytes)}, images ${inMebibytes(imageBytes)}, floor ${floorLsn}`;
}

function sizeOf(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === null) throw new Error(`--retention-bytes ${text}: a size such as 64MiB is wanted`);
  return bytes;
}

function inMebibytes(bytes: number): string {
  return `${(bytes / mebibyte).toFixed(1)} MiB`;
}
