/**
 * When load makes a pool of reading threads grow, and which thread it can do without. Pure. Threads for slow statements are
 * another matter (`reader-choice.ts`): those are started at once, since somebody would wait for seconds.
 */
import { packUs, type ReaderView } from './reader-choice.ts';

/** More than fits in a thread has to wait for this long in sum before another one is worth its start and its cache. */
const growAfterMs = 250;
/** A thread that rests for more of its time than this leaves waits for others, the main thread above all: a second one would, too. */
const busyShareMin = 0.8;
/** Over so long a thread's share is taken. */
const stretchMs = 100;
/** A look that comes late says nothing of the time in between. */
const stepMaxMs = 20;

/** Threads that take whatever comes: no transaction lives there, and no statement has run for long. */
const takesMore = ({ pinned, runningMs }: ReaderView, slowMs: number): boolean =>
  pinned === 0 && runningMs < slowMs;

/** For how long the threads of a pool have had more to do than they are packed with. */
export class PoolLoad {
  private crowdedMs = 0;
  private lookedAtMs: number | null = null;

  /** One look, every few milliseconds while anything is under way. @returns whether another thread should be started for load. */
  look(threads: readonly ReaderView[], slowMs: number, nowMs: number): boolean {
    const stepMs = this.lookedAtMs === null ? 0 : Math.min(stepMaxMs, nowMs - this.lookedAtMs);
    this.lookedAtMs = nowMs;
    const open = threads.filter((thread) => takesMore(thread, slowMs));
    const isCrowded =
      open.length > 0 &&
      open.every(({ queuedUs, busyShare }) => queuedUs > packUs && busyShare >= busyShareMin);
    this.crowdedMs = Math.max(0, this.crowdedMs + (isCrowded ? stepMs : -stepMs));
    if (this.crowdedMs < growAfterMs) return false;
    this.crowdedMs = 0;
    return true;
  }
}

/** How much of its time a thread was carrying statements out, over stretches of a tenth of a second. */
export class BusyShare {
  private us = 0;
  private sinceMs: number | null = null;
  /** Of the stretch before. */
  share = 0;

  /** A statement took so long. */
  add(us: number): void {
    this.us += us;
  }

  /** One look, every few milliseconds while anything is under way; a stretch that nobody looked at says nothing. */
  look(nowMs: number): void {
    const lengthMs = nowMs - (this.sinceMs ?? nowMs);
    if (this.sinceMs !== null && lengthMs < stretchMs) return;
    if (lengthMs > 0) this.share = lengthMs > 2 * stretchMs ? 0 : Math.min(1, this.us / 1_000 / lengthMs);
    this.us = 0;
    this.sinceMs = nowMs;
  }
}

/** A thread as far as it can be done without. */
export interface IdleView {
  readonly id: number;
  /** How long it has had nothing to do; 0 while it has, or while a transaction lives on it. */
  readonly idleMs: number;
}

/** The thread that ends because nobody needs it: the last one that has been idle for so long, and never the only one. */
export function chooseToEnd(threads: readonly IdleView[], readerIdleMs: number): number | null {
  if (threads.length < 2) return null;
  return threads.findLast(({ idleMs }) => idleMs >= readerIdleMs)?.id ?? null;
}
