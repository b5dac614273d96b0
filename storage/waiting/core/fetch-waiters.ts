/** Fetches that wait at a node for news, each until its own deadline. */
import { nodeLimits } from '../../redo/limits.ts';
import type { FetchRequest } from '../../wire/core/messages.ts';
import type { Caller } from './caller.ts';

interface Waiter {
  readonly caller: Caller;
  readonly request: FetchRequest;
  readonly deadlineMs: number;
}

export class FetchWaiters {
  private waiters: readonly Waiter[] = [];

  /** @returns false when as many wait as may. */
  add(caller: Caller, request: FetchRequest, nowMs: number): boolean {
    if (this.waiters.length >= nodeLimits.fetchWaitersMax) return false;
    this.waiters = [...this.waiters, { caller, request, deadlineMs: nowMs + request.waitMs }];
    return true;
  }

  forget(caller: Caller): void {
    this.waiters = this.waiters.filter((waiter) => waiter.caller !== caller);
  }

  /** Offers every waiter an answer; `answer` says whether it gave one, and has to when the waiter is overdue. */
  serve(nowMs: number, answer: (caller: Caller, request: FetchRequest, overdue: boolean) => boolean): void {
    if (this.waiters.length === 0) return;
    this.waiters = this.waiters.filter(
      ({ caller, request, deadlineMs }) => !answer(caller, request, nowMs >= deadlineMs),
    );
  }
}
