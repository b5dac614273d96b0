/** Moves as a drill makes them: begun at whoever answers, tried again while that helps, and watched to their end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Operation } from '../../moves/core/operations.ts';
import { heirs } from '../core/status-sight.ts';
import { drillClock } from '../load/machine-clock.ts';
import type { DrillTarget } from './drill-target.ts';

const pollMs = 50;
const againMs = 300;
/** So long a move that is refused for a passing reason is asked for again. */
const beginPatienceMs = 45_000;
const movePatienceMs = 120_000;

/** Refusals that pass by themselves: an election, a region that is not quite level, a move that is about to end. */
const passing: ReadonlySet<string> = new Set([
  'NO_CONTROL_RECORD',
  'CONTROL_UNAVAILABLE',
  'AGENT_UNREACHABLE',
  'NO_WRITER',
  'TARGET_NOT_READY',
  'TARGET_BEHIND',
  'TARGET_NOT_JOINED',
  'SURVIVOR_UNKNOWN',
  'MOVE_IN_PROGRESS',
]);

export interface MoveMade {
  readonly operation: Operation;
  /** When the request that began it was sent; a moment of the drill's clock. */
  readonly askedAtMs: number;
}

/** Follows a move. */
export interface MoveWatch {
  /** Tells what goes on, for people. */
  readonly say: (event: string) => void;
  /** From its abort on the move is watched no more. It goes on all the same. */
  readonly signal: AbortSignal;
  readonly onBegun: (operation: Operation) => void;
}

/**
 * Begins a move to the first of `candidates` that takes it, and waits for its end.
 * @throws Error with the reason when nobody takes it, or it fails.
 */
async function moveTo(
  target: DrillTarget,
  kind: 'switchover' | 'failover',
  candidates: () => Promise<readonly string[]>,
  { say, signal, onBegun }: MoveWatch,
): Promise<MoveMade> {
  const deadline = performance.now() + beginPatienceMs;
  let why = 'no region can take over';
  while (performance.now() < deadline) {
    for (const to of await candidates()) {
      const askedAtMs = drillClock.now();
      const begun = await target.begin(kind, to);
      if (begun.kind === 'begun') {
        onBegun(begun.operation);
        say(`${kind} to ${to} begins`);
        const operation = await moveEnded(target, begun.operation, signal);
        if (operation.state === 'done') return { operation, askedAtMs };
        if (!gaveUpWaiting(operation)) throw failure(operation);
        why = failure(operation).message;
        say(why);
        continue;
      }
      const reason = begun.kind === 'refused' ? `${begun.code}: ${begun.message}` : begun.message;
      if (reason !== why) say(`${kind} to ${to} is not taken yet: ${reason}`);
      why = reason;
      if (begun.kind === 'refused' && !passing.has(begun.code)) throw new Error(why);
    }
    await sleep(againMs, undefined, { signal });
  }
  throw new Error(why);
}

/** A move as it is at its end. @throws Error when it does not end, with the reason of `signal` when that aborts. */
export async function moveEnded(
  target: DrillTarget,
  begun: Operation,
  signal: AbortSignal,
): Promise<Operation> {
  const deadline = performance.now() + movePatienceMs;
  let operation = begun;
  while (operation.state === 'running') {
    if (performance.now() > deadline) throw new Error(`${operation.kind} ${operation.id} does not end`);
    await sleep(pollMs, undefined, { signal });
    operation = (await target.operation(begun.id)) ?? operation;
  }
  return operation;
}

/** It waited for its target in vain, for a reason that passes, and changed nothing. */
function gaveUpWaiting({ phases, error }: Operation): boolean {
  return phases.every(({ name }) => name === 'waiting-for-target') && passing.has(error?.code ?? '');
}

const failure = ({ kind, error }: Operation): Error =>
  new Error(`the ${kind} failed: ${error?.code ?? ''} ${error?.message ?? ''}`.trim());

/** A planned move. */
export const switchOver = (target: DrillTarget, to: string, watch: MoveWatch): Promise<MoveMade> =>
  moveTo(target, 'switchover', () => Promise.resolve([to]), watch);

/** Away from a lost region, to the survivor that holds most. */
export const failOver = (target: DrillTarget, lost: string, watch: MoveWatch): Promise<MoveMade> =>
  moveTo(
    target,
    'failover',
    async () => {
      const status = await target.status(lost);
      return status === null ? [] : heirs(status, lost);
    },
    watch,
  );

/** Waits for the policy to move the primary. @returns the new primary, or null when it did not within `patienceMs`. */
export async function movedByPolicy(
  target: DrillTarget,
  lost: string,
  patienceMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    const status = await target.status(lost);
    if (
      status !== null &&
      status.primary !== null &&
      status.primary !== lost &&
      status.state !== 'failing-over'
    )
      return status.primary;
    await sleep(pollMs, undefined, { signal });
  }
  return null;
}
