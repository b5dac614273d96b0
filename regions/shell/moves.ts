/**
 * Runs switchovers and failovers: the target region's agent begins the move in the control record, the gateways do
 * what the record says, and this watches until the new writer writes or the time is up. Nothing here waits for the
 * region that is being left behind in a failover; only for its lease to lapse.
 */
import { randomBytes } from 'node:crypto';
import { type Epoch, type RegionId, unreachable } from '../../storage/core/ids.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { ControlStore, ControlView } from '../core/control-port.ts';
import { abortMove, beginFailover, beginSwitchover, type ControlRecord } from '../core/control-record.ts';
import { type ChallengerTimer, defaultLeaseLimits } from '../core/lease.ts';
import { moveLimits } from '../core/limits.ts';
import type { Operation } from '../core/operations.ts';
import type { ClusterView } from '../core/report.ts';
import { monotonicMs } from './clock.ts';
import { type Changed, changeControl } from './control-link.ts';

export interface MovesOptions {
  readonly region: RegionId;
  readonly store: ControlStore;
  readonly view: ClusterView;
  readonly challenger: ChallengerTimer;
  /** The newest control view this agent has seen. */
  readonly current: () => ControlView | null;
  /** What is durable in this region, and what its primary last said was durable there. */
  readonly position: () => { readonly vdl: number; readonly primaryVdl: number; readonly following: boolean };
  readonly log: Logger;
}

type Refused = { readonly code: string; readonly message: string };
const pollMs = 20;

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

  switchover(): Operation | Refused {
    const record = this.record();
    if ('code' in record) return record;
    const refusal = this.switchoverProblem(record);
    if (refusal !== null) return refusal;
    return this.start('switchover', record, (operation) => this.runSwitchover(operation));
  }

  failover(allowDataLoss: boolean): Operation | Refused {
    const record = this.record();
    if ('code' in record) return record;
    const { region } = this.options;
    if (record.primary === region)
      return { code: 'ALREADY_PRIMARY', message: `${region} is the primary region already` };
    const { vdl, primaryVdl } = this.options.position();
    if (!allowDataLoss) {
      return {
        code: 'DATA_LOSS_POSSIBLE',
        message:
          `${region} is durable to LSN ${vdl}; ${record.primary} was last heard at ${primaryVdl} and may have acknowledged more since. ` +
          'If it can still be reached, use a switchover, which loses nothing. Otherwise allow data loss explicitly (--allow-data-loss); ' +
          'what is lost stays on the old region and is listed when it returns.',
      };
    }
    return this.start('failover', record, (operation) => this.runFailover(operation, allowDataLoss));
  }

  private record(): ControlRecord | Refused {
    const view = this.options.current();
    return (
      view?.record ?? {
        code: 'NO_CONTROL_RECORD',
        message: 'the control record cannot be read: NATS has no leader, or this agent has lost it',
      }
    );
  }

  private switchoverProblem(record: ControlRecord): Refused | null {
    const { region, view } = this.options;
    if (record.primary === region)
      return { code: 'ALREADY_PRIMARY', message: `${region} is the primary region already` };
    if (record.move !== null) {
      return {
        code: 'MOVE_IN_PROGRESS',
        message: `${record.move.kind} ${record.move.id} to ${record.move.to} is under way`,
      };
    }
    const status = view.status(monotonicMs());
    const target = status.regions.find((candidate) => candidate.name === region);
    const primary = status.regions.find((candidate) => candidate.name === record.primary);
    if (primary?.writer === null || primary === undefined || record.holder === null) {
      return {
        code: 'NO_WRITER',
        message: `${record.primary} has no writer to take over from; if it is lost, use a failover`,
      };
    }
    if (!this.options.position().following) {
      return { code: 'TARGET_NOT_READY', message: `${region} is not receiving from ${record.primary}` };
    }
    if (target === undefined || target.lagMs > moveLimits.switchoverLagMsMax) {
      return {
        code: 'TARGET_BEHIND',
        message: `${region} is ${target?.lagMs ?? '?'} ms behind; a switchover begins at ${moveLimits.switchoverLagMsMax} ms or less`,
      };
    }
    if (view.gateways(region, monotonicMs()).length === 0) {
      return { code: 'TARGET_NOT_READY', message: `${region} has no gateway that could become the writer` };
    }
    return null;
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
    if (begun.kind !== 'changed') return operation.fail(failureCode(begun), begun.reason);
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
    if (taken.primary !== region)
      return operation.fail('ABORTED', 'the move was given up: the old primary continues');
    operation.phase('promoting');
    if (!(await this.writing(taken.epoch, deadline)))
      return operation.fail('TIMEOUT', `${region} is primary, but its gateway does not write yet`);
    operation.done({
      epoch: this.options.current()?.record.epoch ?? taken.epoch,
      pauseMs: Math.round(monotonicMs() - heldAtMs),
    });
  }

  private async abort(operation: MutableOperation, why: string): Promise<void> {
    const aborted = await changeControl(this.options.store, ({ record }) =>
      abortMove(record, { id: operation.id }),
    );
    operation.fail('TIMEOUT', `${why}; ${afterAbort(aborted)}`);
  }

  private async runFailover(operation: MutableOperation, allowDataLoss: boolean): Promise<void> {
    const { store, region, challenger, position } = this.options;
    const begunAtMs = monotonicMs();
    const deadline = begunAtMs + moveLimits.failoverMs;
    operation.phase('waiting-for-lease');
    const alive = await this.awaitLapse(deadline);
    if (alive !== null) return operation.fail(alive.code, alive.message);
    const { vdl, primaryVdl } = position();
    operation.phase('deposing');
    const begun = await changeControl(store, ({ record, seq }) =>
      beginFailover(record, {
        id: operation.id,
        to: region,
        allowDataLoss,
        startedAtMs: Date.now(),
        lapsed: challenger.mayChallenge(seq, monotonicMs()),
      }),
    );
    if (begun.kind !== 'changed') return operation.fail(failureCode(begun), begun.reason);
    operation.phase('promoting');
    const taken = await this.until(begun.view.seq, deadline, (record) => record.move?.id !== operation.id);
    if (taken !== null && taken.primary !== region)
      return operation.fail('ABORTED', `the move was given up: ${taken.primary} stays primary`);
    if (taken === null || !(await this.writing(taken.epoch, deadline))) {
      return operation.fail(
        'TIMEOUT',
        `${operation.from} is deposed, and no gateway of ${region} writes yet; it goes on trying`,
      );
    }
    const atRiskBytes = Math.max(0, primaryVdl - vdl);
    operation.done({
      epoch: this.options.current()?.record.epoch ?? taken.epoch,
      rtoMs: Math.round(monotonicMs() - begunAtMs),
      loss: { forkLsn: vdl, lastHeardVdl: primaryVdl, atRiskBytes, exact: false },
    });
  }

  /** @returns null when the lease has lapsed or nobody holds it. */
  private async awaitLapse(deadline: number): Promise<Refused | null> {
    const { current, challenger } = this.options;
    const first = current();
    while (monotonicMs() < deadline) {
      const view = current();
      if (view === null) return { code: 'NO_CONTROL_RECORD', message: 'the control record cannot be read' };
      if (view.record.holder === null || challenger.mayChallenge(view.seq, monotonicMs())) return null;
      // Two renewals since we began: that writer is not lost, and deposing it by force would only lose data.
      if (
        first !== null &&
        view.seq > first.seq + 1 &&
        view.record.holder.incarnation === first.record.holder?.incarnation
      ) {
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
      const view = this.options.current();
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

function afterAbort(aborted: Changed): string {
  switch (aborted.kind) {
    case 'changed':
      return 'the old primary continues';
    case 'refused':
      return 'the move had ended by then: the status tells where the primary is';
    case 'unavailable':
      return `and giving the move up failed: ${aborted.reason}`;
    default:
      return unreachable(aborted);
  }
}

class MutableOperation {
  readonly id: string;
  readonly from: string;
  private value: Operation;

  constructor(id: string, kind: Operation['kind'], target: string, from: string) {
    this.id = id;
    this.from = from;
    this.value = { id, kind, target, from, state: 'running', phases: [] };
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
