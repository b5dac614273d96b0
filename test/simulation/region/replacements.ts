/** Storage nodes are replaced while writers write, nodes die, messages are lost and others take over, all from one seed. */
import type { ChangeGoal } from '../../../storage/members/core/member-change.ts';
import { type Membership, nodesOf } from '../../../storage/members/core/membership.ts';
import type { Recovered } from '../../../storage/quorum/core/recovery.ts';
import { epoch, mainBranch, type NodeId, nodeId } from '../../../storage/redo/ids.ts';
import { member, sixMembers, sixNodes } from '../../storage/samples.ts';
import { Cluster, calm, rough } from './cluster.ts';
import { keepWriting, Writer } from './cluster-writer.ts';
import { Coordinator, Decided } from './coordinator.ts';
import { Takeover } from './takeover.ts';

class Region {
  readonly cluster: Cluster;
  readonly decided: Decided;
  /** What a process knows that starts now: its configuration, or what nodes told another one. */
  membership: Membership = sixMembers;
  private readonly dead = new Set<NodeId>();
  private allotted = 0;
  private made = sixNodes.length;

  constructor(seed: number) {
    this.cluster = new Cluster(seed, rough);
    this.decided = new Decided(this.cluster);
  }

  /** One node of those that stay is killed now and then, beside the one that is being replaced. */
  killSometimes(): void {
    const { cluster } = this;
    cluster.every(60, () => {
      const { dice } = cluster;
      const members = nodesOf(this.decided.newest ?? sixMembers).map(({ node }) => node);
      const staying = members.filter((node) => !this.dead.has(node));
      if (staying.every((node) => cluster.up.includes(node)) && dice.perMille(200))
        cluster.kill(dice.pick(staying));
      for (const node of staying) if (!cluster.up.includes(node) && dice.perMille(300)) cluster.start(node);
    });
  }

  /** Where the replacement was given up, the old node is started again. */
  revive(): void {
    for (const { node } of (this.decided.newest ?? sixMembers).members)
      if (this.dead.delete(node)) this.cluster.start(node);
  }

  takeOver(): Recovered {
    const { cluster } = this;
    for (let attempt = 0; attempt < 40; attempt++) {
      const dies = cluster.dice.perMille(200) ? cluster.dice.below(30) : Number.POSITIVE_INFINITY;
      const goal = { kind: 'fork', branch: mainBranch, epoch: epoch(++this.allotted) } as const;
      // Half of them have been asleep since the region was founded.
      const from = cluster.dice.perMille(500) ? this.membership : sixMembers;
      const takeover = new Takeover(cluster, goal, dies, from);
      cluster.check(
        cluster.runUntil(() => takeover.done, 30_000),
        `a recovery stands still: ${takeover.recovery.phase}`,
      );
      this.membership = takeover.belief.membership;
      const { outcome } = takeover;
      if (outcome?.kind === 'failed') cluster.fail(outcome.reason);
      if (outcome?.kind === 'recovered') return outcome.outcome;
    }
    return cluster.fail('nobody took over');
  }

  /** Replaces a node, the coordinator dying on the way now and then; it may also be given up. */
  replace(): Coordinator {
    const { cluster } = this;
    const { dice } = cluster;
    // Of a replacement that was asked for and never decided the old node is among the six still.
    this.revive();
    const out = dice.pick((this.decided.newest ?? sixMembers).members).node;
    if (dice.perMille(500)) {
      this.dead.add(out);
      cluster.kill(out);
    }
    const joins = nodeId(`n${++this.made}`);
    cluster.add(joins);
    return this.coordinate({ kind: 'replace', joining: { out, in: member(joins) } });
  }

  coordinate(goal: ChangeGoal, mayDie = true): Coordinator {
    const { dice } = this.cluster;
    const dies = mayDie && dice.perMille(600) ? dice.below(90) : Number.POSITIVE_INFINITY;
    return new Coordinator(this.cluster, this.decided, sixMembers, goal, dies);
  }
}

export interface Ran {
  readonly announced: number;
  readonly replaced: number;
  readonly reverted: number;
}

/** @param kind the writers, which may have a defect. @throws when anything that must hold does not. */
export function replacements(seed: number, kind: typeof Writer = Writer): Ran {
  const region = new Region(seed);
  const { cluster, decided } = region;
  const { dice } = cluster;
  let outcome = region.takeOver();
  let writer = new kind(cluster, outcome, region.membership);
  keepWriting(cluster, writer);
  cluster.runFor(200);
  region.killSometimes();
  let [replaced, reverted] = [0, 0];
  const change = (): void => {
    const goal = dice.pick<ChangeGoal>([{ kind: 'resume' }, { kind: 'resume' }, { kind: 'cancel' }]);
    const busy = decided.newest?.joining !== null && decided.newest !== null;
    let coordinators = [busy ? region.coordinate(goal) : region.replace()];
    // Now and then somebody else gives it up, or goes on with it, at the same time.
    if (dice.perMille(300)) coordinators = [...coordinators, region.coordinate(goal)];
    if (dice.perMille(400)) {
      cluster.runFor(dice.below(400));
      if (dice.perMille(500)) writer.stop();
      outcome = region.takeOver();
      writer = new kind(cluster, outcome, region.membership);
      keepWriting(cluster, writer);
    }
    cluster.check(
      cluster.runUntil(() => coordinators.every(({ done }) => done), 60_000),
      `a change stands still: ${coordinators.map(({ change: at }) => `${at.progress.phase}, ${at.progress.waitsFor}`)}`,
    );
    if (decided.newest?.joining === null) region.revive();
    for (const { outcome: ended } of coordinators) {
      if (ended?.kind === 'replaced') replaced += 1;
      if (ended?.kind === 'reverted') reverted += 1;
    }
  };
  for (let changes = 2 + dice.below(4); changes > 0; changes--) change();
  // In the end all is calm, no replacement is under way, and the last history reads the same everywhere.
  cluster.faults = calm;
  for (let kind = ''; kind !== 'nothing'; ) {
    const last = region.coordinate({ kind: 'resume' }, false);
    cluster.check(
      cluster.runUntil(() => last.done, 60_000),
      `the last change stands still: ${JSON.stringify(last.change.progress)}`,
    );
    kind = last.outcome?.kind ?? '';
  }
  writer.stop();
  outcome = region.takeOver();
  writer = new Writer(cluster, outcome, region.membership);
  const end = writer.commitRandom();
  cluster.check(
    cluster.runUntil(() => writer.volume.vdl >= end || writer.over, 10_000) && !writer.over,
    'the last writer got nothing durable',
  );
  const newest = decided.newest ?? sixMembers;
  cluster.check(newest.joining === null, 'a replacement is under way');
  for (const { node } of newest.members) cluster.start(node);
  const level = (): boolean =>
    newest.members.every(({ node }) => {
      if (!cluster.up.includes(node)) return false;
      const { tree, segment } = cluster.core(node);
      return tree.has(writer.epoch) && segment.volumeEnd(writer.epoch) >= end;
    });
  cluster.check(cluster.runUntil(level, 60_000), 'a node never caught up');
  const truth = Buffer.from(cluster.truth.bytesOf(outcome.forks, outcome.head, end));
  for (const { node } of newest.members)
    cluster.check(
      truth.equals(cluster.readFrom(node, outcome.forks, outcome.head, end)),
      `${node} reads other bytes`,
    );
  return { announced: cluster.truth.announced.length, replaced, reverted };
}
