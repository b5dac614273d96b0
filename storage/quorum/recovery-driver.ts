/** Runs a recovery over a region's nodes: the pure recovery says what to send, and hears what came back. */

import type { NodeLinks } from '../client/node-links.ts';
import { setsOf } from '../members/core/quorum-sets.ts';
import { machine, type Runtime } from '../process/runtime.ts';
import { type Epoch, type NodeId, unreachable } from '../redo/ids.ts';
import {
  type Recovered,
  Recovery,
  type RecoveryEffect,
  type RecoveryEvent,
  type RecoveryGoal,
  type RecoveryPhase,
} from './core/recovery.ts';

export type RecoveryResult =
  | { readonly kind: 'recovered'; readonly outcome: Recovered }
  /** A newer reign holds the nodes. */
  | { readonly kind: 'fenced'; readonly by: Epoch }
  /** Not possible as things are; trying again with the same goal does not help. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** Too few nodes answered, and nothing got on for the time. A `fork` that timed out may have been forked: take a new epoch to try again. */
  | { readonly kind: 'timeout'; readonly phase: string }
  | { readonly kind: 'aborted' };

export interface RecoveryOptions {
  /** Given up when nothing has got on for so long. However much has to be copied, as long as it is. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Default: this machine. */
  readonly runtime?: Runtime;
  /** Frames fetched at once, when copies have to be made; the usual bound by default. */
  readonly fetchBytesMax?: number;
  /** Hears once what the recovery waits for, when that may take long. */
  readonly onWaiting?: (what: string) => void;
  /** Hears each phase that takes any time, when it begins. */
  readonly onPhase?: (phase: Exclude<RecoveryPhase, 'done'>) => void;
}

const tickMs = 20;
/** For one request to one node. */
const requestMs = 2_000;

/**
 * See `Recovery`. Resolves once; never rejects. When the region gets other nodes meanwhile it begins anew with those: what counts
 * is a quorum of the sets that are in force. A `fork` that may have been recorded by then is given up as one that timed out.
 */
export function runRecovery(
  region: Pick<NodeLinks, 'membership' | 'ask'>,
  goal: RecoveryGoal,
  options: RecoveryOptions,
): Promise<RecoveryResult> {
  const { timeoutMs, signal, runtime = machine, fetchBytesMax, onPhase, onWaiting } = options;
  return new Promise((resolve) => {
    const begin = (): Recovery => new Recovery(setsOf(region.membership), goal, fetchBytesMax);
    let recovery = begin();
    let members = region.membership.epoch;
    /** Counts the beginnings. */
    let asked = 0;
    let finished = false;
    const finish = (result: RecoveryResult): void => {
      if (finished) return;
      finished = true;
      ticks.stop();
      deadline.stop();
      signal?.removeEventListener('abort', abort);
      resolve(result);
    };
    let progress = recovery.progress;
    let phase = recovery.phase;
    const tellPhase = (): void => {
      if (recovery.phase === phase || recovery.phase === 'done') return;
      phase = recovery.phase;
      onPhase?.(phase);
    };
    let hasWaited = false;
    const tellWaiting = (): void => {
      if (recovery.waiting === null || hasWaited) return;
      hasWaited = true;
      onWaiting?.(recovery.waiting);
    };
    const step = (event: RecoveryEvent): void => {
      if (finished || beginsAnew()) return;
      const effects = recovery.step(event, runtime.nowMs());
      tellPhase();
      tellWaiting();
      for (const effect of effects) carryOut(effect);
      if (recovery.progress === progress || finished) return;
      progress = recovery.progress;
      deadline.stop();
      deadline = runtime.after(timeoutMs, giveUp);
    };
    const beginsAnew = (): boolean => {
      if (region.membership.epoch === members) return false;
      members = region.membership.epoch;
      if (recovery.phase === 'forking') {
        finish({ kind: 'timeout', phase: 'forking' });
        return true;
      }
      recovery = begin();
      asked += 1;
      step({ kind: 'start' });
      return true;
    };
    const carryOut = (effect: RecoveryEffect): void => {
      switch (effect.kind) {
        case 'send':
          ask(effect.node, effect.request);
          return;
        case 'recovered':
        case 'fenced':
        case 'failed':
          finish(effect);
          return;
        default:
          unreachable(effect);
      }
    };
    const ask = (node: NodeId, request: Extract<RecoveryEffect, { kind: 'send' }>['request']): void => {
      const attempt = asked;
      region.ask(node, request, requestMs, (answer) => {
        // An answer to what was asked before it began anew: the nodes are asked again.
        if (attempt !== asked) return;
        step(
          answer.kind === 'unanswered'
            ? { kind: 'unanswered', node }
            : { kind: 'answered', node, reply: answer },
        );
      });
    };
    const abort = (): void => finish({ kind: 'aborted' });
    const giveUp = (): void => {
      const { waiting } = recovery;
      finish({ kind: 'timeout', phase: waiting === null ? recovery.phase : `${recovery.phase}: ${waiting}` });
    };
    const ticks = runtime.every(tickMs, () => step({ kind: 'tick' }));
    let deadline = runtime.after(timeoutMs, giveUp);
    if (signal?.aborted === true) {
      abort();
      return;
    }
    signal?.addEventListener('abort', abort);
    step({ kind: 'start' });
  });
}
