/** Judges a failover to this region by what is heard: when it is asked for, and again on the revision that deposes. */
import { type RegionId, type Runtime, zeroLsn } from '../../storage/index.ts';
import { type ControlRecord, policyOf } from '../control/core/control-record.ts';
import { lossAboveBound, mostLostMs } from '../control/core/exposure.ts';
import type { ChallengerTimer, LeaseLimits } from '../control/core/lease.ts';
import { moveLimits } from '../control/core/move-limits.ts';
import {
  betterSurvivor,
  type FailoverQuestion,
  type FailoverVerdict,
  judgeFailover,
  levelMsAgo,
  type Survivor,
} from '../control/core/survivors.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import { type BranchLack, lacksText } from './core/branch-lacks.ts';
import type { FailoverWish } from './core/operation-log.ts';

export interface JudgeOptions {
  readonly region: RegionId;
  readonly view: ClusterView;
  readonly lease: LeaseLimits;
  readonly challenger: ChallengerTimer;
  /** What this region holds and whom it follows, as of now. */
  readonly me: () => Survivor;
  /** Of which branches a region was heard to have more than this one. */
  readonly lackedOf: (region: RegionId) => readonly BranchLack[];
  readonly runtime: Runtime;
}

export class FailoverJudge {
  private readonly options: JudgeOptions;

  constructor(options: JudgeOptions) {
    this.options = options;
  }

  /** Why a failover is refused at once; null when it may begin. */
  problem(
    record: ControlRecord,
    wish: FailoverWish,
  ): { readonly code: string; readonly message: string } | null {
    const verdict = judgeFailover(this.question(record, wish, moveLimits.survivorHeardMs));
    // Redo that a survivor holds beyond this region's is fetched from there before anything is decided.
    const isMended =
      verdict.kind === 'refused' && verdict.code === 'TARGET_BEHIND' && this.better(record, wish) !== null;
    if (verdict.kind === 'refused' && !isMended) return { code: verdict.code, message: verdict.reason };
    return wish.allowDataLoss ? null : this.mayLose(record, verdict);
  }

  /** The survivor whose redo is to be fetched first; null when none holds more. */
  better(record: ControlRecord, wish: FailoverWish): Survivor | null {
    return betterSurvivor(this.question(record, wish, reportLimits.offlineAfterMs));
  }

  /**
   * Judges on the record that is about to be replaced. A lease lapses a little before a primary that was lost with it counts as not
   * heard any more: what such a one holds is a reason to wait that moment, and none to refuse.
   */
  onRevision(record: ControlRecord, wish: FailoverWish): FailoverVerdict | Refusal {
    const question = this.question(record, wish, reportLimits.offlineAfterMs);
    const verdict = judgeFailover(question);
    const primary = question.survivors.find(({ region }) => region === record.primary);
    if (
      verdict.kind === 'refused' &&
      primary !== undefined &&
      primary.heardMsAgo >= moveLimits.survivorHeardMs
    ) {
      const survivors = question.survivors.filter((survivor) => survivor !== primary);
      if (judgeFailover({ ...question, survivors }).kind === 'possible')
        return { kind: 'refused', code: 'primary-silent', reason: verdict.reason };
    }
    const { maxLossMs } = wish;
    if (verdict.kind === 'refused' || maxLossMs === null) return verdict;
    const { challenger, lease, region, runtime, view } = this.options;
    const others = question.survivors.filter((survivor) => survivor.region !== record.primary);
    const lostMs = mostLostMs({
      levelMsAgo: levelMsAgo(question),
      stillMs: challenger.stillMs(runtime.nowMs()),
      lease,
      policy: policyOf(record),
      isEverybodyHeard: others.length === view.regions.length - 1,
    });
    if (lostMs !== null && lostMs <= maxLossMs) return verdict;
    return { kind: 'refused', code: 'LOSS_ABOVE_BOUND', reason: lossAboveBound(region, lostMs, maxLossMs) };
  }

  private question(record: ControlRecord, wish: FailoverWish, heardMs: number): FailoverQuestion {
    const { region, view, me, runtime } = this.options;
    const others = view.survivors(runtime.nowMs(), heardMs).filter((survivor) => survivor.region !== region);
    // A primary that was lost this moment is heard still; by the time it may be deposed it no longer is.
    const early = heardMs < reportLimits.offlineAfterMs;
    const asked = early ? others.filter((survivor) => survivor.region !== record.primary) : others;
    const sacrifice = view.regions.filter((name) => wish.sacrifice.includes(name));
    return { target: region, record, survivors: [me(), ...asked], sacrifice };
  }

  private mayLose(record: ControlRecord, verdict: FailoverVerdict) {
    const primaryVdl = verdict.kind === 'possible' ? verdict.primaryVdl : null;
    const vdl = this.options.me().held?.vdl ?? zeroLsn;
    const heard =
      primaryVdl === null
        ? `nobody who is heard has heard ${record.primary} in its present reign, so what it acknowledged is unknown`
        : `${record.primary} was last heard at ${primaryVdl} and may have acknowledged more since`;
    const lacks = lacksText(this.options.lackedOf(record.primary), (bytes) => `${bytes} B`);
    return {
      code: 'DATA_LOSS_POSSIBLE',
      message:
        `${this.options.region} is durable to LSN ${vdl}; ${heard}. ` +
        (lacks === '' ? '' : `It was heard to have more of branches, too: ${lacks}. `) +
        'If it can still be reached, use a switchover, which loses nothing. Otherwise allow data loss explicitly (--allow-data-loss); ' +
        'what is lost stays on the old region and is listed when it returns.',
    };
  }
}

interface Refusal {
  readonly kind: 'refused';
  /** More may be lost than the policy allows; or the primary holds more, was heard not long ago, and has been silent since. */
  readonly code: 'LOSS_ABOVE_BOUND' | 'primary-silent';
  readonly reason: string;
}
