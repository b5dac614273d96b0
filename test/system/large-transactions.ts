/**
 * Transactions of many sizes through a real deployment: each has to arrive in every region, byte for byte, and to leave the
 * writer's reign alone; at rest, beside a steady writer, and with an agent killed in the middle. One deployment for each number
 * of regions and each circumstance, since the log keeps every byte six times a region. Every circumstance begins with an empty
 * deployment: what an earlier run, or an earlier circumstance, has left counts for nothing. What one takes is told while it lasts.
 *
 * node test/system/large-transactions.ts [--regions 2,6] [--sizes 1,1M,9M,64M,250M] [--modes rest,load,kill-primary,kill-secondary]
 *                                        [--base-port 20000] [--minutes 10]
 * node test/system/large-transactions.ts --regions 3 --sizes 250M --modes rest     the largest alone, two secondaries
 */
import { parseArgs } from 'node:util';
import type { Client } from '@libsql/client';
import { TestDeployment } from './local-deployment.ts';
import { idsIn, SteadyWriter } from './steady-writer.ts';

const regionNames = ['us', 'eu', 'ap', 'sa', 'af', 'oc'] as const;
const modeNames = ['rest', 'load', 'kill-primary', 'kill-secondary'] as const;
type Mode = (typeof modeNames)[number];

const usage = `node test/system/large-transactions.ts [--regions 2,6] [--sizes 1,1M,9M,64M,250M]
       [--modes ${modeNames.join(',')}] [--base-port 20000]
       [--minutes 10]   that all regions may take to be level after one transaction
Regions count the primary: --regions 3 --sizes 250M --modes rest is the largest transaction alone, to two secondaries.
Each number of regions and each mode has a deployment of its own; one that fails is told, and the next begins.`;

const KiB = 1024;
const units: Readonly<Record<string, number>> = { '': 1, K: KiB, M: KiB * KiB };
/** Beside a large transaction only little is written: what is asked is whether it goes on. */
const writesPerSecond = 10;

interface Choices {
  readonly regions: readonly number[];
  readonly sizes: readonly number[];
  readonly modes: readonly Mode[];
  readonly basePort: number;
  /** How long all regions may take to be level after one transaction. */
  readonly levelMs: number;
}

function choicesOf(args: readonly string[]): Choices {
  const { values } = parseArgs({
    args: [...args],
    options: {
      regions: { type: 'string', default: '2,6' },
      sizes: { type: 'string', default: '1,1M,9M,64M,250M' },
      modes: { type: 'string', default: modeNames.join(',') },
      'base-port': { type: 'string', default: '20000' },
      minutes: { type: 'string', default: '10' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    process.exit(0);
  }
  const list = (text: string): readonly string[] => text.split(',');
  return {
    regions: list(values.regions).map((text) => numberIn(text, 2, regionNames.length)),
    sizes: list(values.sizes).map(bytesOf),
    modes: list(values.modes).map((text) => {
      const mode = modeNames.find((name) => name === text);
      if (mode === undefined) throw new Error(`--modes: ${text} is none of ${modeNames.join(', ')}`);
      return mode;
    }),
    basePort: numberIn(values['base-port'], 1_024, 60_000),
    levelMs: 60_000 * numberIn(values.minutes, 1, 120),
  };
}

function numberIn(text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${text} is no whole number from ${min} to ${max}`);
}

function bytesOf(text: string): number {
  const found = /^(\d+)([KM]?)$/.exec(text);
  const unit = units[found?.[2] ?? ''];
  if (found === null || unit === undefined)
    throw new Error(`--sizes: ${text} is no size such as 512, 4K or 9M`);
  return Number(found[1]) * unit;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** So often it is told how far a transaction has come. */
const toldEveryMs = 15_000;

/** Tells where every region is until it is ended: a transaction becomes durable somewhere all at once, after what may be minutes. */
function tellProgress(deployment: TestDeployment): () => void {
  const startMs = performance.now();
  const tell = async (): Promise<void> => {
    const after = seconds(performance.now() - startMs);
    const status = await deployment.status().catch(() => null);
    const places = status?.regions.map(
      ({ name, vdl, lagBytes, stalledMs = 0 }) =>
        `${name} ${vdl ?? 'unknown'}${lagBytes ? ` lacks ${(lagBytes / KiB / KiB).toFixed(1)} MiB` : ''}${stalledMs > 0 ? ` stands still for ${seconds(stalledMs)}` : ''}`,
    );
    console.log(`    ${after}: ${places?.join(', ') ?? 'nobody says where the regions are'}`);
  };
  const ticker = setInterval(() => void tell(), toldEveryMs);
  return () => clearInterval(ticker);
}

/** A transaction is made of rows of at most this size, of which any can be read without the others. */
const rowBytesMax = 64 * KiB;

/** One transaction that writes `bytes`. */
function insertOf(id: number, bytes: number): string {
  const rows = Math.ceil(bytes / rowBytesMax);
  const last = bytes - (rows - 1) * rowBytesMax;
  return `WITH RECURSIVE n(part) AS (SELECT 1 UNION ALL SELECT part + 1 FROM n WHERE part < ${rows})
    INSERT INTO large SELECT ${id}, part, randomblob(iif(part < ${rows}, ${rowBytesMax}, ${last})) FROM n`;
}

/** What a region holds of one transaction: its number of rows, and bytes of the first, the last and three between. */
async function fingerprint(client: Client, id: number, bytes: number): Promise<string> {
  const rows = Math.ceil(bytes / rowBytesMax);
  const parts = [...new Set([0, 1, 2, 3, 4].map((quarter) => 1 + Math.floor(((rows - 1) * quarter) / 4)))];
  const read = parts.map(
    (part) => `(SELECT length(d) || hex(substr(d, -16)) FROM large WHERE id = ${id} AND part = ${part})`,
  );
  const counted = `SELECT count(*), ${read.join(', ')} FROM large WHERE id = ${id}`;
  const { rows: found } = await client.execute(counted);
  return Object.values(found[0] ?? {}).join(' ');
}

/** Runs one size; @returns what went wrong. */
async function transact(
  deployment: TestDeployment,
  mode: Mode,
  id: number,
  bytes: number,
  levelMs: number,
): Promise<readonly string[]> {
  const [primary, secondary] = deployment.regions;
  if (primary === undefined || secondary === undefined) throw new Error('two regions at least');
  const client = deployment.client(primary);
  const { epoch } = await deployment.status();
  const wrong: string[] = [];
  const startMs = performance.now();
  const endTelling = tellProgress(deployment);
  const commit = client.execute(insertOf(id, bytes)).then(
    () => null,
    (error: unknown) => String(error),
  );
  if (mode === 'kill-primary') await deployment.killAgent(primary);
  const failure = await commit;
  const committedMs = performance.now();
  if (failure !== null) wrong.push(failure);
  if (mode === 'kill-secondary') await deployment.killAgent(secondary);
  if (mode === 'kill-primary') {
    await pause(1_000);
    await deployment.killAgent(primary);
  }
  // Lag is told a few times a second: right after the answer it may still be that of before.
  const durable = await deployment.durableAt(primary);
  const standing = new Set<string>();
  const level = await deployment
    .until(
      'every region level',
      (status) => {
        for (const region of status.regions) if ((region.stalledMs ?? 0) > 0) standing.add(region.name);
        return (
          status.state === 'stable' &&
          status.regions.every(({ ready, vdl }) => ready && (vdl ?? 0) >= durable)
        );
      },
      levelMs,
    )
    .catch((error: unknown) => String(error));
  const levelledMs = performance.now();
  if (typeof level === 'string') wrong.push(level);
  else if (level.epoch !== epoch) wrong.push(`epoch ${epoch} before, ${level.epoch} after`);
  const expected = await fingerprint(client, id, bytes);
  if (failure === null && !expected.startsWith(`${Math.ceil(bytes / rowBytesMax)} `))
    wrong.push(`${primary} holds ${expected.slice(0, 60)}`);
  for (const region of deployment.regions.slice(1)) {
    // What is durable in a region is readable there once its gateway has folded it.
    let seen = '';
    for (const untilMs = performance.now() + levelMs; performance.now() < untilMs; await pause(250)) {
      seen = await fingerprint(deployment.client(region), id, bytes).catch(String);
      if (seen === expected) break;
    }
    if (seen !== expected)
      wrong.push(`${region} holds ${seen.slice(0, 60)}, ${primary} ${expected.slice(0, 60)}`);
  }
  endTelling();
  const stood = standing.size === 0 ? '' : `, stood still meanwhile: ${[...standing].join(' ')}`;
  console.log(
    `  ${String(bytes).padStart(9)} B: acknowledged after ${seconds(committedMs - startMs)}, level ${seconds(levelledMs - committedMs)} later, readable everywhere ${seconds(performance.now() - levelledMs)} later${stood}`,
  );
  return wrong;
}

async function circumstance(count: number, mode: Mode, choices: Choices): Promise<readonly string[]> {
  console.log(`${count - 1} ${count === 2 ? 'secondary' : 'secondaries'}, ${mode}`);
  const regions = regionNames.slice(0, count);
  const deployment = await TestDeployment.start({ regions, basePort: choices.basePort });
  const wrong: string[] = [];
  try {
    await deployment.settled(120_000);
    const client = deployment.client(regionNames[0]);
    await client.execute('CREATE TABLE large (id INTEGER, part INTEGER, d BLOB, PRIMARY KEY (id, part))');
    await client.execute('CREATE TABLE steady (id INTEGER PRIMARY KEY, note TEXT)');
    const writer =
      mode === 'load' ? new SteadyWriter(client, 'steady', { perSecond: writesPerSecond }) : null;
    for (const [index, bytes] of choices.sizes.entries())
      wrong.push(...(await transact(deployment, mode, index + 1, bytes, choices.levelMs)));
    if (writer !== null) {
      const account = await writer.stop();
      const { acknowledged, failed, longestPauseMs } = account;
      const codes = [...new Set(failed.map(({ code }) => code))].join(' ');
      console.log(
        `  beside it ${acknowledged.length} writes acknowledged, ${failed.length} refused ${codes}, longest pause ${seconds(longestPauseMs)}`,
      );
      const durable = await deployment.durableAt(regionNames[0]);
      await deployment.until(
        'every region level',
        (status) => status.regions.every(({ ready, vdl }) => ready && (vdl ?? 0) >= durable),
        choices.levelMs,
      );
      await pause(2_000);
      for (const region of regions) {
        const present = await idsIn(deployment.client(region), 'steady');
        const missing = acknowledged.filter((id) => !present.has(id));
        if (missing.length > 0) wrong.push(`${region} lacks ${missing.length} acknowledged writes`);
      }
    }
  } finally {
    await deployment.stop();
  }
  for (const text of wrong) console.log(`  WRONG: ${text.slice(0, 1_000)}`);
  return wrong;
}

const choices = choicesOf(process.argv.slice(2));
let wrongs = 0;
for (const count of choices.regions)
  for (const mode of choices.modes) {
    const wrong = await circumstance(count, mode, choices).catch((error: unknown) => {
      console.log(`  WRONG: ${String(error).slice(0, 1_000)}`);
      return [error];
    });
    wrongs += wrong.length;
  }
console.log(wrongs === 0 ? 'all well' : `${wrongs} things went wrong`);
process.exitCode = wrongs === 0 ? 0 : 1;
