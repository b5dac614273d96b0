import type { RecoveryGoal } from '../../../storage/quorum/core/recovery.ts';
import { epoch, mainBranch, type NodeId } from '../../../storage/redo/ids.ts';
import { Cluster, calm } from '../../simulation/region/cluster.ts';
import { Writer } from '../../simulation/region/cluster-writer.ts';
import { Takeover } from '../../simulation/region/takeover.ts';
import { sixNodes } from '../samples.ts';

export const forkGoal = (of: number): RecoveryGoal => ({
  kind: 'fork',
  branch: mainBranch,
  epoch: epoch(of),
});

export function recover(cluster: Cluster, goal: RecoveryGoal, dieAfter?: number) {
  const takeover = new Takeover(cluster, goal, dieAfter);
  const done = cluster.runUntil(() => takeover.done, 30_000);
  if (!done) cluster.fail(`recovery stands still while ${takeover.recovery.phase}`);
  return takeover;
}

export function recovered(cluster: Cluster, goal: RecoveryGoal) {
  const { outcome } = recover(cluster, goal);
  return outcome?.kind === 'recovered' ? outcome.outcome : cluster.fail(JSON.stringify(outcome));
}

/** A volume with one reign, and `commits` transactions that all six have. */
export function begun(seed = 1, commits = 20): { readonly cluster: Cluster; readonly writer: Writer } {
  const cluster = new Cluster(seed, calm);
  const writer = new Writer(cluster, recovered(cluster, forkGoal(1)));
  for (let at = 0; at < commits; at++) writer.commitRandom();
  settle(cluster, writer);
  return { cluster, writer };
}

export function endAt(cluster: Cluster, id: NodeId, writer: Writer): number {
  const { tree, segment } = cluster.core(id);
  return tree.has(writer.epoch) ? segment.volumeEnd(writer.epoch) : 0;
}

export function settle(cluster: Cluster, writer: Writer): void {
  const { lastLsn } = writer.volume;
  const held = () => cluster.up.every((id) => endAt(cluster, id, writer) >= lastLsn);
  if (!cluster.runUntil(() => held() && writer.volume.vdl >= lastLsn, 20_000))
    cluster.fail('the nodes are not level');
  // Everyone hears of it.
  cluster.runFor(500);
}

export const freshNodes = (cluster: Cluster) => sixNodes.filter((id) => !cluster.core(id).state.hydrated);
