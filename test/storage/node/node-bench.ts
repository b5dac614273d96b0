/** The core of one node under test, made anew before each: what it is asked, what it wants done, and a disk that obeys. */
import { beforeEach } from 'vitest';
import { noFloor } from '../../../storage/history/floor.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import type { NodeEffect, NodeEvent, NodeState } from '../../../storage/node/core/node-events.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';
import type { FetchRequest, StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { type FrameSample, fork, frameBytes, held } from '../samples.ts';

export const founded: NodeState = {
  sealed: epoch(1),
  forks: [fork(1, 0, 0)],
  hydrated: true,
  durable: { head: epoch(1), vdl: lsn(0) },
  floor: noFloor,
};

export let node: StorageNode;
let nowMs: number;
export let effects: NodeEffect[];
let nextCaller: number;

beforeEach(() => {
  begin(founded);
});

export function begin(state: NodeState, frames: readonly FrameSample[] = []): void {
  node = new StorageNode(mainBranch, state, frames.map(held));
  nowMs = 10_000;
  nextCaller = 1;
  effects = [];
  // The hint is saved at the first tick; that is out of the way now.
  step({ kind: 'tick' });
  effects = [];
}

export function step(event: NodeEvent): readonly NodeEffect[] {
  const made = node.step(event, nowMs);
  effects.push(...made);
  return made;
}

/** @returns the name of the caller. */
export function ask(request: StorageRequest): number {
  const caller = nextCaller++;
  step({ kind: 'request', caller, request });
  return caller;
}

export function append(
  samples: readonly FrameSample[],
  more: { authority?: number; head?: number; vdl?: number; lowWater?: number } = {},
) {
  const { authority = 1, head = 1, vdl = 0, lowWater = 0 } = more;
  return {
    kind: 'append',
    authority: epoch(authority),
    durable: { head: epoch(head), vdl: lsn(vdl) },
    lowWater: lsn(lowWater),
    frames: concatBytes(samples.map(frameBytes)),
  } as const;
}

export const seal = (of: number) => ({ kind: 'seal', branch: mainBranch, epoch: epoch(of) }) as const;
export const forkTo = (authority: number, forks = [fork(1, 0, 0)]) =>
  ({ kind: 'fork', authority: epoch(authority), forks }) as const;

export function fetchFrom(from: number, more: Partial<FetchRequest> = {}): FetchRequest {
  return {
    kind: 'fetch',
    branch: mainBranch,
    head: epoch(1),
    from: lsn(from),
    bytesMax: 1_000_000,
    waitMs: 1_000,
    durableOnly: false,
    known: { head: epoch(1), vdl: lsn(0) },
    ...more,
  };
}

export function replyTo(caller: number): StorageReply | undefined {
  const found = effects.find((effect) => effect.kind === 'reply' && effect.caller === caller);
  return found?.kind === 'reply' ? found.reply : undefined;
}

export function fetched(caller: number) {
  const found = effects.find((effect) => effect.kind === 'replyFrames' && effect.caller === caller);
  if (found?.kind !== 'replyFrames') return undefined;
  const { frames, ...rest } = found.answer;
  return { ...rest, bases: frames.map((frame) => frame.base) };
}

export function codeOf(caller: number): string | undefined {
  const reply = replyTo(caller);
  return reply?.kind === 'refused' ? reply.code : reply?.kind;
}

/** The disk finishes the oldest write of frames, or all. */
export function persistFrames(all = true): void {
  for (;;) {
    const at = effects.findIndex((effect) => effect.kind === 'persistFrames');
    const effect = effects[at];
    if (effect?.kind !== 'persistFrames') return;
    effects.splice(at, 1);
    const positions = effect.frames.map(({ bytes }) => ({ file: 1, offset: 0, length: bytes.length }));
    step({ kind: 'persisted', ticket: effect.ticket, positions });
    if (!all) return;
  }
}

/** The disk finishes every write of the state. @returns the last state written. */
export function persistState(): NodeState | null {
  let state: NodeState | null = null;
  for (;;) {
    const at = effects.findIndex((effect) => effect.kind === 'persistState');
    const effect = effects[at];
    if (effect?.kind !== 'persistState') return state;
    effects.splice(at, 1);
    state = effect.state;
    step({ kind: 'statePersisted', ticket: effect.ticket });
  }
}

/** Time passes, in milliseconds. */
export function pass(ms: number): void {
  nowMs += ms;
}

/** What it wanted done until now does not matter any more. */
export function forgetEffects(): void {
  effects = [];
}

export const kinds = () => effects.map((effect) => effect.kind);
