/** A recovery on a cluster, which may be made to die half way. */

import type { Membership } from '../../../storage/members/core/membership.ts';
import {
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
} from '../../../storage/quorum/core/recovery.ts';
import { sixMembers } from '../../storage/samples.ts';
import { Belief } from './belief.ts';
import { Caller } from './caller.ts';
import { type Cluster, tickMs } from './cluster.ts';

/** Takes the six over; stops at the outcome or when it is killed. */
export class Takeover {
  outcome: RecoveryEffect | null = null;
  killed = false;
  recovery: Recovery;
  readonly belief: Belief;
  private readonly goal: RecoveryGoal;
  /** Counts the beginnings: it begins anew with every newer membership. */
  private attempt = 0;
  /** Calls to nodes so far: where a recovery may be made to die. */
  sent = 0;
  private readonly cluster: Cluster;
  private readonly dieAfter: number;
  private readonly caller: Caller;

  constructor(
    cluster: Cluster,
    goal: RecoveryGoal,
    dieAfter = Number.POSITIVE_INFINITY,
    membership: Membership = sixMembers,
  ) {
    this.cluster = cluster;
    this.dieAfter = dieAfter;
    this.caller = new Caller(cluster);
    this.goal = goal;
    this.belief = new Belief(this.caller, membership, () => this.beginAnew());
    this.recovery = new Recovery(this.belief.sets, goal);
    this.step({ kind: 'start' });
    this.tick();
  }

  /** Of a fork that may have been recorded nothing is known: another epoch has to be taken. */
  private beginAnew(): void {
    if (this.done) return;
    if (this.recovery.phase === 'forking') {
      this.die();
      return;
    }
    this.attempt += 1;
    this.recovery = new Recovery(this.belief.sets, this.goal);
    this.step({ kind: 'start' });
  }

  private die(): void {
    this.killed = true;
    this.caller.close();
  }

  get done(): boolean {
    return this.outcome !== null || this.killed;
  }

  private tick(): void {
    this.cluster.after(tickMs, () => {
      if (this.done) return;
      this.step({ kind: 'tick' });
      this.tick();
    });
  }

  private step(event: RecoveryEvent): void {
    if (this.done) return;
    for (const effect of this.recovery.step(event, this.cluster.nowMs)) {
      if (effect.kind !== 'send') {
        this.outcome = effect;
        this.caller.close();
        if (effect.kind === 'recovered') this.cluster.truth.recoveredTo(effect.outcome, this.belief.sets);
        return;
      }
      if (this.sent >= this.dieAfter) {
        this.die();
        return;
      }
      this.sent += 1;
      const { node, request } = effect;
      const { attempt } = this;
      this.belief.call(
        node,
        request,
        (reply) =>
          attempt === this.attempt &&
          this.step(reply === null ? { kind: 'unanswered', node } : { kind: 'answered', node, reply }),
      );
    }
  }
}
