/** Reads that wait for this region's volume to get somewhere: each until it is there, or its time is up. */
import { type Lsn, maxLsn } from '../../storage/core.ts';

interface Waiter {
  readonly lsn: Lsn;
  readonly done: (reached: boolean) => void;
}

export class ReadWaiters {
  private waiting: Waiter[] = [];

  get size(): number {
    return this.waiting.length;
  }

  /** Resolves with true once `reached` has been called with `lsn` or beyond, with false after `waitMs`. */
  wait(lsn: Lsn, waitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        lsn,
        done: (reached) => {
          clearTimeout(timer);
          resolve(reached);
        },
      };
      const timer = setTimeout(() => {
        this.waiting = this.waiting.filter((other) => other !== waiter);
        resolve(false);
      }, waitMs);
      this.waiting.push(waiter);
    });
  }

  /** Reads see everything up to `at`, which they have to whatever they ask for: @param least not before that. */
  reached(at: Lsn, least: Lsn): void {
    const isThere = ({ lsn }: Waiter): boolean => maxLsn(lsn, least) <= at;
    const ready = this.waiting.filter(isThere);
    if (ready.length === 0) return;
    this.waiting = this.waiting.filter((waiter) => !isThere(waiter));
    for (const { done } of ready) done(true);
  }

  /** Nobody waits any more. */
  close(): void {
    for (const { done } of this.waiting.splice(0)) done(false);
  }
}
