/** A run: reigns that follow one another over faulty nodes, and in the end one history that reads the same everywhere. */
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { epoch, mainBranch } from '../../../storage/redo/ids.ts';
import { sixNodes } from '../../storage/samples.ts';
import { Cluster, calm, rough } from './cluster.ts';
import { keepWriting, Writer } from './cluster-writer.ts';
import { Collector, type CollectorDefect } from './collector.ts';
import { Takeover } from './takeover.ts';

/** Kills nodes now and then, at most two at a time, and starts them again. */
function killSometimes(cluster: Cluster): void {
  const { dice } = cluster;
  cluster.every(40, () => {
    if (cluster.up.length > 4 && dice.perMille(150)) cluster.kill(dice.pick(cluster.up));
    for (const id of sixNodes) if (!cluster.up.includes(id) && dice.perMille(200)) cluster.start(id);
  });
}

/** Takes over with the next epoch, sometimes after attempts that die half way, sometimes two at once. */
function takeOver(cluster: Cluster, nextEpoch: () => number): Recovered {
  const { dice } = cluster;
  for (let attempt = 0; attempt < 40; attempt++) {
    const dies = attempt < 3 && dice.perMille(400) ? dice.below(30) : Number.POSITIVE_INFINITY;
    const rivals = [
      new Takeover(cluster, { kind: 'fork', branch: mainBranch, epoch: epoch(nextEpoch()) }, dies),
    ];
    if (dice.perMille(300)) {
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

export interface Run {
  readonly announced: number;
  readonly reigns: number;
  /** What was collected; none in a run that keeps its logs whole. */
  readonly collected: Collector['counts'] | null;
  /** Of all nodes, in the end. */
  readonly floors: readonly number[];
  /** Of everything that happened, in its order. */
  readonly hash: string;
}

/** @param collects whether logs are collected meanwhile, `true` or with a defect. @throws when anything that must hold does not. */
export function reigns(seed: number, collects: boolean | CollectorDefect = false): Run {
  const cluster = new Cluster(seed, rough);
  const collector = collects === false ? null : new Collector(cluster, collects === true ? null : collects);
  const { dice } = cluster;
  let allotted = 0;
  const nextEpoch = () => ++allotted;
  const founded = takeOver(cluster, nextEpoch);
  killSometimes(cluster);
  let outcome = founded;
  const count = 2 + dice.below(3);
  for (let reign = 0; reign < count; reign++) {
    const writer = new Writer(cluster, outcome);
    keepWriting(cluster, writer);
    cluster.runFor(200 + dice.below(700));
    // Half of the old writers live on and have to be fenced.
    if (dice.perMille(500)) writer.stop();
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
  let left = 0;
  const level = () => {
    left = 0;
    return sixNodes.every((id) => {
      if (!cluster.up.includes(id)) return false;
      const { tree, segment, needsImages } = cluster.core(id);
      // One that was away until its peers had dropped what it lacks says so; images are not given here.
      const isLeft = needsImages !== null && collector !== null && ++left <= 1;
      return isLeft || (tree.has(writer.epoch) && segment.volumeEnd(writer.epoch) >= last);
    });
  };
  cluster.check(cluster.runUntil(level, 60_000), 'a node never caught up');
  const truth = Buffer.from(cluster.truth.bytesOf(outcome.forks, outcome.head, last));
  for (const id of sixNodes.filter((node) => cluster.core(node).needsImages === null)) {
    cluster.check(
      truth.equals(cluster.readFrom(id, outcome.forks, outcome.head, last)),
      `${id} reads other bytes`,
    );
  }
  return {
    announced: cluster.truth.announced.length,
    reigns: cluster.truth.recovered.length,
    collected: collector?.counts ?? null,
    floors: sixNodes.map((id) => cluster.core(id).segment.floor.lsn),
    hash: cluster.world.trace.hash(),
  };
}
