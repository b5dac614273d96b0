/**
 * Checks what real clients see while gateways are killed and the primary moves: `node test/system/history-check.ts [--seconds N]
 * [--clients N] [--gateways N] [--branches N] [--base-port N]`. Clients append to lists, set registers and transfer between accounts,
 * on `main` and on branches, through all gateways of two regions, each at its own consistency, and read what others wrote. Every few
 * seconds the gateway that writes is killed, or the primary is switched over to the other region, in turn. At the end the histories
 * are judged by the rules of `history/history.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import {
  allHistories,
  finalIds,
  historyAt,
  type Journal,
  lists,
  schema,
  send,
  work,
} from './history/client.ts';
import { accounts, balanceAtStart, type Fate, judge, levels } from './history/history.ts';
import { TestDeployment } from './local-deployment.ts';

const regions = ['us-east-1', 'eu-west-1'];
const help =
  'usage: node test/system/history-check.ts [--seconds N] [--clients N] [--gateways N] [--branches N] [--base-port N]\n' +
  '  --seconds N   how long clients work (30)      --clients N    how many of them at each place (8)\n' +
  '  --gateways N  gateways of each region (2)     --branches N   places beside main (1)\n' +
  '  --base-port N where the deployment listens\n';
const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '30' },
    clients: { type: 'string', default: '8' },
    gateways: { type: 'string', default: '2' },
    branches: { type: 'string', default: '1' },
    'base-port': { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

/** From one act to the next; after so many kills comes a move. */
const actEveryMs = 5_000;
const killsToMove = 2;
const places = ['main', ...Array.from({ length: Number(values.branches) }, (_, at) => `side-${at + 1}`)];

const endpointsSchema = z.object({
  writer: z.object({ region: z.string(), gateway: z.string() }).nullable(),
});

/** The gateway that writes, as one of them says. */
async function writerOf(gateways: readonly string[]): Promise<z.infer<typeof endpointsSchema>['writer']> {
  for (const gateway of gateways) {
    const answer = await fetch(`http://${gateway}/v1/endpoints`)
      .then((each) => each.json())
      .catch(() => null);
    const told = endpointsSchema.safeParse(answer);
    if (told.success && told.data.writer !== null) return told.data.writer;
  }
  return null;
}

/** Repeats until it is answered. @throws Error with the last answer after a minute. */
async function insist(gateway: string, place: string, statement: string): Promise<void> {
  let last = '';
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(200)) {
    const reply = await send(gateway, place, { statement });
    if (reply.kind === 'rows') return;
    last = reply.code;
  }
  throw new Error(`${gateway} does not run \`${statement}\` on ${place}: ${last}`);
}

async function prepare(deployment: TestDeployment, gateways: readonly string[]): Promise<void> {
  const [first = ''] = gateways;
  for (const statement of schema) await insist(first, 'main', statement);
  for (let key = 0; key < lists; key++)
    await insist(first, 'main', `INSERT INTO lists VALUES (${key}, '', 0, 0)`);
  for (let id = 0; id < accounts; id++)
    await insist(first, 'main', `INSERT INTO accounts VALUES (${id}, ${balanceAtStart})`);
  for (const branch of places.slice(1)) await deployment.run('branch', 'create', branch);
  await deployment.settled(90_000);
  for (const gateway of gateways)
    for (const place of places) await insist(gateway, place, 'SELECT 1 FROM lists');
  // A gateway counts signs of the writer once its connection to NATS is two seconds old.
  await sleep(2_500);
}

/** Kills writers and moves the primary until the time is nearly up. @returns how often each was done. */
async function disturb(
  deployment: TestDeployment,
  gateways: readonly string[],
  until: number,
): Promise<{ readonly kills: number; readonly moves: number; readonly refused: readonly string[] }> {
  let [kills, moves] = [0, 0];
  const refused: string[] = [];
  while (performance.now() < until - actEveryMs) {
    await sleep(actEveryMs);
    const writer = await writerOf(gateways);
    if (writer === null) continue;
    if (kills < killsToMove * (moves + refused.length + 1)) {
      const killed = await deployment.signal(`${writer.region}/${writer.gateway}`, 'SIGKILL').then(
        () => true,
        () => false,
      );
      if (killed) kills += 1;
      continue;
    }
    const to = regions.find((region) => region !== writer.region) ?? '';
    const move = await deployment.cli(['switchover', '--to', to]);
    if (move.code === 0) moves += 1;
    else refused.push(move.stderr.trim().slice(0, 200));
  }
  return { kills, moves, refused };
}

const deployment = await TestDeployment.start({
  regions,
  flags: ['--gateways', values.gateways],
  ...(values['base-port'] !== undefined && { basePort: Number(values['base-port']) }),
});
let code = 1;
try {
  const names = Array.from({ length: Number(values.gateways) }, (_, index) => `g${index + 1}`);
  const gateways = regions.flatMap((region) => names.map((name) => deployment.gateway(region, name)));
  await prepare(deployment, gateways);
  const journal: Journal = { writes: [], reads: [], codes: new Map(), nextId: 1 };
  const until = performance.now() + Number(values.seconds) * 1_000;
  const clients = places.flatMap((place, nth) =>
    Array.from({ length: Number(values.clients) }, (_, at) => {
      const level = levels[at % levels.length] ?? 'session';
      return work(journal, nth * Number(values.clients) + at, { level, place, gateways }, until);
    }),
  );
  const done = await disturb(deployment, gateways, until);
  await Promise.all(clients);
  const final = new Map<string, readonly number[]>();
  for (const place of places)
    for (const number of allHistories)
      final.set(historyAt(place, number), await finalIds(gateways, place, number));
  const { writes, reads } = journal;
  const found = [...judge({ writes, reads, final })];
  for (const place of places)
    for (const level of levels)
      if (!reads.some((read) => read.level === level && read.history.startsWith(`${place}/`)))
        found.push(`nobody read ${place} at level ${level}: nothing was checked`);
  if (done.moves === 0 && Number(values.seconds) > (killsToMove + 2) * (actEveryMs / 1_000))
    found.push(`the primary never moved: ${done.refused.join('; ')}`);
  const of = (fate: Fate): number => writes.filter((write) => write.fate === fate).length;
  console.log(
    `${reads.length} reads, ${writes.length} writes (${of('acknowledged')} acknowledged, ${of('unknown')} unknown, ${of('failed')} failed), ` +
      `${writes.filter(({ transfer }) => transfer !== undefined).length} of them transfers; ${done.kills} kills of the writer, ` +
      `${done.moves} moves (${done.refused.length} refused); errors ${JSON.stringify(Object.fromEntries(journal.codes))}`,
  );
  for (const place of places)
    console.log(
      `${place}: ${levels.map((level) => `${level} ${reads.filter((read) => read.level === level && read.history.startsWith(`${place}/`)).length} reads`).join(', ')}`,
    );
  for (const reason of done.refused) console.log(`a move was refused: ${reason}`);
  console.log(found.length === 0 ? 'no violation' : [...new Set(found)].slice(0, 20).join('\n'));
  code = found.length === 0 ? 0 : 1;
} finally {
  await deployment.stop();
}
process.exit(code);
