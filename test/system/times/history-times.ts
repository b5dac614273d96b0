/**
 * How long the acts of history take, and that they do not grow with the database: `node test/system/times/history-times.ts
 * [--mebibytes 10,100,1024] [--rounds N] [--age-seconds N]`. For each size: a branch of now, a branch of an earlier time, the first
 * row that a client reads through each, and a rewind to an earlier place and forward again.
 * Over HTTP, as the console asks; the command line adds the start of its process.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Client, createClient } from '@libsql/client';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';

const region = 'us-east-1';
const help =
  'usage: node test/system/times/history-times.ts [--mebibytes A,B,…] [--rounds N] [--age-seconds N]\n' +
  '  --mebibytes A,B,…   sizes of the database, one after the other (10,100,1024)\n' +
  '  --rounds N          of each act at each size (9)\n' +
  '  --age-seconds N     how far back branches and rewinds go (20)\n';
const mebibyte = 2 ** 20;
const rowBytes = 4_000;
const rowsAtOnce = 500;
const moveMs = 60_000;
/** Between two acts: a gateway has its threads in reserve again, and nothing of the last branch is left. */
const restMs = 1_500;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    mebibytes: { type: 'string', default: '10,100,1024' },
    rounds: { type: 'string', default: '9' },
    'age-seconds': { type: 'string', default: '20' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const rounds = Number(values.rounds);
const ageMs = Number(values['age-seconds']) * 1_000;

const rewindSchema = z.object({ id: z.string(), state: z.string() });
type Act =
  | 'branch of now'
  | 'its first row'
  | 'branch of then'
  | 'its first row, of then'
  | 'rewind'
  | 'forward again';

const deployment = await TestDeployment.start({ regions: [region, 'eu-west-1'] });
try {
  const client = deployment.client(region, 'ws');
  await client.execute('CREATE TABLE filler (id INTEGER PRIMARY KEY, data BLOB)');
  await client.execute('CREATE TABLE acts (id INTEGER PRIMARY KEY, text TEXT)');
  for (const size of values.mebibytes.split(',')) {
    const bytes = await fill(client, Number(size));
    const times = await timesOf(client);
    console.log(`\n${Math.round(bytes / mebibyte)} MiB`);
    for (const [act, all] of times) console.log(`  ${act.padEnd(24)}${summary(all)}`);
  }
} finally {
  await deployment.stop();
}

async function fill(client: Client, mebibytes: number): Promise<number> {
  for (;;) {
    const { rows } = await client.execute(
      'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
    );
    const bytes = Number(rows[0]?.bytes);
    if (bytes >= mebibytes * mebibyte) return bytes;
    await client.execute(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rowsAtOnce})
       INSERT INTO filler (data) SELECT randomblob(${rowBytes}) FROM n`,
    );
  }
}

async function timesOf(client: Client): Promise<ReadonlyMap<Act, readonly number[]>> {
  const times = new Map<Act, number[]>();
  const timed = async <T>(act: Act, run: () => Promise<T>): Promise<T> => {
    const fromMs = performance.now();
    const value = await run();
    const all = times.get(act) ?? [];
    times.set(act, all);
    all.push(performance.now() - fromMs);
    return value;
  };
  const branchAndRead = async (name: string, act: Act, read: Act, at?: string): Promise<void> => {
    const made = await timed(act, () =>
      ask('POST', '/v1/branches', { name, ...(at !== undefined && { at }) }),
    );
    const { url } = z.object({ url: z.string() }).parse(made);
    const branch = createClient({ url });
    await timed(read, () => branch.execute('SELECT count(*) FROM acts'));
    branch.close();
    await ask('DELETE', `/v1/branches/${name}`);
    await sleep(restMs);
  };
  await client.execute("INSERT INTO acts (text) VALUES ('then')");
  const then = new Date();
  await sleep(ageMs);
  for (let round = 1; round <= rounds; round += 1) {
    await client.execute("INSERT INTO acts (text) VALUES ('now')");
    await branchAndRead(`now-${round}`, 'branch of now', 'its first row');
    await branchAndRead(`then-${round}`, 'branch of then', 'its first row, of then', then.toISOString());
  }
  for (let round = 1; round <= rounds; round += 1) {
    const { rows } = await client.execute('PRAGMA sextant_position');
    const place = String(rows[0]?.[0]);
    await client.execute("INSERT INTO acts (text) VALUES ('left')");
    const left = await timed('rewind', () => rewind(place.split(' ')[0] ?? ''));
    await timed('forward again', () => rewind(left));
    await sleep(restMs);
  }
  return times;
}

/** @returns the place that it left. */
async function rewind(to: string): Promise<string> {
  const begun = rewindSchema.parse(await ask('POST', '/v1/rewind', { to }));
  for (const deadline = performance.now() + moveMs; performance.now() < deadline; await sleep(2)) {
    const seen = z
      .object({ state: z.string(), left: z.object({ epoch: z.int(), lsn: z.int() }).nullish() })
      .parse(await ask('GET', `/v1/rewinds/${begun.id}`));
    if (seen.state === 'done' && seen.left) return `${seen.left.epoch}:${seen.left.lsn}`;
    if (seen.state === 'failed') throw new Error(`a rewind to ${to} failed: ${JSON.stringify(seen)}`);
  }
  throw new Error(`a rewind to ${to} was not over within ${moveMs} ms`);
}

async function ask(method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${deployment.url(region).replace(/\/$/, '')}${path}`, {
    method,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    }),
  });
  const told: unknown = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(told)}`);
  return told;
}

function summary(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string => `${(sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(0)} ms`;
  return `median ${at(0.5)}, least ${at(0)}, most ${(sorted.at(-1) ?? 0).toFixed(0)} ms`;
}
