/**
 * Runs switchovers and failovers: the target region's agent begins the move in the control record, the gateways do
 * what the record says, and this watches until the new writer writes or the time is up. Nothing here waits for the
 * region that is being left behind in a failover; only for its lease to lapse.
 */
import { randomBytes } from 'node:crypto';
import {
  type Epoch,
  type Lsn,
  lsn,
  monotonicMs,
  type RegionId,
  unreachable,
  wallUs,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { type Changed, changeControl, readControl } from '../control/control-link.ts';
import type { ControlReading, ControlStore } from '../control/core/control-port.ts';
import {
  abortMove,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
} from '../control/core/control-record.ts';
import type { ControlSight } from '../control/core/control-sight.ts';
import { type ChallengerTimer, defaultLeaseLimits } from '../control/core/lease.ts';
import { moveLimits } from '../control/core/move-limits.ts';
import {
  describeReading,
  moveGone,
  type Neighbours,
  noChange,
  noRecord,
  RenewalCount,
  staleness,
} from '../control/core/record-claims.ts';
import { type FailoverVerdict, judgeFailover, type Survivor } from '../control/core/survivors.ts';
import { alreadyPrimary, switchoverProblem } from '../control/core/switchover-rules.ts';
import type { ClusterView } from '../status/core/report.ts';
import { reportLimits } from '../status/core/report-limits.ts';
import type { Operation } from './core/operations.ts';
import { rtoFromLastWriteMs } from './core/rto.ts';

export interface MovesOptions {
  readonly region: RegionId;
  readonly store: ControlStore;
  readonly view: ClusterView;
  readonly challenger: ChallengerTimer;
  /** What this agent knows of the control record. */
  readonly sight: ControlSight;
  /** A look at the store brought this: the agent acts on a record, and the challenger's clock runs from now. */
  readonly looked: (reading: ControlReading) => void;
  /** What this region holds and whom it follows, as of now. */
  readonly me: () => Survivor;
  /** Whether this region receives from a primary that was heard lately. */
  readonly following: () => boolean;
  readonly neighbours: () => Neighbours;
  /** The highest epoch that this region's nodes know of. */
  readonly highestEpoch: () => number;
  /** Where a reign begins on this region's path; null when that is not known. */
  readonly forkOf: (epoch: Epoch) => Lsn | null;
  /** When the last commit before a fork was made, by whose clock that is, and how far that is ahead of ours. */
  readonly lastCommit: (
    reign: Epoch,
    forkLsn: Lsn,
  ) => Promise<{ readonly atUs: number; readonly aheadUs: number } | null>;
  readonly log: Logger;
}

/** What an operator says with a failover. */
export interface FailoverWish {
  readonly allowDataLoss: boolean;
  /** Regions whose redo beyond this one's is given up by name. */
  readonly sacrifice: readonly RegionId[];
}

type Refused = { readonly code: string; readonly message: string };
const pollMs = 20;
/** After the new writer writes, its agent reads the path within this time; until then where it forked is an estimate. */
const forkKnownMs = 2_000;

/** Begins operations and remembers them. One runs at a time, since there is one control record. */
export class Moves {
  private readonly options: MovesOptions;
  private readonly operations = new Map<string, MutableOperation>();

  constructor(options: MovesOptions) {
    this.options = options;
  }

  get(id: string): Operation | null {
    return this.operations.get(id)?.snapshot() ?? null;
  }

  async switchover(): Promise<Operation | Refused> {
    const record = await this.readRecord();
    if ('code' in record) return record;
    const { region, view, following } = this.options;
    const question = { ...view.switchoverQuestion(region, record, monotonicMs()), following: following() };
    const refusal = switchoverProblem(question);
    if (refusal !== null) return refusal;
    return this.start('switchover', record, (operation) => this.runSwitchover(operation));
  }

  /**
   * Refuses what is clear already, and else begins. While the bucket elects its leader no record can be read, and the
   * lease has to be waited out meanwhile: then it begins with the record seen last, and judges once it can read.
   */
  async failover(wish: FailoverWish): Promise<Operation | Refused> {
    const { region } = this.options;
    const read = await this.readRecord();
    const fresh = !('code' in read);
    const record = fresh ? read : this.hint();
    if (record === null) return 'code' in read ? read : alreadyPrimary(read);
    if (record.primary === region) return alreadyPrimary(record);
    const verdict = this.judge(record, wish, moveLimits.survivorHeardMs);
    if (verdict.kind === 'refused') return { code: verdict.code, message: verdict.reason };
    if (!wish.allowDataLoss) return this.mayLose(record, verdict);
    return this.start('failover', record, (operation) => this.runFailover(operation, wish));
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
    const { store, sight, looked, neighbours, highestEpoch, view } = this.options;
    const reading = await readControl(store);
    looked(reading);
    const none = (reason: string): Refused => ({
      code: 'NO_CONTROL_RECORD',
      message: noRecord(reason, sight.lastSeen(monotonicMs()), neighbours()),
    });
    if (reading.kind !== 'record') return none(describeReading(reading, highestEpoch()).reason);
    const { record } = reading.view;
    const heard = view.survivors(monotonicMs(), reportLimits.offlineAfterMs);
    const old = staleness(
      record,
      heard.flatMap(({ region, held }) => (held === null ? [] : [{ region, epoch: held.epoch }])),
    );
    return old === null ? record : none(old);
  }

  /** Who may hold more than this region, as far as is heard. */
  private judge(record: ControlRecord, wish: FailoverWish, heardMs: number): FailoverVerdict {
    const { region, view, me } = this.options;
    const others = view.survivors(monotonicMs(), heardMs).filter((survivor) => survivor.region !== region);
    // A primary that was lost this moment is heard still; by the time it may be deposed it no longer is.
    const early = heardMs < reportLimits.offlineAfterMs;
    const asked = early ? others.filter((survivor) => survivor.region !== record.primary) : others;
    return judgeFailover({ target: region, record, survivors: [me(), ...asked], sacrifice: wish.sacrifice });
  }

  private mayLose(record: ControlRecord, verdict: Extract<FailoverVerdict, { kind: 'possible' }>): Refused {
    const heard =
      verdict.primaryVdl === null
        ? `nobody who is heard has heard ${record.primary} in its present reign, so what it acknowledged is unknown`
        : `${record.primary} was last heard at ${verdict.primaryVdl} and may have acknowledged more since`;
    return {
      code: 'DATA_LOSS_POSSIBLE',
      message:
        `${this.options.region} is durable to LSN ${verdict.vdl}; ${heard}. ` +
        'If it can still be reached, use a switchover, which loses nothing. Otherwise allow data loss explicitly (--allow-data-loss); ' +
        'what is lost stays on the old region and is listed when it returns.',
    };
  }

  private start(
    kind: Operation['kind'],
    record: ControlRecord,
    run: (operation: MutableOperation) => Promise<void>,
  ): Operation {
    const { region, log } = this.options;
    const operation = new MutableOperation(
      `${region}.${randomBytes(6).toString('hex')}`,
      kind,
      region,
      record.primary,
    );
    this.operations.set(operation.id, operation);
    for (const id of this.operations.keys()) {
      if (this.operations.size <= moveLimits.operationsMax) break;
      this.operations.delete(id);
    }
    log.info({ operation: operation.id, kind, from: record.primary, to: region }, 'move begins');
    run(operation)
      .catch((error: unknown) =>
        operation.fail('INTERNAL', error instanceof Error ? error.message : String(error)),
      )
      .finally(() => {
        const { state, error, result } = operation.snapshot();
        log.info({ operation: operation.id, kind, state, error, result }, 'move ends');
      });
    return operation.snapshot();
  }

  private async runSwitchover(operation: MutableOperation): Promise<void> {
    const { store, region } = this.options;
    const deadline = monotonicMs() + moveLimits.switchoverMs;
    operation.phase('preparing');
    const begun = await changeControl(store, ({ record }) =>
      beginSwitchover(record, { id: operation.id, to: region, startedAtMs: Date.now() }),
    );
    if (begun.kind !== 'changed') return this.failToChange(operation, begun);
    const since = begun.view.seq;
    const heldAtMs = monotonicMs();
    operation.phase('draining');
    const drained = await this.until(
      since,
      deadline,
      (record) => record.move?.id !== operation.id || record.move.fork !== undefined,
    );
    if (drained === null)
      return this.abort(operation, `${operation.from} did not drain within ${moveLimits.switchoverMs} ms`);
    if (drained.primary !== region) operation.phase('catching-up');
    const taken = await this.until(since, deadline, (record) => record.move?.id !== operation.id);
    if (taken === null)
      return this.abort(operation, `${region} did not take over within ${moveLimits.switchoverMs} ms`);
    if (taken.primary !== region) return operation.fail('ABORTED', this.gone(operation, taken));
    operation.phase('promoting');
    if (!(await this.writing(taken.epoch, deadline)))
      return operation.fail('TIMEOUT', `${region} is primary, but its gateway does not write yet`);
    operation.done({
      epoch: this.options.sight.view?.record.epoch ?? taken.epoch,
      pauseMs: Math.round(monotonicMs() - heldAtMs),
    });
  }

  private async abort(operation: MutableOperation, why: string): Promise<void> {
    const aborted = await changeControl(this.options.store, ({ record }) =>
      abortMove(record, { id: operation.id }),
    );
    operation.fail('TIMEOUT', `${why}; ${this.afterAbort(operation, aborted)}`);
  }

  private afterAbort(operation: MutableOperation, aborted: Changed): string {
    switch (aborted.kind) {
      case 'changed':
        return this.gone(operation, aborted.view.record);
      case 'refused':
        return 'the move had ended by then: the status tells where the primary is';
      case 'unavailable':
        return `and giving the move up failed: ${noChange(aborted.reason, this.options.neighbours())}`;
      default:
        return unreachable(aborted);
    }
  }

  private gone({ kind, from }: MutableOperation, record: ControlRecord): string {
    return moveGone({ kind, from, to: this.options.region }, record);
  }

  private failToChange(operation: MutableOperation, outcome: Exclude<Changed, { kind: 'changed' }>): void {
    const reason =
      outcome.kind === 'unavailable' ? noChange(outcome.reason, this.options.neighbours()) : outcome.reason;
    operation.fail(failureCode(outcome), reason);
  }

  private async runFailover(operation: MutableOperation, wish: FailoverWish): Promise<void> {
    const { region } = this.options;
    const begunAtMs = monotonicMs();
    const deadline = begunAtMs + moveLimits.failoverMs;
    let verdict: FailoverVerdict | null = null;
    let begun: Changed;
    for (;;) {
      operation.phase('waiting-for-lease');
      const alive = await this.awaitLapse(deadline);
      if (alive !== null) return operation.fail(alive.code, alive.message);
      operation.phase('deposing');
      begun = await this.depose(operation, wish, (judged) => {
        verdict = judged;
      });
      // The record had moved on: its holder is somebody else's to wait for, or this one renewed once more before it was lost.
      if (begun.kind === 'refused' && begun.code === 'held' && monotonicMs() < deadline) continue;
      break;
    }
    if (begun.kind !== 'changed') return this.failToChange(operation, begun);
    operation.phase('promoting');
    const taken = await this.until(begun.view.seq, deadline, (record) => record.move?.id !== operation.id);
    if (taken !== null && taken.primary !== region)
      return operation.fail('ABORTED', this.gone(operation, taken));
    if (taken === null || !(await this.writing(taken.epoch, deadline))) {
      return operation.fail(
        'TIMEOUT',
        `${operation.from} is deposed, and no gateway of ${region} writes yet; it goes on trying`,
      );
    }
    const rtoMs = Math.round(monotonicMs() - begunAtMs);
    const backAtUs = wallUs();
    const loss = await this.lossOf(verdict, taken.epoch);
    const last = await this.options.lastCommit(taken.epoch, lsn(loss.forkLsn));
    operation.done({
      epoch: this.options.sight.view?.record.epoch ?? taken.epoch,
      rtoMs,
      ...(last !== null && { rtoFromLastWriteMs: rtoFromLastWriteMs(last.atUs, last.aheadUs, backAtUs) }),
      loss,
    });
  }

  /** Judges by the record as it is read, and begins the failover on that very revision. */
  private depose(
    operation: MutableOperation,
    { allowDataLoss, sacrifice }: FailoverWish,
    judged: (verdict: FailoverVerdict) => void,
  ): Promise<Changed> {
    const { store, region, challenger, looked } = this.options;
    return changeControl(store, (view) => {
      const { record, seq } = view;
      looked({ kind: 'record', view });
      // Who is to be left behind is whoever is primary by now.
      if (record.primary !== region) operation.leaves(record.primary);
      const begun = beginFailover(record, {
        id: operation.id,
        to: region,
        allowDataLoss,
        startedAtMs: Date.now(),
        lapsed: challenger.mayChallenge(seq, monotonicMs()),
      });
      if (begun.kind === 'refused') return begun;
      const verdict = this.judge(record, { allowDataLoss, sacrifice }, reportLimits.offlineAfterMs);
      judged(verdict);
      return verdict.kind === 'refused' ? verdict : begun;
    });
  }

  /** Where history goes on, by the path once it is known, and what had been heard of the region that is left. */
  private async lossOf(
    verdict: FailoverVerdict | null,
    reign: Epoch,
  ): Promise<NonNullable<NonNullable<Operation['result']>['loss']>> {
    const deadline = monotonicMs() + forkKnownMs;
    let fork = this.options.forkOf(reign);
    while (fork === null && monotonicMs() < deadline) {
      await pause();
      fork = this.options.forkOf(reign);
    }
    const judged = verdict?.kind === 'possible' ? verdict : null;
    const forkLsn = fork ?? judged?.vdl ?? 0;
    const lastHeardVdl = judged?.primaryVdl ?? null;
    const atRiskBytes = lastHeardVdl === null ? null : Math.max(0, lastHeardVdl - forkLsn);
    return { forkLsn, lastHeardVdl, atRiskBytes, exact: false };
  }

  /** @returns null when the lease has lapsed or nobody holds it. */
  private async awaitLapse(deadline: number): Promise<Refused | null> {
    const { sight, challenger, neighbours } = this.options;
    let renewals: RenewalCount | null = null;
    while (monotonicMs() < deadline) {
      const { view } = sight;
      if (view === null)
        return {
          code: 'NO_CONTROL_RECORD',
          message: noRecord('none was ever seen here', null, neighbours()),
        };
      if (view.record.holder === null || challenger.mayChallenge(view.seq, monotonicMs())) return null;
      renewals ??= new RenewalCount(view);
      // That writer is not lost, and deposing it by force would only lose data.
      if (renewals.saw(view)) {
        return {
          code: 'PRIMARY_ALIVE',
          message: `the writer of ${view.record.primary} renews its lease; use a switchover, or stop that region first`,
        };
      }
      await pause();
    }
    const { ttlMs, marginMs } = defaultLeaseLimits;
    return {
      code: 'TIMEOUT',
      message: `the lease did not lapse; it does ${ttlMs + marginMs} ms after its last renewal`,
    };
  }

  /** @param since the revision of our own change: what this agent has seen may still be from before it. */
  private async until(
    since: number,
    deadline: number,
    holds: (record: ControlRecord) => boolean,
  ): Promise<ControlRecord | null> {
    while (monotonicMs() < deadline) {
      const { view } = this.options.sight;
      if (view !== null && view.seq >= since && holds(view.record)) return view.record;
      await pause();
    }
    return null;
  }

  /** A gateway may have told of an earlier reign of this region, so the epoch has to fit. */
  private async writing(since: Epoch, deadline: number): Promise<boolean> {
    const { view, region } = this.options;
    while (monotonicMs() < deadline) {
      if (
        view
          .gateways(region, monotonicMs())
          .some((gateway) => gateway.phase === 'writing' && (gateway.epoch ?? 0) >= since)
      )
        return true;
      await pause();
    }
    return false;
  }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pollMs));

function failureCode(outcome: Exclude<Changed, { kind: 'changed' }>): string {
  if (outcome.kind === 'unavailable') return 'CONTROL_UNAVAILABLE';
  switch (outcome.code) {
    case 'moving':
      return 'MOVE_IN_PROGRESS';
    case 'held':
      return 'PRIMARY_ALIVE';
    default:
      return outcome.code.toUpperCase().replaceAll('-', '_');
  }
}

class MutableOperation {
  readonly id: string;
  readonly kind: Operation['kind'];
  private value: Operation;

  constructor(id: string, kind: Operation['kind'], target: string, from: string) {
    this.id = id;
    this.kind = kind;
    this.value = { id, kind, target, from, state: 'running', phases: [] };
  }

  /** The region that is left. */
  get from(): string {
    return this.value.from;
  }

  /** It turned out that another region is the one to leave. */
  leaves(from: string): void {
    this.value = { ...this.value, from };
  }

  phase(name: string): void {
    this.value = {
      ...this.value,
      phases: [...this.endedPhases(), { name, startedAtMs: Date.now(), endedAtMs: null }],
    };
  }

  done(result: NonNullable<Operation['result']>): void {
    this.value = { ...this.value, state: 'done', phases: this.endedPhases(), result };
  }

  fail(code: string, message: string): void {
    this.value = { ...this.value, state: 'failed', phases: this.endedPhases(), error: { code, message } };
  }

  snapshot(): Operation {
    return this.value;
  }

  private endedPhases(): Operation['phases'] {
    return this.value.phases.map((phase) => ({ ...phase, endedAtMs: phase.endedAtMs ?? Date.now() }));
  }
}
