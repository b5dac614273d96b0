/**
 * How long nobody can write when the primary region is lost, as clients of the other regions see it, and whether what is lost
 * is what is reported: `node test/system/times/failover-time.ts [--rounds N] [--load N] [--beside DIR]`. A round is a deployment of
 * three regions under a steady load, from `region kill` of the primary to the first acknowledged write elsewhere, by hand and
 * by policy. `--beside` takes another checkout in turns, by hand.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { TestDeployment } from '../local-deployment.ts';
import { idsIn, SteadyWriter } from '../steady-writer.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'];
const [primary = '', target = ''] = regions;
const help =
  'usage: node test/system/times/failover-time.ts [--rounds N] [--load N] [--beside DIR]\n' +
  '  --rounds N    rounds of each kind (3)      --load N   writes a second in all (100)\n' +
  '  --beside DIR  another checkout, in turns with this one\n';
const steadyMs = 8_000;
/** Ids of two writers never meet. */
const idsApart = 1_000_000;

interface Kind {
  readonly name: string;
  readonly root: string | null;
  readonly automatic: boolean;
}

interface Round {
  /** From the command that kills the region to the first acknowledged write elsewhere. */
  readonly rtoMs: number;
  readonly acknowledged: number;
  /** Acknowledged writes that are in no region any more. */
  readonly missing: number;
  /** Writes whose outcome their client was not told. */
  readonly unknown: number;
  readonly reported: number;
}

const lossesSchema = z.object({
  losses: z.array(z.object({ count: z.int() })),
  unreachable: z.array(z.string()),
  unanswered: z.array(z.unknown()).default([]),
});

async function runRound({ root, automatic }: Kind, load: number): Promise<Round> {
  const deployment = await TestDeployment.start({ regions, ...(root !== null && { root }) });
  try {
    if (automatic) await deployment.run('policy', '--automatic', 'on');
    const client = deployment.client(target);
    await client.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
    await deployment.settled();
    const writers = regions.slice(1).map(
      (region, at) =>
        new SteadyWriter(deployment.client(region), 't', {
          perSecond: load / 2,
          firstId: at * idsApart,
        }),
    );
    // By then the leader of the control stream has left the primary region.
    await sleep(steadyMs);
    const killedAtMs = performance.now();
    await deployment.run('region', 'kill', primary);
    const killTookMs = performance.now() - killedAtMs;
    const acknowledged = Promise.race(writers.map((writer) => writer.nextAcknowledgement(60_000))).then(
      () => performance.now() - killedAtMs - killTookMs,
    );
    const move = automatic ? null : deployment.run('failover', '--to', target, '--allow-data-loss');
    const [rtoMs] = await Promise.all([acknowledged, move]);
    await sleep(1_000);
    const accounts = await Promise.all(writers.map((writer) => writer.stop()));
    await deployment.run('region', 'start', primary);
    await deployment.settled(90_000);
    const reported = await reportedLosses(deployment);
    const here = await idsIn(deployment.client(primary), 't');
    const told = accounts.flatMap((account) => account.acknowledged);
    return {
      rtoMs,
      acknowledged: told.length,
      missing: told.filter((id) => !here.has(id)).length,
      unknown: accounts.flatMap(({ failed }) => failed).filter(({ code }) => code.includes('UNKNOWN')).length,
      reported,
    };
  } finally {
    await deployment.stop();
  }
}

/** What all regions together report, once all of them have looked. */
async function reportedLosses(deployment: TestDeployment): Promise<number> {
  for (;;) {
    const told = await deployment.cli(['losses', '--json']);
    const parsed = lossesSchema.safeParse(told.code === 0 ? JSON.parse(told.stdout) : null);
    if (parsed.success && parsed.data.unreachable.length + parsed.data.unanswered.length === 0)
      return parsed.data.losses.reduce((sum, { count }) => sum + count, 0);
    await sleep(500);
  }
}

/** What is reported is every acknowledged write that is missing, and besides only writes nobody was told of. */
const isHonest = ({ missing, reported, unknown }: Round): boolean =>
  reported >= missing && reported <= missing + unknown;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    load: { type: 'string', default: '100' },
    beside: { type: 'string' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const kinds: readonly Kind[] = [
  { name: 'by hand', root: null, automatic: false },
  { name: 'by policy', root: null, automatic: true },
  ...(values.beside === undefined
    ? []
    : [{ name: 'beside, by hand', root: resolve(values.beside), automatic: false }]),
];
const found = new Map<Kind, Round[]>(kinds.map((kind) => [kind, []]));
let failed = false;
for (let round = 0; round < Number(values.rounds); round++) {
  for (const kind of round % 2 === 0 ? kinds : [...kinds].reverse()) {
    const done = await runRound(kind, Number(values.load));
    found.get(kind)?.push(done);
    failed ||= !isHonest(done);
    console.log(
      `${kind.name}: ${Math.round(done.rtoMs)} ms; ${done.acknowledged} acknowledged, ${done.missing} missing, ` +
        `${done.unknown} unknown, ${done.reported} reported as lost${isHonest(done) ? '' : ' – NOT what is missing'}`,
    );
  }
}
for (const [kind, rounds] of found) {
  const times = rounds.map(({ rtoMs }) => Math.round(rtoMs)).sort((a, b) => a - b);
  console.log(
    `${kind.name}: median ${times[Math.floor(times.length / 2)]} ms, least ${times[0]}, most ${times.at(-1)}`,
  );
}
process.exit(failed ? 1 : 0);
