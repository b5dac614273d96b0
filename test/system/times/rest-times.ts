/**
 * How long the first request to a database that rests takes: `node test/system/times/rest-times.ts [--rounds N] [--branches N]`.
 * Branches rest after a minute (main after a quarter of an hour, by the same code); in each round all of them do, and are woken one
 * after the other, in turn by a read and by a write.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Client, createClient } from '@libsql/client';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';

const region = 'us-east-1';
const help =
  'usage: node test/system/times/rest-times.ts [--rounds N] [--branches N]\n' +
  '  --rounds N     how often each branch is woken (4)\n' +
  '  --branches N   at most 8, which is `openBranches` (8)\n';
const rows = 2_000;
/** Well above `branchIdleMs`, which is 60 s. */
const restWithinMs = 120_000;
/** Between two wakings, so that a gateway has its threads in reserve again. */
const apartMs = 1_500;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '4' },
    branches: { type: 'string', default: '8' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

interface RestingBranch {
  readonly name: string;
  readonly client: Client;
}

const deployment = await TestDeployment.start({ regions: [region] });
try {
  const branches: RestingBranch[] = [];
  for (let at = 1; at <= Number(values.branches); at += 1) branches.push(await makeBranch(`rest-${at}`));
  const reads: number[] = [];
  const writes: number[] = [];
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    await allAtRest(branches);
    for (const [at, { client }] of branches.entries()) {
      const isRead = (at + round) % 2 === 0;
      const fromMs = performance.now();
      if (isRead) await client.execute('SELECT count(*), sum(length(text)) FROM t WHERE id < 50');
      else await client.execute('UPDATE t SET text = text || 1 WHERE id = 7');
      (isRead ? reads : writes).push(performance.now() - fromMs);
      await sleep(apartMs);
    }
    console.log(`round ${round}: first read ${summary(reads)}; first write ${summary(writes)}`);
  }
} finally {
  await deployment.stop();
}

async function makeBranch(name: string): Promise<RestingBranch> {
  const made = await fetch(`${deployment.url(region)}/v1/branches`, {
    method: 'POST',
    body: JSON.stringify({ name }),
    headers: { 'content-type': 'application/json' },
  });
  const { url } = z.object({ url: z.string() }).parse(await made.json());
  const client = createClient({ url });
  await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  await client.execute(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
     INSERT INTO t SELECT i, hex(randomblob(200)) FROM n`,
  );
  return { name, client };
}

/** Resolves once the gateway has given the engines of every branch back. */
async function allAtRest(branches: readonly RestingBranch[]): Promise<void> {
  const deadline = performance.now() + restWithinMs;
  for (; performance.now() < deadline; await sleep(1_000)) {
    const awake = (await deployment.samples()).filter(
      ({ name, labels, value }) =>
        name === 'sextant_database_awake' &&
        value === 1 &&
        branches.some((branch) => labels.db_namespace?.endsWith(`|${branch.name}`)),
    );
    if (awake.length === 0) return;
  }
  throw new Error(`a branch was still awake after ${restWithinMs} ms`);
}

function summary(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string => `${Math.round(sorted[Math.floor(sorted.length * share)] ?? 0)} ms`;
  return `median ${at(0.5)}, most ${Math.round(sorted.at(-1) ?? 0)} ms of ${sorted.length}`;
}
