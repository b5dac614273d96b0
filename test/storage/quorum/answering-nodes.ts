/** A writer's volume over six nodes that answer when they are told to. */

import type { QuorumEffect, QuorumEvent } from '../../../storage/quorum/core/quorum-writer.ts';
import { Volume } from '../../../storage/quorum/core/writer-volume.ts';
import { splitFrames } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, lsn, type NodeId, nodeId, pgId } from '../../../storage/redo/ids.ts';
import { redoLimits, volumeLimits } from '../../../storage/redo/limits.ts';
import { encodeMtr, type PageChange } from '../../../storage/redo/record.ts';
import type { AppendRequest, RefusalCode } from '../../../storage/wire/core/messages.ts';
import { commitAt, delta, fork, sixNodes } from '../samples.ts';

export const forks = [fork(1, 0, 0), fork(2, 1, 100)];

export interface Sent {
  readonly node: NodeId;
  readonly request: AppendRequest;
}

export let volume: Volume;
export let nowMs: number;
let isMoreComing: boolean;
/** Appends that no node has answered yet, in the order in which they left. */
export let sent: Sent[];
/** All other effects. */
export let others: QuorumEffect[];
/** What each node has acknowledged, by group. */
export let scls: Map<NodeId, Map<number, Lsn>>;

/** Begins anew: nobody is there yet, and everything up to LSN 100 is durable. */
export function start(): void {
  nowMs = 1_000;
  isMoreComing = false;
  sent = [];
  others = [];
  scls = new Map(sixNodes.map((node) => [node, new Map()]));
  volume = new Volume({ sets: [sixNodes], epoch: epoch(2), forks, forkLsn: lsn(100), nowMs });
}

export function wait(ms: number): void {
  nowMs += ms;
}

/** Whether more transactions are about to come. */
export function expectMore(isComing: boolean): void {
  isMoreComing = isComing;
}

/** What was sent to these nodes is never answered; without names, to any. */
export function forget(...nodes: readonly string[]): void {
  sent = nodes.length === 0 ? [] : sent.filter((one) => !nodes.includes(one.node));
}

/** Leaves out of `others` what has been looked at. */
export function forgetNews(): void {
  others = [];
}

export function take(effects: readonly QuorumEffect[]): void {
  for (const effect of effects) {
    if (effect.kind === 'append') sent.push(effect);
    else others.push(effect);
  }
}

export const flush = () => take(volume.flush(nowMs, isMoreComing));
export const step = (event: QuorumEvent) => {
  take(volume.step(event, nowMs));
  flush();
};
export const up = (...nodes: readonly number[]) => {
  for (const node of nodes) step({ kind: 'nodeUp', node: nodeId(`n${node}`) });
};

export function framesOf(bytes: Uint8Array) {
  const split = splitFrames(bytes);
  if (split.kind === 'bad') throw new Error(split.reason);
  return split.frames.map((frame) => frame.header);
}

/** Node `n` answers its oldest append. */
export function ack(n: number): void {
  const node = nodeId(`n${n}`);
  const at = sent.findIndex((one) => one.node === node);
  const one = sent.splice(at, 1)[0];
  if (at < 0 || one === undefined) throw new Error(`${node} was sent nothing`);
  const known = scls.get(node) ?? new Map<number, Lsn>();
  for (const { pg, end, prevPg } of framesOf(one.request.frames))
    if (prevPg === (known.get(pg) ?? 100)) known.set(pg, end);
  const answer = (known.size === 0 ? [[0, lsn(100)] as const] : [...known]).map(
    ([pg, scl]) => [pgId(pg), scl] as const,
  );
  step({ kind: 'acked', node, head: epoch(2), scls: answer });
}

export function ackAll(...nodes: readonly number[]): void {
  for (const n of nodes) while (sent.some((one) => one.node === `n${n}`)) ack(n);
}

export const refuse = (n: number, code: RefusalCode, sealed = 2) =>
  step({ kind: 'refused', node: nodeId(`n${n}`), code, sealed: epoch(sealed) });

export function commit(changes: readonly PageChange[] = [delta(1, 'x')]): Lsn {
  const end = volume.commit(encodeMtr(changes, [commitAt(1)], redoLimits.pgBytesMin));
  flush();
  return end;
}

/** So many transactions in one batch that the next one waits. */
export function crowd(): void {
  for (let at = 0; at < volumeLimits.crowdCommits; at++)
    volume.commit(encodeMtr([delta(1, 'x')], [commitAt(1)], redoLimits.pgBytesMin));
  flush();
}

/** All six are there and have said how far they are. */
export function ready(): void {
  up(1, 2, 3, 4, 5, 6);
  ackAll(1, 2, 3, 4, 5, 6);
  forget();
}

export const sentTo = (n: number) => sent.filter((one) => one.node === `n${n}`);
export const basesTo = (n: number) =>
  sentTo(n).map(({ request }) => framesOf(request.frames).map((header) => header.base));
export const othersOf = (kind: QuorumEffect['kind']) => others.filter((effect) => effect.kind === kind);
