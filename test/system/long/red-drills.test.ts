/**
 * Every kind of drill is seen red on a defect of the kind that it is there to find, planted in the real processes
 * (`planted/planted.ts`), and green on the same processes without it.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ask } from '../../../regions/cli/ask/admin-client.ts';
import { type DrillKind, drillKinds, drillRequestSchema } from '../../../regions/drills/core/drill-kinds.ts';
import type { DrillReport } from '../../../regions/drills/core/drill-report.ts';
import type { Patience } from '../../../regions/drills/run/drill-run.ts';
import { executeDrill } from '../../../regions/drills/run/execute.ts';
import { localTarget } from '../../../regions/drills/run/local-target.ts';
import { requireDeployment } from '../../../regions/local/deployment-file.ts';
import { readinessSchema } from '../../../regions/readiness/core/readiness.ts';
import { TestDeployment } from '../local-deployment.ts';
import { type PlantedDefect, plantedFile } from '../planted/planted.ts';
import { SteadyWriter } from '../steady-writer.ts';

const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
const [east, europe] = regions;
const nodes = ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'] as const;
let deployment: TestDeployment;
/** What is in force, to be taken away. */
const planted = new Set<string>();

beforeAll(async () => {
  const preload = new URL('../planted/preload.ts', import.meta.url).href;
  deployment = await TestDeployment.start({ regions, env: { NODE_OPTIONS: `--import=${preload}` } });
  // The first statements of an engine take a while on a busy machine, which is no part of a drill.
  await deployment.client(east).execute('CREATE TABLE warm (id INTEGER PRIMARY KEY, text TEXT)');
  const writers = regions.flatMap((region, nth) =>
    (['http', 'ws'] as const).map((transport, at) => {
      const first = 1_000_000 * (2 * nth + at + 1);
      return new SteadyWriter(deployment.client(region, transport), 'warm', {
        perSecond: 10,
        firstId: first,
      });
    }),
  );
  await Promise.all(writers.map((writer) => writer.acknowledges(20, 60_000)));
  await Promise.all(writers.map((writer) => writer.stop()));
}, 300_000);

afterAll(() => deployment?.stop(), 60_000);

/** `process` is one such as `us-east-1/agent`. */
type Plants = readonly (readonly [process: string, defect: PlantedDefect])[];

async function plant(plants: Plants): Promise<void> {
  for (const [process, defect] of plants) {
    const file = join(deployment.dataDir, process, plantedFile(defect));
    await writeFile(file, '');
    planted.add(file);
  }
}

async function unplant(): Promise<void> {
  for (const file of planted) await rm(file, { force: true });
  planted.clear();
}

afterEach(async () => {
  await unplant();
  const { primary } = await deployment.settled(150_000);
  if (primary !== east) await deployment.run('switchover', '--to', east);
  await deployment.settled(60_000);
}, 240_000);

interface Rehearsal {
  readonly kind: DrillKind;
  readonly region?: string;
  readonly plants: Plants;
  /** They are planted when the drill tells of this; before it begins when it is left out. */
  readonly from?: RegExp;
  /** How long the load runs before the fault. */
  readonly seconds?: number;
  readonly patience?: Partial<Patience>;
  readonly onLine?: (line: string) => void;
}

/** Runs the drill that `sextant drill` runs. What is planted is taken away once a phase has failed, so that the deployment can heal. */
async function rehearse({
  kind,
  region,
  plants,
  from,
  seconds = 2,
  patience = {},
  onLine,
}: Rehearsal): Promise<DrillReport> {
  const lines: string[] = [];
  const acts: Promise<void>[] = [];
  if (from === undefined) await plant(plants);
  const { report } = await executeDrill({
    request: drillRequestSchema.parse({
      kind,
      ...(region !== undefined && { region }),
      load: 60,
      seconds,
    }),
    target: localTarget(deployment.dataDir, requireDeployment(deployment.dataDir), ask, null),
    dataDir: deployment.dataDir,
    patience,
    signal: new AbortController().signal,
    onProgress: (line) => {
      lines.push(line);
      onLine?.(line);
      if (from?.test(line) === true) acts.push(plant(plants));
      if (line.includes('  failed: ')) acts.push(unplant());
    },
  });
  await Promise.all(acts);
  if (from !== undefined) expect(lines.filter((line) => from.test(line))).not.toEqual([]);
  return report;
}

const redOf = ({ checks }: DrillReport): readonly string[] =>
  checks.filter(({ held }) => !held).map(({ name, detail }) => `${name}: ${detail}`);

const accounted = /^every acknowledged write is in the data or named as lost/;
const stalled =
  /^(no request of a client fails|writes do not pause|writes are acknowledged again|recovery succeeds)/;
const notWhole = /^(recovery|verification) succeeds: not within .* every region is (whole|level)/;
/** Where nothing comes that is waited for. */
const soon = { wholeMs: 12_000, backMs: 12_000, seenMs: 8_000 };
/** The writer does not heed its lease, nor its nodes the seal of the next reign. */
const noFence: Plants = [
  [`${east}/gateway`, 'ignore-lease'],
  ...nodes.map((node) => [`${east}/${node}`, 'ignore-seal'] as const),
];

const reds: readonly (Rehearsal & { readonly what: string; readonly red: RegExp })[] = [
  {
    kind: 'region-loss',
    what: 'a loss report leaves out one write',
    plants: [
      [`${east}/agent`, 'ships-late'],
      [`${east}/agent`, 'hide-losses'],
    ],
    red: accounted,
  },
  { kind: 'region-freeze', what: 'the fence is off', plants: noFence, red: accounted },
  { kind: 'partition', region: east, what: 'the fence is off', plants: noFence, red: accounted },
  {
    kind: 'az-loss',
    what: 'a write waits for five nodes',
    plants: [[`${east}/gateway`, 'needs-five']],
    patience: soon,
    red: stalled,
  },
  {
    kind: 'node-loss',
    what: 'a write waits for all six nodes',
    plants: [[`${east}/gateway`, 'needs-six']],
    patience: soon,
    red: stalled,
  },
  {
    kind: 'writer-loss',
    what: 'answers leave before the redo does',
    plants: [[`${east}/gateway`, 'answers-early']],
    red: /^nothing acknowledged is lost/,
  },
  {
    kind: 'agent-loss',
    what: 'the agent that comes back ships nothing',
    plants: [[`${east}/agent`, 'skip-replication']],
    from: /kill -9/,
    patience: soon,
    red: notWhole,
  },
  {
    kind: 'nats-loss',
    what: 'the writer does not renew its lease afterwards',
    plants: [[`${east}/gateway`, 'never-renews']],
    from: /kill -9/,
    patience: soon,
    red: stalled,
  },
  {
    kind: 'slow-link',
    what: 'the lag is not told',
    plants: [[`${east}/agent`, 'hides-lag']],
    patience: soon,
    red: /^detection succeeds: nothing told of the fault/,
  },
  {
    kind: 'slow-disk',
    what: 'one late node ends a reign',
    plants: [[`${east}/gateway`, 'age-ends-reign']],
    from: /flushes of .* longer/,
    patience: soon,
    red: stalled,
  },
  {
    kind: 'node-loss',
    what: 'a region shows no more than it once read',
    plants: [[`${europe}/gateway`, 'shows-the-past']],
    from: /node kill/,
    red: /^every region shows the same rows: eu-west-1 lacks/,
  },
];

describe('a drill is red when', { timeout: 400_000 }, () => {
  for (const { what, red, ...rehearsal } of reds)
    it(`${what} (${rehearsal.kind})`, async () => {
      const report = await rehearse(rehearsal);
      expect(report.passed).toBe(false);
      expect(redOf(report)).toContainEqual(expect.stringMatching(red));
    });

  it('a region takes redo and stores none (switchover), and its readiness is red meanwhile', async () => {
    const asked: Promise<string>[] = [];
    const report = await rehearse({
      kind: 'switchover',
      plants: [[`${europe}/agent`, 'stores-nothing']],
      from: /writes\/s over/,
      // Long enough for the region to stand still.
      seconds: 6,
      onLine: (line) => {
        if (line.includes('not taken yet') && asked.length === 0)
          asked.push(deployment.cli(['readiness', '--json']).then(({ stdout }) => stdout));
      },
    });
    expect(redOf(report)).toContainEqual(expect.stringMatching(/^recovery succeeds: /));
    const [told = ''] = await Promise.all(asked);
    const ready = readinessSchema.parse(JSON.parse(told)).regions.find(({ region }) => region === europe);
    expect(ready).toMatchObject({ ready: false, switchover: { possible: false } });
    expect(ready?.reasons).not.toEqual([]);
  });
});

describe('and green when nothing is planted:', { timeout: 400_000 }, () => {
  it('a region is lost with acknowledged writes on their way, and each of them is named', async () => {
    const report = await rehearse({ kind: 'region-loss', plants: [[`${east}/agent`, 'ships-late']] });
    expect(redOf(report)).toEqual([]);
    expect(report.lostWrites).toBeGreaterThan(0);
    expect(report.reportedLost).toBeGreaterThanOrEqual(report.lostWrites);
    expect(report.lost.every(({ reported }) => reported)).toBe(true);
  });

  it('every kind is among those that were seen red', () => {
    expect(new Set([...reds.map(({ kind }) => kind), 'switchover'])).toEqual(new Set(drillKinds));
  });
});
