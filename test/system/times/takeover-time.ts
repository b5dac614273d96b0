/**
 * How long nobody can write when the gateway that writes is lost and its region has others, and whether anything acknowledged
 * is: `node test/system/times/takeover-time.ts [--rounds N] [--freeze] [--gateways N] [--load N] [--base-port N]`. A round is from
 * `kill -9` (or SIGSTOP) of the writer to the next acknowledged write, through a gateway that is left and through the endpoint
 * of the writer. A frozen writer is thawed when another one writes; what it is sent meanwhile must not be acknowledged by it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const region = 'us-east-1';
const help =
  'usage: node test/system/times/takeover-time.ts [--rounds N] [--freeze] [--gateways N] [--load N] [--base-port N]\n' +
  '  --rounds N     how often the writer is lost (10)     --freeze     SIGSTOP instead of SIGKILL, thawed later\n' +
  '  --gateways N   gateways of the region (2)            --load N     writes a second in all (100)\n' +
  '  --base-port N  where the deployment listens\n';
/** Ids of two writers never meet. */
const idsApart = 10_000_000;

const endpointsSchema = z.object({
  epoch: z.int(),
  writer: z.object({ gateway: z.string() }).nullable(),
  gateways: z.array(z.object({ gateway: z.string(), ready: z.boolean() })),
});

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '10' },
    freeze: { type: 'boolean', default: false },
    gateways: { type: 'string', default: '2' },
    load: { type: 'string', default: '100' },
    'base-port': { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const names = Array.from({ length: Number(values.gateways) }, (_, index) => `g${index + 1}`);

async function endpointsOf(
  deployment: TestDeployment,
  ask: string,
): Promise<z.infer<typeof endpointsSchema>> {
  const answer = await fetch(`http://${deployment.gateway(region, ask)}/v1/endpoints`);
  return endpointsSchema.parse(await answer.json());
}

/** Every gateway is ready again, and one writes. @returns its name. */
async function settled(deployment: TestDeployment): Promise<string> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(50)) {
    for (const name of names) {
      const seen = await endpointsOf(deployment, name).catch(() => null);
      const ready = seen?.gateways.filter((gateway) => gateway.ready).length;
      if (ready === names.length && seen?.writer) return seen.writer.gateway;
    }
  }
  throw new Error('the gateways were not all ready within 60 s');
}

interface Round {
  readonly tookMs: number;
  readonly throughEndpointMs: number;
}

async function runRound(deployment: TestDeployment, round: number): Promise<Round> {
  const lost = await settled(deployment);
  const left = names.find((name) => name !== lost) ?? '';
  // A connection to NATS counts as settled after two seconds.
  await sleep(2_500);
  const writers = [deployment.gateway(region, left), deployment.endpoint(region, 'writer')].map(
    (address, at) =>
      new SteadyWriter(deployment.clientAt(address), 't', {
        perSecond: Number(values.load) / 2,
        firstId: (2 * round + at + 1) * idsApart,
      }),
  );
  await Promise.all(writers.map((writer) => writer.acknowledges(20)));
  const stranded: Promise<string>[] = [];
  await deployment.signal(`${region}/${lost}`, values.freeze ? 'SIGSTOP' : 'SIGKILL');
  const sinceMs = performance.now();
  if (values.freeze) {
    const direct = deployment.clientAt(deployment.gateway(region, lost));
    for (const id of [1, 2, 3]) {
      const statement = { sql: 'INSERT INTO t VALUES (?, ?)', args: [-(round * 10 + id), 'stranded'] };
      stranded.push(
        direct.execute(statement).then(
          () => 'acknowledged',
          (error: unknown) => String(error),
        ),
      );
    }
  }
  const times = await Promise.all(
    writers.map(async (writer) => {
      await writer.nextAcknowledgement(20_000);
      return performance.now() - sinceMs;
    }),
  );
  if (values.freeze) await deployment.signal(`${region}/${lost}`, 'SIGCONT');
  const told = await Promise.all(stranded);
  await sleep(500);
  const accounts = await Promise.all(writers.map((writer) => writer.stop()));
  await settled(deployment);
  const here = await idsIn(deployment.clientAt(deployment.gateway(region, left)), 't');
  const acknowledged = accounts.flatMap((account) => account.acknowledged);
  const missing = acknowledged.filter((id) => !here.has(id));
  const ghosts = told.filter((said, at) => said === 'acknowledged' && !here.has(-(round * 10 + at + 1)));
  const failed = accounts.flatMap((account) => account.failed.map(({ code }) => code));
  const [tookMs = 0, throughEndpointMs = 0] = times;
  console.log(
    `${lost} lost: next write after ${Math.round(tookMs)} ms through ${left}, ${Math.round(throughEndpointMs)} ms through the endpoint; ` +
      `${acknowledged.length} acknowledged, ${missing.length} missing, ${failed.length} failed ${JSON.stringify([...new Set(failed)])}` +
      (values.freeze ? `; sent to the frozen one: ${told.map((said) => said.slice(0, 40)).join(' | ')}` : ''),
  );
  if (missing.length + ghosts.length > 0) throw new Error('an acknowledged write is missing');
  return { tookMs, throughEndpointMs };
}

const deployment = await TestDeployment.start({
  regions: [region],
  flags: ['--gateways', values.gateways],
  ...(values['base-port'] !== undefined && { basePort: Number(values['base-port']) }),
});
let failed = false;
const rounds: Round[] = [];
try {
  await deployment
    .clientAt(deployment.gateway(region))
    .execute('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
  for (let round = 0; round < Number(values.rounds); round++) rounds.push(await runRound(deployment, round));
} catch (error) {
  failed = true;
  console.error(error);
} finally {
  await deployment.stop();
}
const shown = (of: (round: Round) => number): string => {
  const times = rounds.map((round) => Math.round(of(round))).sort((a, b) => a - b);
  return `median ${times[Math.floor(times.length / 2)]} ms, least ${times[0]}, most ${times.at(-1)}`;
};
console.log(`${rounds.length} rounds, through a gateway that is left: ${shown(({ tookMs }) => tookMs)}`);
console.log(`through the endpoint of the writer: ${shown(({ throughEndpointMs }) => throughEndpointMs)}`);
process.exit(failed ? 1 : 0);
