/** One node core with branches, to be asked: its disk finishes everything at once unless a test says otherwise. */
import type { PeerTold } from '../../../storage/branches/core/branch-peers.ts';
import { noFloor } from '../../../storage/history/floor.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import type { NodeEffect, NodeEvent, NodeState } from '../../../storage/node/core/node-events.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { branchName, epoch, lsn, mainBranch, nodeId, zeroLsn } from '../../../storage/redo/ids.ts';
import type { Holdings } from '../../../storage/retention/core/retention.ts';
import type { RetainRequest, StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { type FrameSample, fork, frameBytes, held } from '../samples.ts';

export const dev = branchName('dev');
export const other = branchName('other');

/** Main reigns as epoch 1; `dev` left it at 100 as epoch 2, `other` at the same place as epoch 3. */
export const threeBranches = [fork(1, 0, 0), fork(2, 1, 100, dev), fork(3, 1, 100, other)];

export const founded: NodeState = {
  sealed: epoch(1),
  forks: [fork(1, 0, 0)],
  hydrated: true,
  durable: { head: epoch(1), vdl: lsn(0) },
  floor: noFloor,
};

export interface AppendSample {
  readonly authority: number;
  readonly head?: number;
  readonly vdl?: number;
  readonly lowWater?: number;
  readonly frames?: readonly FrameSample[];
}

export class OneNode {
  node: StorageNode;
  nowMs = 10_000;
  readonly made: NodeEffect[] = [];
  private nextCaller = 1;
  private readonly replies = new Map<number, StorageReply>();
  /** Files of its log, one a frame as they came. */
  private files = 0;

  constructor(state: NodeState = founded, frames: readonly FrameSample[] = []) {
    this.node = new StorageNode(mainBranch, state, frames.map(held), nodeId('n1'));
    this.step({ kind: 'tick' });
  }

  /** The process dies and comes back with what its disk has. */
  restart(frames: readonly FrameSample[] = []): void {
    this.node = new StorageNode(mainBranch, this.node.state, frames.map(held), nodeId('n1'));
  }

  step(event: NodeEvent): readonly NodeEffect[] {
    const effects = this.node.step(event, this.nowMs);
    this.made.push(...effects);
    for (const effect of effects) {
      if (effect.kind === 'reply') this.replies.set(effect.caller, effect.reply);
      if (effect.kind === 'persistState') this.step({ kind: 'statePersisted', ticket: effect.ticket });
      if (effect.kind !== 'persistFrames') continue;
      const positions = effect.frames.map(({ bytes }) => ({
        file: ++this.files,
        offset: 0,
        length: bytes.length,
      }));
      this.step({ kind: 'persisted', ticket: effect.ticket, positions });
    }
    return effects;
  }

  tick(ms = 50): readonly NodeEffect[] {
    this.nowMs += ms;
    return this.step({ kind: 'tick' });
  }

  /** @returns the reply, or the answer with the bases of its frames. */
  ask(
    request: StorageRequest,
  ): StorageReply | { readonly kind: 'frames'; readonly bases: readonly number[] } {
    const caller = this.nextCaller++;
    this.step({ kind: 'request', caller, request });
    const answer = this.made.find((effect) => effect.kind === 'replyFrames' && effect.caller === caller);
    if (answer?.kind === 'replyFrames')
      return { kind: 'frames', bases: answer.answer.frames.map(({ base }) => base) };
    const reply = this.replies.get(caller);
    if (reply === undefined) throw new Error(`${request.kind} was not answered`);
    return reply;
  }

  seal(branch: string, of: number) {
    return this.ask({ kind: 'seal', branch: branchName(branch), epoch: epoch(of) });
  }

  fork(...forks: readonly ReturnType<typeof fork>[]) {
    return this.ask({ kind: 'fork', authority: forks.at(-1)?.epoch ?? epoch(0), forks });
  }

  append({ authority, head = authority, vdl = 0, lowWater = 0, frames = [] }: AppendSample) {
    return this.ask({
      kind: 'append',
      authority: epoch(authority),
      durable: { head: epoch(head), vdl: lsn(vdl) },
      lowWater: lsn(lowWater),
      frames: concatBytes(frames.map(frameBytes)),
    });
  }

  fetch(head: number, from: number) {
    return this.ask({
      kind: 'fetch',
      branch: mainBranch,
      head: epoch(head),
      from: lsn(from),
      bytesMax: 1_000_000,
      waitMs: 0,
      durableOnly: false,
      known: { head: epoch(head), vdl: zeroLsn },
    });
  }

  /** What a peer tells that holds all this one knows of, with what is said otherwise. */
  hear(peer: string, told: Partial<PeerTold>, peers = 5): void {
    const all: PeerTold = { forks: [], isWhole: true, branches: [], members: 0, ...told };
    this.step({ kind: 'peerTold', node: nodeId(peer), told: all, peers });
  }

  retain(request: Partial<RetainRequest>, holdings: Holdings): StorageReply | undefined {
    const caller = this.nextCaller++;
    const all: RetainRequest = {
      kind: 'retain',
      head: epoch(1),
      keepFrom: lsn(1e9),
      sinceUs: 1e9,
      bytesMax: null,
      copies: lsn(1e9),
      ...request,
    };
    this.step({ kind: 'retain', caller, request: all, holdings });
    return this.replies.get(caller);
  }
}
