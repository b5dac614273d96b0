/**
 * Which reading thread takes a statement, when another thread is to start, and whose statement is stopped when none is left.
 * Pure. A thread carries out one statement at a time, and nobody knows beforehand which will take long: what counts is how
 * long the one that runs has run.
 */

export interface ReaderView {
  readonly id: number;
  /** How long it will take to answer the statements given to it, going by what statements took lately; microseconds. */
  readonly queuedUs: number;
  /** Read transactions that live on it. */
  readonly pinned: number;
  /** How long the statement that runs on it has run; 0 when none does. */
  readonly runningMs: number;
  /** How much of that it has waited for pages. */
  readonly fetchingMs: number;
  /** The part of its time for which it was carrying statements out lately, 0 to 1. */
  readonly busyShare: number;
}

export interface ReaderLimits {
  /** Threads at most. */
  readonly readerThreads: number;
  /** A statement that has run longer is taken for a slow one: nothing new is given to its thread. */
  readonly slowMs: number;
  /** When no thread is free for this long, the slow statement that has run longest is stopped. */
  readonly readerWaitMs: number;
  /** Unless it has run less than this. */
  readonly slowShareMs: number;
}

export interface ReaderChoice {
  /** The thread that takes it; null: it waits for one. */
  readonly thread: number | null;
  /** Another thread should be started. */
  readonly start: boolean;
}

/**
 * Waiting for pages for this long makes a statement one that others need another thread for. Less does not: where one thread has
 * cold pages a new one has colder ones, and asks for all of them again.
 */
const fetchPatienceMs = 100;

/** Whether what a thread does is worth starting another one. */
const isTaken = ({ pinned, runningMs, fetchingMs }: ReaderView, { slowMs }: ReaderLimits): boolean =>
  pinned > 0 || runningMs - fetchingMs >= slowMs || fetchingMs >= fetchPatienceMs;

const isFree =
  (limits: ReaderLimits) =>
  (thread: ReaderView): boolean =>
    thread.runningMs < limits.slowMs;

/**
 * A thread with no more than this queued takes more. Statements that go to one thread travel in one message and find the same
 * warm pages, which is worth more than a second thread saves while the wait is this short.
 */
export const packUs = 1_000;

/** The first one that has little queued, or the one that has least. */
function firstWithRoom(best: ReaderView | null, thread: ReaderView): ReaderView {
  return best === null || (best.queuedUs > packUs && thread.queuedUs < best.queuedUs) ? thread : best;
}

/**
 * A thread for a statement outside transactions: one that no transaction lives on if there is one, so that neither waits
 * for the other. Makes no arrays: every read passes here. @param starting threads that are being started.
 */
export function chooseForStatement(
  threads: readonly ReaderView[],
  starting: number,
  limits: ReaderLimits,
): ReaderChoice {
  let free: ReaderView | null = null;
  let unpinned: ReaderView | null = null;
  for (const thread of threads) {
    if (thread.runningMs >= limits.slowMs) continue;
    free = firstWithRoom(free, thread);
    if (thread.pinned === 0) unpinned = firstWithRoom(unpinned, thread);
  }
  return {
    thread: (unpinned ?? free)?.id ?? null,
    start:
      unpinned === null &&
      starting === 0 &&
      threads.length < limits.readerThreads &&
      threads.every((thread) => isTaken(thread, limits)),
  };
}

/** A thread for a read transaction: one that others live on already, so that the rest stays free for single statements. */
export function chooseForTransaction(
  threads: readonly ReaderView[],
  starting: number,
  limits: ReaderLimits,
): ReaderChoice {
  const free = threads.filter(isFree(limits));
  const pinned = free.filter((thread) => thread.pinned > 0);
  const unpinned = free.filter((thread) => thread.pinned === 0);
  const from = pinned.length > 0 ? pinned : unpinned;
  // Of several without transactions the last one started is taken: the first has the warmest pages for single statements.
  const chosen =
    pinned.length > 0 || from.length === 0 ? from : [from.reduce((a, b) => (b.id > a.id ? b : a))];
  return {
    thread: chosen.length === 0 ? null : chosen.reduce((a, b) => (b.queuedUs < a.queuedUs ? b : a)).id,
    start:
      starting === 0 &&
      threads.length < limits.readerThreads &&
      unpinned.length - (pinned.length > 0 ? 0 : 1) < 1,
  };
}

/**
 * Whose statement is stopped so that others get on: that of the thread that has run longest, once somebody has waited for
 * `readerWaitMs` and no more threads may be started. @param waitedMs how long the first in the queue has waited.
 */
export function chooseToStop(
  threads: readonly ReaderView[],
  starting: number,
  waitedMs: number,
  limits: ReaderLimits,
): number | null {
  if (waitedMs < limits.readerWaitMs || starting > 0 || threads.length < limits.readerThreads) return null;
  if (threads.some(isFree(limits))) return null;
  const longest = threads.reduce((a, b) => (b.runningMs > a.runningMs ? b : a));
  return longest.runningMs >= limits.slowShareMs ? longest.id : null;
}
