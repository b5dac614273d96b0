/** A recovery on a cluster, which may be made to die half way. */

import {
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
} from '../../../storage/quorum/core/recovery.ts';
import type { NodeId } from '../../../storage/redo/ids.ts';
import { type Cluster, tickMs } from './cluster.ts';
import { sixNodes } from './samples.ts';

/** Takes the six over; stops at the outcome or when it is killed. */
export class Takeover {
  outcome: RecoveryEffect | null = null;
  killed = false;
  readonly recovery: Recovery;
  /** Calls to nodes so far: where a recovery may be made to die. */
  sent = 0;
  private readonly cluster: Cluster;
  private readonly dieAfter: number;
  private readonly cut: ReadonlySet<NodeId>;

  constructor(cluster: Cluster, goal: RecoveryGoal, dieAfter = Number.POSITIVE_INFINITY) {
    this.cluster = cluster;
    this.dieAfter = dieAfter;
    this.cut = cluster.reach(() => this.done);
    this.recovery = new Recovery(sixNodes, goal);
    this.step({ kind: 'start' });
    this.tick();
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
        if (effect.kind === 'recovered') this.cluster.truth.recoveredTo(effect.outcome);
        return;
      }
      if (this.sent >= this.dieAfter) {
        this.killed = true;
        return;
      }
      this.sent += 1;
      const { node, request } = effect;
      this.cluster.rpc(
        node,
        request,
        (reply) =>
          this.step(reply === null ? { kind: 'unanswered', node } : { kind: 'answered', node, reply }),
        this.cut,
      );
    }
  }
}
