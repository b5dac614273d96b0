/**
 * Runs the moves to this region: the agent begins a move in the control record, the gateways do what the record says, and
 * this drives the machine of `core/move-machine.ts` until the new writer writes or the time is up. A move that the record
 * names and nobody drives, since its agent died, is taken up. Nothing here waits for the region that is left in a failover.
 */
import { type Epoch, type RegionId, type Timer, unreachable, zeroLsn } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { type Changed, changeControl, readControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore, ControlView } from '../control/core/control-port.ts';
import {
  abortMove,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  isMember,
} from '../control/core/control-record.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import { moveLimits } from '../control/core/move-limits.ts';
import {
  describeReading,
  type Neighbours,
  noChange,
  noRecord,
  notMemberReason,
  staleness,
} from '../control/core/record-claims.ts';
import type { FailoverVerdict } from '../control/core/survivors.ts';
import {
  alreadyPrimary,
  type SwitchoverRefusal,
  switchoverProblem,
} from '../control/core/switchover-rules.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import {
  beginMove,
  cancelProblem,
  type MoveEffect,
  type MoveEvent,
  type MoveState,
  type MoveStep,
  resumedMove,
  stepMove,
  takenMove,
} from './core/move-machine.ts';
import {
  doneWith,
  type FailoverWish,
  failedWith,
  failoversIn,
  inPhase,
  type KeptOperation,
} from './core/operation-log.ts';
import type { Operation } from './core/operations.ts';
import { isHolderFenced } from './core/region-fence.ts';
import { FailoverJudge, type JudgeOptions } from './failover-judge.ts';
import { type FailoverSight, failoverResult } from './failover-result.ts';
import type { MoveTraces } from './move-traces.ts';
import type { OperationKeeper } from './operation-store.ts';

export interface MovesOptions extends JudgeOptions, FailoverSight {
  readonly store: ControlStore;
  /** What this agent knows of the control record. */
  readonly sight: ControlSight;
  /** A look at the store brought this: the agent acts on a record, and the challenger's clock runs from now. */
  readonly looked: (reading: ControlReading) => void;
  /** Tells the view how this region stands at this moment: it is judged by the word that everybody hears, and by no older one. */
  readonly tellView: () => void;
  readonly neighbours: () => Neighbours;
  /** The highest epoch that this region's nodes know of. */
  readonly highestEpoch: () => number;
  /** Asks a survivor to send the redo that this region lacks; often, and of no effect while it is on its way. */
  readonly pull: (from: RegionId) => void;
  /** Seals the nodes of a region against a reign; see `sealOldRegion`. */
  readonly seal: (region: RegionId, reign: Epoch) => Promise<'fenced' | 'unreachable'>;
  readonly operations: OperationKeeper;
  readonly traces: Pick<MoveTraces, 'named' | 'kept'>;
  readonly log: Logger;
}

type Refused = { readonly code: string; readonly message: string };
/** Between looks at what is known, while a move runs. */
const lookMs = 20;
/** Between looks at whether a move needs somebody who drives it. */
const reviewMs = 500;

/** One move that is driven here. */
interface Run {
  move: MoveState;
  readonly wish: FailoverWish | null;
  verdict: FailoverVerdict | null;
  sealing: boolean;
}

export class Moves {
  private readonly options: MovesOptions;
  private readonly judge: FailoverJudge;
  private readonly operations = new Map<string, KeptOperation>();
  private readonly runs = new Map<string, Run>();
  private readonly review: Timer;
  private looks: Timer | null = null;

  constructor(options: MovesOptions) {
    this.options = options;
    this.judge = new FailoverJudge(options);
    for (const kept of options.operations.kept) this.operations.set(kept.operation.id, kept);
    this.review = options.runtime.every(reviewMs, () => this.takeUp());
  }

  get(id: string): Operation | null {
    return this.operations.get(id)?.operation ?? null;
  }

  /** Of every failover kept here that was carried out, the epoch it began; the oldest first. */
  get failovers(): readonly { readonly id: string; readonly epoch: number }[] {
    return failoversIn([...this.operations.values()]);
  }

  /** Whether a move to this region is driven here. */
  get isMoving(): boolean {
    return this.runs.size > 0;
  }

  /** Whether a failover to this region is driven here. */
  get isFailingOver(): boolean {
    return [...this.runs.values()].some(({ move }) => move.kind === 'failover' && !move.isGuarded);
  }

  close(): void {
    this.review.stop();
    this.looks?.stop();
    this.runs.clear();
  }

  /** Refuses what will not pass by waiting, and else begins: by waiting for a target that is about to be ready. */
  async switchover(): Promise<Operation | Refused> {
    const record = await this.readRecord();
    if ('code' in record) return record;
    if (!isMember(record, this.options.region)) return notMember(this.options.region);
    const moving = this.underWay('switchover');
    if (moving !== null) return moving;
    const unready = this.unready(record);
    if (unready?.passes === false) return { code: unready.code, message: unready.message };
    return this.begin('switchover', record, { wish: null, waits: unready !== null });
  }

  /** Why a switchover to this region may not begin by that record. */
  private unready(record: ControlRecord): SwitchoverRefusal | null {
    const { region, view, tellView, runtime } = this.options;
    tellView();
    return switchoverProblem(view.switchoverQuestion(region, record, runtime.nowMs()));
  }

  /**
   * Refuses what is clear already, and else begins. While the bucket elects its leader no record can be read, and the
   * lease has to be waited out meanwhile: then it begins with the record seen last, and judges once it can read.
   */
  async failover(wish: FailoverWish, automatic = false): Promise<Operation | Refused> {
    const { region } = this.options;
    const read = await this.readRecord();
    const fresh = !('code' in read);
    const record = fresh ? read : this.hint();
    if (record === null) return 'code' in read ? read : alreadyPrimary(read);
    if (record.primary === region) return alreadyPrimary(record);
    if (!isMember(record, region)) return notMember(region);
    const refusal = this.judge.problem(record, wish);
    if (refusal !== null) return refusal;
    const moving = this.underWay('failover');
    if (moving !== null) return moving;
    return this.begin('failover', record, { wish, automatic });
  }

  /** Gives a move up, where that is safe: until the target has taken over. */
  cancel(id: string): Operation | Refused {
    const run = this.runs.get(id);
    const operation = this.get(id);
    if (operation === null) return { code: 'UNKNOWN_OPERATION', message: `there is no operation ${id}` };
    const problem = run === undefined ? 'it has ended' : cancelProblem(run.move);
    if (run === undefined || problem !== null)
      return { code: 'TOO_LATE', message: `operation ${id} cannot be cancelled: ${problem}` };
    this.step(run, { kind: 'cancelled' });
    return this.get(id) ?? operation;
  }

  /** Something may have changed: a record, a report. */
  look(): void {
    for (const run of [...this.runs.values()]) this.lookAt(run);
  }

  private underWay(kind: Operation['kind']): Refused | null {
    for (const { move } of this.runs.values())
      if (move.kind === kind && !move.isGuarded && move.outcome === null)
        return {
          code: 'MOVE_IN_PROGRESS',
          message: `${kind} ${move.id} to ${move.target} is under way; \`sextant cancel ${move.id}\` gives it up`,
        };
    return null;
  }

  /** The record seen last, where a move away from its primary may begin before it can be read again. */
  private hint(): ControlRecord | null {
    const { region, sight } = this.options;
    const { view, problem } = sight;
    if (view === null || view.record.primary === region) return null;
    return problem === null || problem.kind === 'unavailable' ? view.record : null;
  }

  /** The record as it is now, or why there is none and how old the one seen last is. */
  private async readRecord(): Promise<ControlRecord | Refused> {
    const { store, sight, looked, neighbours, highestEpoch, view, runtime } = this.options;
    const reading = await readControl(store);
    looked(reading);
    const none = (reason: string): Refused => ({
      code: 'NO_CONTROL_RECORD',
      message: noRecord(reason, sight.lastSeen(runtime.nowMs()), neighbours()),
    });
    if (reading.kind !== 'record') return none(describeReading(reading, highestEpoch()).reason);
    const { record } = reading.view;
    const heard = view.survivors(runtime.nowMs(), reportLimits.offlineAfterMs);
    const old = staleness(
      record,
      heard.flatMap(({ region, held }) => (held === null ? [] : [{ region, epoch: held.epoch }])),
    );
    return old === null ? record : none(old);
  }

  private begin(
    kind: Operation['kind'],
    record: ControlRecord,
    {
      wish,
      automatic = false,
      waits = false,
    }: { readonly wish: FailoverWish | null; readonly automatic?: boolean; readonly waits?: boolean },
  ): Operation {
    const { region, runtime } = this.options;
    const random = Math.floor(runtime.random() * 2 ** 48).toString(16);
    const id = `${region}.${random.padStart(12, '0')}`;
    const step = beginMove({ id, kind, target: region, from: record.primary }, runtime.nowMs(), waits);
    return this.drive(step, wish, automatic);
  }

  /** Begins to drive a move, new or taken up. */
  private drive(step: MoveStep, wish: FailoverWish | null, automatic = false): Operation {
    const { log, runtime, traces } = this.options;
    const { id, kind, target, from } = step.move;
    const run: Run = { move: step.move, wish, verdict: null, sealing: false };
    const before = this.get(id);
    const began: Operation = { id, kind, target, from, state: 'running', ...traces.named(id), phases: [] };
    const last = before ?? (automatic ? { ...began, automatic } : began);
    const operation = inPhase(last, step.move.phase, this.wallMs);
    this.runs.set(id, run);
    this.looks ??= runtime.every(lookMs, () => this.look());
    this.keep(operation, wish);
    log.info({ operation: id, kind, from, to: target, phase: step.move.phase, automatic }, 'move begins');
    for (const effect of step.effects) this.carryOut(run, effect);
    return this.get(id) ?? operation;
  }

  /** R32: a move that the record names and nobody drives: this region's own, or one whose agent is silent. */
  private takeUp(): void {
    const { region, sight, view, runtime, log } = this.options;
    const seen = sight.view;
    if (seen === null || !isMember(seen.record, region)) return;
    const { move } = seen.record;
    for (const run of [...this.runs.values()])
      if (run.move.isGuarded && view.region(run.move.target, runtime.nowMs()) !== null) this.dismiss(run);
    if (move !== null && !this.runs.has(move.id)) {
      const isGuarded = move.to !== region;
      if (isGuarded && view.region(move.to, runtime.nowMs()) !== null) return;
      const kept = this.operations.get(move.id);
      if (kept !== undefined && kept.operation.state !== 'running') return;
      log.warn({ operation: move.id, to: move.to }, 'takes up a move that nobody drives');
      const resumed = resumedMove(move, seen, isGuarded, runtime.nowMs());
      this.drive({ move: resumed, effects: [] }, kept?.wish ?? null);
    }
    for (const { operation, wish } of this.operations.values())
      if (
        operation.state === 'running' &&
        operation.target === region &&
        !this.runs.has(operation.id) &&
        operation.id !== move?.id
      )
        this.takeUpKept(operation, wish, seen);
  }

  /** An operation of an earlier start of this agent that is not in the record: it had not begun there, or has left it. */
  private takeUpKept(operation: Operation, wish: FailoverWish | null, { record }: ControlView): void {
    const { region, runtime, view } = this.options;
    const { id, kind, phases } = operation;
    const from = view.regions.find((name) => name === operation.from) ?? region;
    const about = { id, kind, target: region, from };
    const ageMs = this.wallMs - (phases[0]?.startedAtMs ?? 0);
    const isYoung = ageMs >= 0 && ageMs < moveLimits.failoverMs;
    if (record.primary === region && from !== region) {
      this.drive({ move: takenMove(about, record.epoch, runtime.nowMs()), effects: [] }, wish);
    } else if (kind === 'failover' && wish !== null && isYoung) {
      this.drive(beginMove({ ...about, from: record.primary }, runtime.nowMs()), wish);
    } else {
      const message = `the agent of ${region} was restarted before the ${kind} had begun in the control record; nothing was changed`;
      this.keep(failedWith(operation, 'INTERRUPTED', message, this.wallMs), wish);
    }
  }

  private lookAt(run: Run): void {
    const { sight, challenger, me, runtime, view } = this.options;
    const nowMs = runtime.nowMs();
    const seen = sight.view;
    const { target } = run.move;
    const epochs = view
      .gateways(target, nowMs)
      .flatMap(({ phase, epoch }) => (phase === 'writing' && epoch !== null ? [epoch as Epoch] : []));
    const isWaiting = run.move.phase === 'waiting-for-lease' || run.move.phase === 'pulling';
    const better =
      isWaiting && seen !== null && run.wish !== null ? this.judge.better(seen.record, run.wish) : null;
    this.step(run, {
      kind: 'looked',
      view: seen,
      stillMs: challenger.stillMs(nowMs),
      lapsed: seen !== null && (seen.record.holder === null || challenger.mayChallenge(seen.seq, nowMs)),
      better: better?.region ?? null,
      vdl: me().held?.vdl ?? zeroLsn,
      unready: seen !== null && run.move.phase === 'waiting-for-target' ? this.unready(seen.record) : null,
      writing: epochs.length === 0 ? null : (Math.max(...epochs) as Epoch),
    });
  }

  private step(run: Run, event: MoveEvent): void {
    const before = run.move;
    // One that has ended stays until its result is kept, so that nobody takes it up again meanwhile.
    if (this.runs.get(before.id) !== run || before.outcome !== null) return;
    const { move, effects } = stepMove(before, event, this.options.runtime.nowMs());
    run.move = move;
    const operation = this.get(move.id);
    if (operation !== null && (move.phase !== before.phase || move.from !== before.from)) {
      const left: Operation = { ...operation, from: move.from };
      const goesOn = move.phase !== 'ended' && move.phase !== before.phase;
      this.keep(goesOn ? inPhase(left, move.phase, this.wallMs) : left, run.wish);
    }
    for (const effect of effects) this.carryOut(run, effect);
    if (move.outcome !== null) void this.end(run, move.outcome);
  }

  private carryOut(run: Run, effect: MoveEffect): void {
    const { store, region, looked, pull, runtime } = this.options;
    const { id } = run.move;
    switch (effect.kind) {
      case 'begin':
        this.change(run, ({ record }) =>
          beginSwitchover(record, { id, to: region, startedAtMs: this.wallMs }),
        );
        return;
      case 'abort':
        this.change(run, (view) => {
          looked({ kind: 'record', view });
          return abortMove(view.record, { id });
        });
        return;
      case 'depose':
        void changeControl(
          store,
          (view) => {
            looked({ kind: 'record', view });
            return this.deposition(run, view);
          },
          runtime,
        ).then((changed) => this.changed(run, changed));
        return;
      case 'pull':
        pull(effect.from);
        return;
      case 'seal':
        if (!run.sealing) void this.seal(run, effect);
        return;
      default:
        unreachable(effect);
    }
  }

  private change(run: Run, transition: Parameters<typeof changeControl>[1]): void {
    void changeControl(this.options.store, transition, this.options.runtime).then((changed) =>
      this.changed(run, changed),
    );
  }

  private changed(run: Run, changed: Changed): void {
    if (changed.kind === 'refused') {
      const { code, reason } = changed;
      this.step(run, { kind: 'refused', code, reason });
    } else if (changed.kind === 'unavailable') {
      const reason = noChange(changed.reason, this.options.neighbours());
      this.step(run, { kind: 'unavailable', reason });
    } else {
      this.options.looked({ kind: 'record', view: changed.view });
      this.step(run, changed);
    }
  }

  /** Deposes on the very revision that was read, if the failover is justified on it. */
  private deposition(
    run: Run,
    { record, seq }: ControlView,
  ): ReturnType<Parameters<typeof changeControl>[1]> {
    const { region, challenger, runtime } = this.options;
    const { move, wish } = run;
    const asked = wish ?? { allowDataLoss: true, sacrifice: [], maxLossMs: null };
    const begun = beginFailover(record, {
      id: move.id,
      to: region,
      allowDataLoss: asked.allowDataLoss,
      startedAtMs: this.wallMs,
      lapsed: isHolderFenced(record, move.fenced) || challenger.mayChallenge(seq, runtime.nowMs()),
    });
    if (begun.kind === 'refused') return begun;
    const verdict = this.judge.onRevision(record, asked);
    if (verdict.kind === 'refused') return verdict;
    run.verdict = verdict;
    return begun;
  }

  private async seal(run: Run, { region, epoch }: Extract<MoveEffect, { kind: 'seal' }>): Promise<void> {
    run.sealing = true;
    const outcome = await this.options.seal(region, epoch);
    run.sealing = false;
    if (outcome === 'fenced') this.step(run, { kind: 'fenced', epoch });
  }

  private async end(run: Run, outcome: NonNullable<MoveState['outcome']>): Promise<void> {
    const { log } = this.options;
    const { id, kind } = run.move;
    const operation = this.get(id);
    const atMs = this.wallMs;
    if (operation === null) return this.forget(run);
    if (outcome.kind === 'failed') {
      this.keep(failedWith(operation, outcome.code, outcome.message, atMs), run.wish);
    } else {
      const result =
        kind === 'switchover'
          ? { epoch: outcome.epoch, pauseMs: outcome.tookMs }
          : await failoverResult(run.verdict, outcome, run.move.from, this.options);
      this.keep(doneWith(operation, result, atMs), run.wish);
    }
    this.forget(run);
    const { state, error, result } = this.get(id) ?? operation;
    log.info({ operation: id, kind, state, error, result }, 'move ends');
  }

  /** The target's own agent is heard again, and keeps the operation. */
  private dismiss(run: Run): void {
    this.forget(run);
    this.operations.delete(run.move.id);
    this.options.operations.keep([...this.operations.values()]);
  }

  private forget(run: Run): void {
    this.runs.delete(run.move.id);
    if (this.runs.size > 0) return;
    this.looks?.stop();
    this.looks = null;
  }

  private keep(operation: Operation, wish: FailoverWish | null): void {
    this.operations.set(operation.id, { operation, wish });
    this.options.traces.kept(operation);
    for (const id of this.operations.keys()) {
      if (this.operations.size <= moveLimits.operationsMax) break;
      this.operations.delete(id);
    }
    this.options.operations.keep([...this.operations.values()]);
  }

  private get wallMs(): number {
    return Math.floor(this.options.runtime.wallUs() / 1_000);
  }
}

function notMember(region: RegionId): Refused {
  return { code: 'NOT_MEMBER', message: notMemberReason(region) };
}
