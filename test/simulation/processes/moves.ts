/** Runs an operator's switchover or failover from the target's agent, as the shell's moves do, but without reports. */
import type { ControlStore, ControlView } from '../../../regions/control/core/control-port.ts';
import { abortMove, beginFailover, beginSwitchover } from '../../../regions/control/core/control-record.ts';
import type { ChallengerTimer } from '../../../regions/control/core/lease.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import { type RegionId, regionId } from '../../../storage/redo/ids.ts';
import { changeControl } from './control-store.ts';

export type MoveKind = 'switchover' | 'failover';

type Running = {
  readonly kind: MoveKind;
  readonly id: string;
  readonly deadlineMs: number;
  readonly first: ControlView;
  /** The revision of our own change: what this agent has seen may still be from before it. */
  since: number;
  phase: 'waiting' | 'writing' | 'begun' | 'aborting';
};

export type MovesOptions = {
  readonly region: string;
  readonly store: ControlStore;
  readonly challenger: ChallengerTimer;
  readonly current: () => ControlView | undefined;
  readonly following: () => boolean;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly newId: () => string;
  readonly note: (line: string) => void;
  /** The defect: a lease counts as lapsed at once. */
  readonly hasty: boolean;
};

export class SimMoves {
  private readonly options: MovesOptions;
  private readonly region: RegionId;
  private running: Running | undefined;

  constructor(options: MovesOptions) {
    this.options = options;
    this.region = regionId(options.region);
  }

  /** Begins a move to this region; false when it is refused at once. One runs at a time. */
  begin(kind: MoveKind): boolean {
    const view = this.options.current();
    if (view === undefined || this.running !== undefined || view.record.primary === this.region) return false;
    const limit = kind === 'switchover' ? moveLimits.switchoverMs : moveLimits.failoverMs;
    const id = this.options.newId();
    const running: Running = {
      kind,
      id,
      deadlineMs: this.options.nowMs() + limit,
      first: view,
      since: 0,
      phase: 'waiting',
    };
    if (kind === 'switchover') {
      if (view.record.move !== null || view.record.holder === null || !this.options.following()) return false;
      this.options.note(`switchover ${id} begins`);
      running.phase = 'writing';
      this.running = running;
      const { region } = this;
      changeControl(
        this.options.store,
        ({ record }) => beginSwitchover(record, { id, to: region, startedAtMs: this.options.wallMs() }),
        (changed) => this.begun(running, changed),
      );
      return true;
    }
    this.options.note(`failover ${id} begins`);
    this.running = running;
    return true;
  }

  tick(): void {
    const { running } = this;
    const view = this.options.current();
    if (running === undefined || view === undefined) return;
    if (running.phase === 'waiting') this.awaitLapse(running, view);
    else if (running.phase === 'begun') this.watch(running, view);
  }

  private awaitLapse(running: Running, view: ControlView): void {
    const { record, seq } = view;
    const nowMs = this.options.nowMs();
    const renewed =
      seq > running.first.seq + 1 && record.holder?.incarnation === running.first.record.holder?.incarnation;
    const lapsed = (seen: number): boolean =>
      this.options.hasty || this.options.challenger.mayChallenge(seen, this.options.nowMs());
    if (record.holder !== null && !lapsed(seq)) {
      // Two renewals since we began: that writer is not lost.
      if (renewed || nowMs >= running.deadlineMs) this.over(running, 'the primary is alive');
      return;
    }
    running.phase = 'writing';
    const { region } = this;
    changeControl(
      this.options.store,
      (seen) =>
        beginFailover(seen.record, {
          id: running.id,
          to: region,
          allowDataLoss: true,
          startedAtMs: this.options.wallMs(),
          lapsed: lapsed(seen.seq),
        }),
      (changed) => this.begun(running, changed),
    );
  }

  private begun(running: Running, changed: ControlView | undefined): void {
    if (this.running !== running) return;
    if (changed === undefined) {
      this.over(running, 'refused');
      return;
    }
    running.since = changed.seq;
    running.phase = 'begun';
  }

  private watch(running: Running, { seq, record }: ControlView): void {
    if (seq < running.since) return;
    if (record.move?.id !== running.id) {
      this.over(running, record.primary === this.region ? 'done' : 'given up');
      return;
    }
    if (this.options.nowMs() < running.deadlineMs) return;
    if (running.kind === 'failover') {
      this.over(running, 'goes on by itself');
      return;
    }
    running.phase = 'aborting';
    changeControl(
      this.options.store,
      (seen) => abortMove(seen.record, { id: running.id }),
      (changed) => this.over(running, changed === undefined ? 'not aborted' : 'aborted'),
    );
  }

  private over(running: Running, how: string): void {
    this.options.note(`${running.kind} ${running.id}: ${how}`);
    if (this.running === running) this.running = undefined;
  }
}
