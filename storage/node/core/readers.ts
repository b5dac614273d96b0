/** Who reads a node's log and its pages, and those who wait there for news. */
import type { Branches } from '../../branches/core/branches.ts';
import type { EpochTree } from '../../history/epoch-tree.ts';
import type { Segment } from '../../log/core/segment.ts';
import type { BranchName, Epoch } from '../../redo/ids.ts';
import { nodeLimits } from '../../redo/limits.ts';
import { FetchWaiters } from '../../waiting/core/fetch-waiters.ts';
import type { FetchRequest, ReadPagesRequest, RefusedReply } from '../../wire/core/messages.ts';
import { fetchAnswer, type Held, type Refusal, refusesFetch, refusesRead } from './answers.ts';
import type { Caller, NodeEffect } from './node-events.ts';

/** What the node holds at this moment. */
export interface Reading extends Held {
  /** The newest path of a branch. */
  readonly headOf: (branch: BranchName) => Epoch;
  readonly sealed: Epoch;
}

/** @param branches told what is durable on a path, and of the seal of `main`. */
export function readingOf(
  tree: EpochTree,
  segment: Segment,
  branches: Pick<Branches, 'durableOn' | 'main'>,
): Reading {
  return {
    tree,
    segment,
    durableOn: (head) => branches.durableOn(head),
    headOf: (name) => tree.headOf(name),
    get sealed() {
      return branches.main.sealed;
    },
  };
}

export class Readers {
  private readonly waiters = new FetchWaiters();

  fetch(
    caller: Caller | null,
    request: FetchRequest,
    reading: Reading,
    nowMs: number,
  ): readonly NodeEffect[] {
    if (caller === null) return [];
    const refusal = refusesFetch(reading, request.head ?? reading.headOf(request.branch), request);
    if (refusal !== null) return [refused(caller, refusal, reading)];
    const answer = answerTo(caller, request, reading, request.waitMs === 0);
    if (answer !== null) return [answer];
    if (this.waiters.add(caller, request, nowMs)) return [];
    const reason = `${nodeLimits.fetchWaitersMax} fetches wait here already`;
    return [refused(caller, { code: 'OVERLOADED', reason }, reading)];
  }

  /** Answers those who waited for what is there now, or long enough. */
  serve(reading: Reading, nowMs: number): readonly NodeEffect[] {
    const effects: NodeEffect[] = [];
    this.waiters.serve(nowMs, (caller, request, overdue) => {
      const answer = answerTo(caller, request, reading, overdue);
      if (answer !== null) effects.push(answer);
      return answer !== null;
    });
    return effects;
  }

  forget(caller: Caller): void {
    this.waiters.forget(caller);
  }

  readPages(caller: Caller | null, request: ReadPagesRequest, reading: Reading): readonly NodeEffect[] {
    if (caller === null) return [];
    const refusal = refusesRead(reading, request);
    if (refusal !== null) return [refused(caller, refusal, reading)];
    const { head, readPoint, pages } = request;
    return [{ kind: 'replyPages', caller, head, readPoint, pages }];
  }
}

/** @returns null when there is no news and `force` is not set. */
function answerTo(
  caller: Caller,
  request: FetchRequest,
  reading: Reading,
  force: boolean,
): NodeEffect | null {
  const answer = fetchAnswer(reading, request.head ?? reading.headOf(request.branch), request, force);
  return answer === null ? null : { kind: 'replyFrames', caller, answer };
}

function refused(caller: Caller, refusal: Refusal, { sealed }: Reading): NodeEffect {
  const reply: RefusedReply = { kind: 'refused', ...refusal, sealed };
  return { kind: 'reply', caller, reply };
}
