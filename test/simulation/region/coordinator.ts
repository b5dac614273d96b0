/** A coordinator of a membership change on a cluster, which may be made to die after any message. */
import {
  type ChangeEffect,
  type ChangeEvent,
  type ChangeGoal,
  type ChangeOutcome,
  MembershipChange,
} from '../../../storage/members/core/member-change.ts';
import { isSame, type Membership } from '../../../storage/members/core/membership.ts';
import { setsOf } from '../../../storage/members/core/quorum-sets.ts';
import { Caller } from './caller.ts';
import { type Cluster, tickMs } from './cluster.ts';

/** Every membership that was decided, as coordinators heard of it: no epoch in two ways. */
export class Decided {
  readonly byEpoch = new Map<number, Membership>();
  private readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  add(membership: Membership): void {
    const before = this.byEpoch.get(membership.epoch) ?? membership;
    this.cluster.check(isSame(before, membership), `membership ${membership.epoch} was decided twice`);
    // A new node counts in the old one's place from here on.
    if (membership.joining === null && !this.byEpoch.has(membership.epoch))
      this.cluster.truth.checkCopies(setsOf(membership));
    this.byEpoch.set(membership.epoch, membership);
  }

  get newest(): Membership | null {
    return this.byEpoch.get(Math.max(...this.byEpoch.keys())) ?? null;
  }
}

export class Coordinator {
  readonly change: MembershipChange;
  outcome: ChangeOutcome | null = null;
  killed = false;
  sent = 0;
  private readonly cluster: Cluster;
  private readonly decided: Decided;
  private readonly dieAfter: number;
  private readonly caller: Caller;

  constructor(
    cluster: Cluster,
    decided: Decided,
    membership: Membership,
    goal: ChangeGoal,
    dieAfter = Number.POSITIVE_INFINITY,
  ) {
    this.cluster = cluster;
    this.decided = decided;
    this.dieAfter = dieAfter;
    this.caller = new Caller(cluster);
    const by = `c${cluster.nowMs}-${cluster.dice.below(1_000_000)}`;
    this.change = new MembershipChange({ membership, goal, by, jitter: cluster.dice.below(1_000) / 1_000 });
    this.tick();
  }

  get done(): boolean {
    return this.outcome !== null || this.killed;
  }

  private tick(): void {
    if (this.done) return;
    this.step({ kind: 'tick' });
    this.cluster.after(tickMs, () => this.tick());
  }

  private step(event: ChangeEvent): void {
    if (this.done) return;
    for (const effect of this.change.step(event, this.cluster.nowMs)) this.carryOut(effect);
  }

  private carryOut(effect: ChangeEffect): void {
    if (this.done) return;
    switch (effect.kind) {
      case 'adopt':
        this.decided.add(effect.membership);
        return;
      case 'ended':
        this.outcome = effect.outcome;
        this.caller.close();
        return;
      case 'send': {
        this.killed = this.sent >= this.dieAfter;
        if (this.killed) {
          this.caller.close();
          return;
        }
        this.sent += 1;
        const { node, id, request } = effect;
        this.caller.call(node, request, (reply) =>
          this.step(
            reply?.kind === 'members'
              ? { kind: 'answered', node, id, reply }
              : { kind: 'unanswered', node, id },
          ),
        );
      }
    }
  }
}
