/**
 * Many planned moves in a row under a load in every region: `node test/system/times/switchovers.ts [--count N] [--load N] [--regions a,b,c]`.
 * No request may fail, and after each move every region has to hold the same rows. Says how long writes paused. A thousand take
 * about half an hour.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from '@libsql/client';
import { type Operation, operationSchema } from '../../../regions/moves/core/operations.ts';
import { TestDeployment } from '../local-deployment.ts';
import { SteadyWriter } from '../steady-writer.ts';

const help =
  'usage: node test/system/times/switchovers.ts [--count N] [--load N] [--regions a,b,c]\n' +
  '  --count N   switchovers (1000)     --load N   writes a second in each region (20)\n';
/** Ids of two writers never meet. */
const idsApart = 10_000_000;
const equalMs = 20_000;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    count: { type: 'string', default: '1000' },
    load: { type: 'string', default: '20' },
    regions: { type: 'string', default: 'us-east-1,eu-west-1,ap-northeast-1' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const regions = values.regions.split(',');
const count = Number(values.count);
const moveMs = 60_000;

const deployment = await TestDeployment.start({ regions });
const problems: string[] = [];
const pauses: number[] = [];
try {
  const [first = ''] = regions;
  await deployment.client(first).execute('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  await deployment.settled();
  const clients = regions.map((region) => deployment.client(region, 'ws'));
  const readers = new Map(regions.map((region) => [region, deployment.client(region)]));
  const writers = clients.map(
    (client, at) =>
      new SteadyWriter(client, 't', { perSecond: Number(values.load), firstId: at * idsApart + 1 }),
  );
  for (let move = 1; move <= count; move++) {
    const target = regions[move % regions.length] ?? first;
    await deployment.until(
      'every region ready',
      (status) => status.state === 'stable' && status.regions.every(({ ready }) => ready),
      60_000,
    );
    try {
      pauses.push(await switchover(target));
    } catch (error) {
      problem(`move ${move} to ${target}: ${error instanceof Error ? error.message : String(error)}`);
    }
    const difference = await differenceAt(move, readers);
    if (difference !== null) problem(difference);
    if (move % 20 === 0 || move === count)
      console.log(`${move} of ${count}; pause ${summary(pauses)}; ${problems.length} problems`);
  }
  const accounts = await Promise.all(writers.map((writer) => writer.stop()));
  for (const [at, { failed }] of accounts.entries())
    for (const { id, code } of failed.slice(0, 20)) problem(`${regions[at]}: write ${id} failed: ${code}`);
  const acknowledged = accounts.reduce((sum, account) => sum + account.acknowledged.length, 0);
  const failures = accounts.reduce((sum, account) => sum + account.failed.length, 0);
  console.log(`${acknowledged} writes acknowledged, ${failures} failed`);
} finally {
  await deployment.stop();
}
process.exit(problems.length === 0 ? 0 : 1);

/** Told at once: who waits for a thousand moves wants to know of the third. */
function problem(text: string): void {
  problems.push(text);
  console.error(text);
}

/** As the command does, without a process for it: a thousand of those are half of the load. @returns for how long writes paused */
async function switchover(target: string): Promise<number> {
  const begun = await answerOf('POST', '/v1/switchover', { target });
  for (const deadline = performance.now() + moveMs; performance.now() < deadline; await sleep(20)) {
    const { state, result, error } = await answerOf('GET', `/v1/operations/${begun.id}`);
    if (state === 'failed') throw new Error(`${error?.code}: ${error?.message}`);
    if (state === 'done') return result?.pauseMs ?? Number.NaN;
  }
  throw new Error(`not over within ${moveMs} ms`);
}

async function answerOf(method: string, path: string, body?: object): Promise<Operation> {
  const answer = await fetch(`${deployment.url(regions[0] ?? '')}${path}`, {
    method,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
  return operationSchema.parse(JSON.parse(text));
}

/** What the regions hold at one moment: rows up to those that the primary has now, compared once they have arrived. */
async function differenceAt(move: number, readers: ReadonlyMap<string, Client>): Promise<string | null> {
  const { primary } = await deployment.status();
  const sql = 'SELECT count(*) AS n, coalesce(sum(id), 0) AS ids FROM t WHERE id % ? <= ?';
  const bounds = await readers
    .get(primary ?? '')
    ?.execute(`SELECT coalesce(max(id % ${idsApart}), 0) AS at FROM t`);
  // Rows well below the newest ones are in no flight any more.
  const args = [idsApart, Math.max(0, Number(bounds?.rows[0]?.at ?? 0) - 200)];
  const deadline = performance.now() + equalMs;
  for (;;) {
    const found = await Promise.all(
      [...readers.values()].map(async (reader) => JSON.stringify((await reader.execute({ sql, args })).rows)),
    );
    if (new Set(found).size === 1) return null;
    if (performance.now() > deadline) return `after move ${move} the regions differ: ${found.join(' ')}`;
    await sleep(200);
  }
}

function summary(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string => `${Math.round(sorted[Math.floor(sorted.length * share)] ?? 0)} ms`;
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, most ${Math.round(sorted.at(-1) ?? 0)} ms`;
}
