/**
 * Watches the primary from one of the other regions, tells everybody whether it is held for lost, and begins a failover by the
 * policy when this region is where it should go.
 */
import type { RegionId, Runtime, Timer } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { policyOf } from '../control/core/control-record.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import type { ChallengerTimer, LeaseLimits } from '../control/core/lease.ts';
import type { Survivor } from '../control/core/survivors.ts';
import type { Moves } from '../moves/moves.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import { decideFailover, type FailoverDecision, type Observer } from './core/decision.ts';
import { type Suspicion, suspicionOf } from './core/suspicion.ts';

const lookMs = 100;
/** A look that comes later than this finds an agent that was frozen or starved: what it missed meanwhile says nothing. */
const sleptMs = 1_000;
/** Another agent's suspicion counts for so long. */
const freshMs = 1_000;
/** After a failover that was refused, before the next try. */
const againMs = 2_000;

export interface FailoverWatchOptions {
  readonly region: RegionId;
  readonly lease: LeaseLimits;
  readonly view: ClusterView;
  readonly sight: ControlSight;
  readonly challenger: ChallengerTimer;
  readonly moves: Pick<Moves, 'failover' | 'isFailingOver'>;
  readonly me: () => Survivor;
  /** Since redo or a heartbeat of the primary arrived; null when none has. */
  readonly redoHeardMsAgo: () => number | null;
  readonly isConnected: () => boolean;
  readonly runtime: Runtime;
  readonly log: Logger;
}

export class FailoverWatch {
  private readonly options: FailoverWatchOptions;
  private awakeSinceMs: number;
  private lookedAtMs: number;
  private notBeforeMs = Number.NEGATIVE_INFINITY;
  private suspicionNow: Suspicion | null = null;
  private decisionNow: FailoverDecision = { kind: 'watching' };
  private timer: Timer | null = null;

  constructor(options: FailoverWatchOptions) {
    this.options = options;
    this.awakeSinceMs = options.runtime.nowMs();
    this.lookedAtMs = this.awakeSinceMs;
  }

  /** What this agent holds of the primary; null while it trusts it, and in the primary's own region. */
  get suspicion(): Suspicion | null {
    return this.suspicionNow;
  }

  /** Why no failover begins by itself although the primary is held for lost, in words; null when that is not so. */
  get refusal(): string | null {
    return this.decisionNow.kind === 'refused' ? this.decisionNow.reason : null;
  }

  start(): void {
    this.timer = this.options.runtime.every(lookMs, () => this.look());
  }

  close(): void {
    this.timer?.stop();
  }

  private look(): void {
    const { region, sight, challenger, redoHeardMsAgo, isConnected, runtime, view, log } = this.options;
    const nowMs = runtime.nowMs();
    if (nowMs - this.lookedAtMs > sleptMs || !isConnected()) this.awakeSinceMs = nowMs;
    this.lookedAtMs = nowMs;
    const record = sight.view?.record ?? null;
    const before = this.suspicionNow;
    if (record === null || record.primary === region) {
      this.suspicionNow = null;
      this.decisionNow = { kind: 'watching' };
      return;
    }
    this.suspicionNow = suspicionOf({
      record,
      stillMs: challenger.stillMs(nowMs),
      ...view.heardMsAgo(record.primary, nowMs),
      redoMsAgo: redoHeardMsAgo(),
      writableNodes: view.writableNodes(record.primary, nowMs),
      awakeMs: nowMs - this.awakeSinceMs,
    });
    const { suspicionNow: suspicion } = this;
    if (before === null && suspicion !== null) log.warn({ ...suspicion }, 'holds the primary for lost');
    if (before !== null && suspicion === null)
      log.info({ primary: before.primary }, 'the primary shows signs of life');
    this.decide(nowMs);
  }

  private decide(nowMs: number): void {
    const { region, lease, view, sight, challenger, moves, log } = this.options;
    const { regions } = view;
    const record = sight.view?.record;
    // R55: a region that has gone has no say.
    if (record === undefined || !regions.includes(region)) return;
    const before = this.decisionNow;
    const policy = policyOf(record);
    const decision = decideFailover({
      region,
      regions,
      record,
      policy,
      observers: this.observers(nowMs),
      stillMs: challenger.stillMs(nowMs),
      lease,
    });
    this.decisionNow = decision;
    if (decision.kind === 'refused' && before.kind !== 'refused')
      log.error({ reason: decision.reason }, 'no failover begins by itself');
    const isMine = decision.kind === 'begin' && decision.target === region;
    if (!isMine || moves.isFailingOver || nowMs < this.notBeforeMs) return;
    this.notBeforeMs = nowMs + againMs;
    log.warn({ primary: record.primary, reason: decision.reason }, 'a failover begins by the policy');
    const wish = { allowDataLoss: true, sacrifice: [], maxLossMs: policy.maxLossMs };
    void moves.failover(wish, true).then((begun) => {
      if ('code' in begun) log.error({ ...begun }, 'the failover of the policy was refused; tries again');
    });
  }

  /** Every region that is heard but the primary, this one as it is now. */
  private observers(nowMs: number): readonly Observer[] {
    const { region, view, me, sight } = this.options;
    const primary = sight.view?.record.primary;
    const others = view.survivors(nowMs, freshMs).filter((survivor) => survivor.region !== region);
    return [me(), ...others]
      .filter((survivor) => survivor.region !== primary)
      .map((survivor) => ({
        survivor,
        suspicion: survivor.region === region ? this.suspicionNow : view.suspicionOf(survivor.region, nowMs),
        canWrite: view.canWrite(survivor.region, nowMs),
      }));
  }
}
