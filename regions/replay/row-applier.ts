/**
 * Brings lost rows back in transactions of bounded size (`batch-replay.ts`). It can be cut off and begun again at any time: what a
 * transaction has brought back the next one finds there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { patienceMs, pauseMs } from '../transfer/import-target.ts';
import type { SqlLink } from '../transfer/sql-link.ts';
import { TransferError } from '../transfer/transfer-error.ts';
import { type BatchEnd, type BatchOptions, BatchReplay, type Blocked } from './batch-replay.ts';
import type { Conflict } from './core/judgement.ts';
import type { LostRow } from './core/lost-row.ts';
import { type BatchBounds, batchesOf, replayOrder } from './core/replay-order.ts';
import type { ForeignKey, Target } from './core/target.ts';
import { meaningOf, TransactionLost } from './replay-transaction.ts';

/** A transaction holds up other writers for three round trips: it takes no more than so much. */
export const defaultBounds: BatchBounds = { rows: 500, chars: 1024 * 1024 };

export interface ApplierOptions extends BatchOptions {
  readonly bounds?: BatchBounds;
  readonly patienceMs?: number;
}

export interface ApplierListener {
  /** @param done rows that are settled, of `total`. */
  readonly progress: (done: number, total: number) => void;
  /** Hears of an outage that is waited out. */
  readonly note: (text: string) => void;
}

export interface AppliedRows {
  readonly applied: readonly LostRow[];
  readonly alreadyThere: readonly LostRow[];
  readonly conflicts: readonly Conflict[];
  readonly suspended: readonly string[];
  readonly transactions: number;
}

export class RowApplier {
  private readonly options: ApplierOptions;
  private readonly listener: ApplierListener;
  private readonly batches: BatchReplay;
  private readonly foreignKeys: readonly ForeignKey[];
  private readonly applied: LostRow[] = [];
  private readonly there: LostRow[] = [];
  private readonly conflicts: Conflict[] = [];

  /** @param link to a gateway whose writes are the deployment's. */
  constructor(link: SqlLink, target: Target, options: ApplierOptions, listener: ApplierListener) {
    this.options = options;
    this.listener = listener;
    this.batches = new BatchReplay(link, target, options);
    this.foreignKeys = target.foreignKeys;
  }

  /** @throws TransferError when nobody answers for long, or what is asked for is refused; what was committed stays. */
  async run(rows: readonly LostRow[]): Promise<AppliedRows> {
    let waiting = replayOrder(rows, this.foreignKeys);
    for (;;) {
      const before = this.applied.length;
      const blocked = await this.pass(waiting, rows.length);
      // What refers to a row of a later transaction finds it there the next time.
      if (blocked.length > 0 && this.applied.length > before && !this.options.dryRun) {
        waiting = blocked.map(({ row }) => row);
        continue;
      }
      this.conflicts.push(...blocked.map((each) => ({ ...each, reason: 'foreign key' as const })));
      break;
    }
    return {
      applied: this.applied,
      alreadyThere: this.there,
      conflicts: this.conflicts,
      suspended: this.batches.suspended,
      transactions: this.batches.transactions,
    };
  }

  private async pass(rows: readonly LostRow[], total: number): Promise<readonly Blocked[]> {
    const queue = [...batchesOf(rows, this.options.bounds ?? defaultBounds)];
    const blocked: Blocked[] = [];
    let pause: number = pauseMs.first;
    let [progressedAtMs, noted] = [performance.now(), ''];
    for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
      let end: BatchEnd;
      try {
        end = await this.batches.bringBack(batch);
      } catch (error) {
        if (!(error instanceof TransactionLost)) throw error;
        const { failure, atCommit } = error;
        const meaning = meaningOf(failure.code);
        const isLate = performance.now() - progressedAtMs > (this.options.patienceMs ?? patienceMs);
        if (meaning === 'smaller') this.divide(queue, batch, 'too large', failure.message);
        else if (meaning === 'stop' && atCommit) this.divide(queue, batch, 'constraint', failure.message);
        else if (meaning === 'stop' || isLate) throw this.stopped(failure.message, failure.code);
        else {
          if (failure.message !== noted)
            this.listener.note(`${failure.message}; the replay goes on by itself`);
          noted = failure.message;
          await sleep(pause);
          pause = Math.min(pauseMs.longest, pause * 2);
          queue.unshift(batch);
        }
        continue;
      }
      [pause, progressedAtMs, noted] = [pauseMs.first, performance.now(), ''];
      if (end.kind === 'stale') queue.unshift(batch);
      else if (end.kind === 'rolledBack') {
        const { by } = end;
        this.conflicts.push(by);
        const others = batch.filter((row) => row !== by.row);
        if (others.length > 0) queue.unshift(others);
      } else {
        const { settled } = end;
        this.applied.push(...settled.applied);
        this.there.push(...settled.there);
        this.conflicts.push(...settled.conflicts);
        blocked.push(...settled.blocked);
        this.listener.progress(this.applied.length + this.there.length + this.conflicts.length, total);
      }
    }
    return blocked;
  }

  /** Halves of what could not be done at once; a single row is a conflict. */
  private divide(
    queue: (readonly LostRow[])[],
    batch: readonly LostRow[],
    reason: 'too large' | 'constraint',
    detail: string,
  ): void {
    const [row] = batch;
    const half = Math.ceil(batch.length / 2);
    if (batch.length > 1) queue.unshift(batch.slice(0, half), batch.slice(half));
    else if (row !== undefined) this.conflicts.push({ row, reason, detail, now: null });
  }

  private stopped(message: string, code: string | null): TransferError {
    const { applied, there, conflicts } = this;
    const what = this.options.dryRun
      ? 'Nothing has been changed'
      : `${applied.length} rows have been brought back and stay, ${there.length} were there, ${conflicts.length} are in conflict: the same command goes on`;
    return new TransferError(`${message}. ${what}`, code ?? undefined);
  }
}
