import { describe, expect, it } from 'vitest';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { epoch, mainBranch } from '../../../storage/redo/ids.ts';
import { Cluster, calm, rough } from './cluster.ts';
import { Writer } from './cluster-writer.ts';
import { sixNodes } from './samples.ts';
import { Takeover } from './takeover.ts';

/** `SEXTANT_CORE_SEEDS=1 SEXTANT_CORE_FIRST_SEED=<seed>` runs one seed again. */
const { SEXTANT_CORE_SEEDS = '60', SEXTANT_CORE_FIRST_SEED = '1' } = process.env;
const seeds = Number(SEXTANT_CORE_SEEDS);
const firstSeed = Number(SEXTANT_CORE_FIRST_SEED);

/** Kills nodes now and then, at most two at a time, and starts them again. */
function killSometimes(cluster: Cluster): void {
  const { dice } = cluster;
  cluster.every(40, () => {
    if (cluster.up.length > 4 && dice.chance(0.15)) cluster.kill(dice.pick(cluster.up));
    for (const id of sixNodes) if (!cluster.up.includes(id) && dice.chance(0.2)) cluster.start(id);
  });
}

function write(cluster: Cluster, writer: Writer): void {
  const next = (): void =>
    cluster.after(cluster.dice.below(8), () => {
      if (writer.over) return;
      writer.commitRandom();
      next();
    });
  next();
}

/** Takes over with the next epoch, sometimes after attempts that die half way, sometimes two at once. */
function takeOver(cluster: Cluster, nextEpoch: () => number): Recovered {
  const { dice } = cluster;
  for (let attempt = 0; attempt < 40; attempt++) {
    const dies = attempt < 3 && dice.chance(0.4) ? dice.below(30) : Number.POSITIVE_INFINITY;
    const rivals = [
      new Takeover(cluster, { kind: 'fork', branch: mainBranch, epoch: epoch(nextEpoch()) }, dies),
    ];
    if (dice.chance(0.3)) {
      cluster.runFor(dice.below(150));
      rivals.push(new Takeover(cluster, { kind: 'fork', branch: mainBranch, epoch: epoch(nextEpoch()) }));
    }
    cluster.check(
      cluster.runUntil(() => rivals.every((rival) => rival.done), 20_000),
      `a recovery stands still: ${rivals.map((rival) => rival.recovery.phase)}`,
    );
    const last = rivals.at(-1)?.outcome;
    if (last?.kind === 'failed') cluster.fail(last.reason);
    if (last?.kind === 'recovered') return last.outcome;
  }
  return cluster.fail('nobody took over');
}

function reigns(seed: number): { readonly announced: number; readonly reigns: number } {
  const cluster = new Cluster(seed, rough);
  const { dice } = cluster;
  let allotted = 0;
  const nextEpoch = () => ++allotted;
  const founded = takeOver(cluster, nextEpoch);
  killSometimes(cluster);
  let outcome = founded;
  const count = 2 + dice.below(3);
  for (let reign = 0; reign < count; reign++) {
    const writer = new Writer(cluster, outcome);
    write(cluster, writer);
    cluster.runFor(100 + dice.below(500));
    // Half of the old writers live on and have to be fenced.
    if (dice.chance(0.5)) writer.stop();
    outcome = takeOver(cluster, nextEpoch);
  }
  // In the end all is calm, and the last history reads the same everywhere.
  cluster.faults = calm;
  const writer = new Writer(cluster, outcome);
  const last = writer.commitRandom();
  cluster.check(
    cluster.runUntil(() => writer.volume.vdl >= last || writer.over, 10_000) && !writer.over,
    'the last writer got nothing durable',
  );
  for (const id of sixNodes) cluster.start(id);
  const level = () =>
    sixNodes.every((id) => {
      if (!cluster.up.includes(id)) return false;
      const { tree, segment } = cluster.core(id);
      return tree.has(writer.epoch) && segment.volumeEnd(writer.epoch) >= last;
    });
  cluster.check(cluster.runUntil(level, 60_000), 'a node never caught up');
  const truth = Buffer.from(cluster.truth.bytesOf(outcome.forks, outcome.head, last));
  for (const id of sixNodes) {
    cluster.check(
      truth.equals(cluster.readFrom(id, outcome.forks, outcome.head, last)),
      `${id} reads other bytes`,
    );
  }
  return { announced: cluster.truth.announced.length, reigns: cluster.truth.recovered.length };
}

describe('writers and recoveries over six faulty nodes', { retry: 0 }, () => {
  it(`lose nothing that was called durable, in ${seeds} runs`, { timeout: 300_000 }, () => {
    let announced = 0;
    let recovered = 0;
    for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
      const run = reigns(seed);
      announced += run.announced;
      recovered += run.reigns;
    }
    // The runs are worth something only when much was durable and many took over.
    expect(announced).toBeGreaterThan(20 * seeds);
    expect(recovered).toBeGreaterThan(3 * seeds);
  });

  it('run the same way twice from one seed', { timeout: 30_000 }, () => {
    expect(reigns(firstSeed)).toEqual(reigns(firstSeed));
  });
});
