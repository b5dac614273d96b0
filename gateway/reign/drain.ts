/** Drives a drain (`core/drain.ts`): looks at the streams that may hold it up, every few milliseconds, and acts on them. */
import { type Runtime, type Timer, unreachable } from '../../storage/index.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import { Drain, type DrainEffect, type DrainEvent } from './core/drain.ts';
import type { Reign } from './reign.ts';
import type { RoleVolume } from './role-volume.ts';

/** A stream with a transaction that may write, or an operation under way that may. */
export interface Drainable {
  /** No operation is under way. */
  readonly isIdle: boolean;
  /** Rolls back what is open; the client is told until it ends the transaction. */
  lose(error: SqlError): void;
  /** Stops the write that runs, if SQLite can be interrupted, and tells the client why. */
  stopWrite(error: SqlError): void;
}

export interface DrainOptions {
  readonly volume: Pick<RoleVolume, 'writer' | 'settledChanges'>;
  readonly runtime: Runtime;
  /** Streams that may write now. */
  readonly sessions: { readonly writing: readonly Drainable[] };
  readonly reign: Pick<Reign, 'isSettled'>;
  /** Nothing is open any more and everything committed is durable. Runs at most once, and not after `close`. */
  readonly onDrained: (tookMs: number) => void;
  /** Whether it goes to another region, or back in history: there transactions are not waited for, and are told so. */
  readonly why: 'move' | 'rewind';
}

const lookEveryMs = 2;

export class DrainDriver {
  private readonly options: DrainOptions;
  private readonly drain: Drain;
  private readonly ticker: Timer;

  constructor(options: DrainOptions) {
    this.options = options;
    const { runtime, why } = options;
    this.drain = why === 'rewind' ? new Drain(runtime.nowMs(), 0) : new Drain(runtime.nowMs());
    this.ticker = options.runtime.every(lookEveryMs, () => this.look());
    void options.volume.settledChanges().then(() => {
      this.step({ kind: 'opened' });
      this.look();
    });
  }

  /** The reign is over, or goes on. */
  close(): void {
    this.step({ kind: 'ended' });
  }

  private look(): void {
    const { sessions, reign, volume } = this.options;
    if (this.drain.phase === 'over') return;
    const { writing } = sessions;
    const idle = writing.filter((session) => session.isIdle).length;
    const { isSettled } = reign;
    const threadStuckMs = volume.writer.stuckMs;
    this.step({ kind: 'look', view: { idle, running: writing.length - idle, isSettled, threadStuckMs } });
  }

  private step(event: DrainEvent): void {
    const effects = this.drain.step(event, this.options.runtime.nowMs());
    if (this.drain.phase === 'over') this.ticker.stop();
    for (const effect of effects) this.carryOut(effect);
  }

  private carryOut(effect: DrainEffect): void {
    const { sessions, volume, onDrained, why } = this.options;
    const told = why === 'rewind' ? rewound() : movedAway();
    switch (effect.kind) {
      case 'loseIdle':
        for (const session of sessions.writing) if (session.isIdle) session.lose(told);
        return;
      case 'stopRunning':
        for (const session of sessions.writing) session.stopWrite(told);
        return;
      case 'abandonThread':
        volume.writer.abandon(`it holds a ${why} up`);
        return;
      case 'drained':
        onDrained(effect.tookMs);
        return;
      default:
        unreachable(effect);
    }
  }
}

/** What a drain tells a transaction that lasted too long. */
const movedAway = (): SqlError =>
  adviseError(
    'SEXTANT_MOVE_IN_PROGRESS',
    'The primary moves to another region and the transaction, which was open for too long, was rolled back',
  );

/** What a transaction is told that is open when history goes back. */
const rewound = (): SqlError =>
  adviseError(
    'SEXTANT_HISTORY_FORKED',
    'The database is taken to another place in its history (sextant rewind), and the transaction was rolled back',
  );
