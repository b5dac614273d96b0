import { beforeEach, describe, expect, it } from 'vitest';
import { parseFrame, splitFrames } from '../../../storage/core/frame.ts';
import { epoch, type Lsn, lsn, type NodeId, nodeId, pageNo, pgId } from '../../../storage/core/ids.ts';
import { redoLimits, volumeLimits } from '../../../storage/core/limits.ts';
import type { AppendRequest, RefusalCode } from '../../../storage/core/messages.ts';
import type { QuorumEffect, QuorumEvent } from '../../../storage/core/quorum-writer.ts';
import { decodeRecords, encodeMtr, type PageChange } from '../../../storage/core/record.ts';
import { Volume } from '../../../storage/core/volume.ts';
import { commitAt, delta, fork, sixNodes } from './samples.ts';

const forks = [fork(1, 0, 0), fork(2, 1, 100)];

interface Sent {
  readonly node: NodeId;
  readonly request: AppendRequest;
}

/** Six nodes that answer when they are told to. */
let volume: Volume;
let nowMs: number;
let isMoreComing: boolean;
let sent: Sent[];
let others: QuorumEffect[];
let scls: Map<NodeId, Map<number, Lsn>>;

beforeEach(() => {
  nowMs = 1_000;
  isMoreComing = false;
  sent = [];
  others = [];
  scls = new Map(sixNodes.map((node) => [node, new Map()]));
  volume = new Volume({ nodes: sixNodes, epoch: epoch(2), forks, forkLsn: lsn(100), nowMs });
});

function take(effects: readonly QuorumEffect[]): void {
  for (const effect of effects) {
    if (effect.kind === 'append') sent.push(effect);
    else others.push(effect);
  }
}

const flush = () => take(volume.flush(nowMs, isMoreComing));
const step = (event: QuorumEvent) => {
  take(volume.step(event, nowMs));
  flush();
};
const up = (...nodes: readonly number[]) => {
  for (const node of nodes) step({ kind: 'nodeUp', node: nodeId(`n${node}`) });
};

function framesOf(bytes: Uint8Array) {
  const split = splitFrames(bytes);
  if (split.kind === 'bad') throw new Error(split.reason);
  return split.frames.map((frame) => frame.header);
}

/** Node `n` answers its oldest append. */
function ack(n: number): void {
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

function ackAll(...nodes: readonly number[]): void {
  for (const n of nodes) while (sent.some((one) => one.node === `n${n}`)) ack(n);
}

const refuse = (n: number, code: RefusalCode, sealed = 2) =>
  step({ kind: 'refused', node: nodeId(`n${n}`), code, sealed: epoch(sealed) });

function commit(changes: readonly PageChange[] = [delta(1, 'x')]): Lsn {
  const end = volume.commit(encodeMtr(changes, commitAt(1), redoLimits.pgBytesMin));
  flush();
  return end;
}

/** So many transactions in one batch that the next one waits. */
function crowd(): void {
  for (let at = 0; at < volumeLimits.crowdCommits; at++)
    volume.commit(encodeMtr([delta(1, 'x')], commitAt(1), redoLimits.pgBytesMin));
  flush();
}

/** All six are there and have said how far they are. */
function ready(): void {
  up(1, 2, 3, 4, 5, 6);
  ackAll(1, 2, 3, 4, 5, 6);
  sent = [];
}

const sentTo = (n: number) => sent.filter((one) => one.node === `n${n}`);
const basesTo = (n: number) =>
  sentTo(n).map(({ request }) => framesOf(request.frames).map((header) => header.base));
const othersOf = (kind: QuorumEffect['kind']) => others.filter((effect) => effect.kind === kind);

describe('durability', () => {
  it('comes with the fourth acknowledgement and names the node that gave it', () => {
    ready();
    const end = commit();
    for (const n of [5, 2, 6]) ack(n);
    expect([volume.vdl, othersOf('durable')]).toEqual([100, []]);
    ack(1);
    expect(volume.vdl).toBe(end);
    expect(othersOf('durable')).toEqual([{ kind: 'durable', vdl: end, vcl: end, by: 'n1' }]);
    ackAll(3, 4);
    expect(othersOf('durable')).toHaveLength(1);
  });

  it('does not come from four answers of fewer than four nodes', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) {
      const again = sentTo(n)[0];
      ack(n);
      if (again !== undefined) sent.push(again);
      ack(n);
    }
    expect(volume.vdl).toBe(100);
  });

  it('needs four of each group below the commit, not four of some', () => {
    ready();
    const end = commit([delta(1, 'a'), delta(300, 'b')]);
    const [first, second] = basesTo(1)[0] ?? [];
    if (first === undefined || second === undefined) throw new Error('two frames were to be sent');
    const ackGroup = (n: number, pg: number, at: Lsn) =>
      step({ kind: 'acked', node: nodeId(`n${n}`), head: epoch(2), scls: [[pgId(pg), at]] });
    for (const n of [1, 2, 3, 4]) ackGroup(n, 1, end);
    expect([volume.vcl, volume.vdl]).toEqual([100, 100]);
    for (const n of [3, 4, 5, 6]) ackGroup(n, 0, second);
    expect([volume.vcl, volume.vdl]).toEqual([end, end]);
  });

  it('never ends inside a transaction that spans groups', () => {
    ready();
    commit([delta(1, 'a'), delta(300, 'b')]);
    const second = basesTo(1)[0]?.[1] ?? lsn(0);
    for (const n of [1, 2, 3, 4])
      step({ kind: 'acked', node: nodeId(`n${n}`), head: epoch(2), scls: [[pgId(0), second]] });
    expect([volume.vcl, volume.vdl]).toEqual([second, 100]);
  });

  it('of a frame with a whole transaction and the start of another is the end of the whole one', () => {
    ready();
    commit();
    const before = commit();
    // Two batches are under way: these two are gathered into the next.
    const whole = commit([delta(1, 'whole')]);
    const both = commit([delta(2, 'left'), delta(300, 'right')]);
    for (const n of [1, 2, 3, 4]) ack(n);
    for (const n of [1, 2, 3, 4]) ack(n);
    const [left, right] = basesTo(1)[0] ?? [];
    if (right === undefined) throw new Error('two frames were to be sent');
    expect(left).toBe(before);
    for (const n of [1, 2, 3, 4])
      step({ kind: 'acked', node: nodeId(`n${n}`), head: epoch(2), scls: [[pgId(0), right]] });
    expect([volume.vcl, volume.vdl]).toEqual([right, whole]);
    expect(whole).toBeLessThan(right);
    expect(right).toBeLessThan(both);
  });

  it('ignores an acknowledgement for another head', () => {
    ready();
    const end = commit();
    for (const n of [1, 2, 3, 4])
      step({ kind: 'acked', node: nodeId(`n${n}`), head: epoch(1), scls: [[pgId(0), end]] });
    expect(volume.vdl).toBe(100);
  });
});

describe('batches', () => {
  it('go out at once while fewer than two are under way; what comes then is gathered into the next', () => {
    ready();
    const ends = [commit(), commit(), commit(), commit(), commit()];
    expect(basesTo(1)).toEqual([[100], [ends[0]]]);
    expect(volume.unflushedBytes).toBe((ends[4] ?? 0) - (ends[1] ?? 0));
    sent = sent.filter((one) => one.node < 'n5');
    for (const n of [1, 2, 3, 4]) ack(n);
    // The first batch is durable, so the three that waited leave as one frame to the four that answered.
    expect(basesTo(1)).toEqual([[ends[0]], [ends[1]]]);
    expect(volume.unflushedBytes).toBe(0);
    ackAll(1, 2, 3, 4);
    expect(volume.vdl).toBe(ends[4]);
  });

  it('of a crowd wait for all nodes, since what gathers meanwhile costs them nothing more', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4);
    const end = commit();
    expect(basesTo(1)).toEqual([]);
    expect(volume.vdl).toBeLessThan(end);
    ack(5);
    expect(basesTo(1)).toEqual([]);
    ack(6);
    expect(basesTo(1)).toHaveLength(1);
    expect(volume.unflushedBytes).toBe(0);
  });

  it('of a crowd wait for a slow node once, a few milliseconds, and again when it has caught up', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4, 5);
    crowd();
    nowMs += volumeLimits.stepMs - 1;
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([]);
    nowMs += 1;
    step({ kind: 'tick' });
    expect(basesTo(1)).toHaveLength(1);
    ackAll(1, 2, 3, 4, 5);
    crowd();
    expect(basesTo(1)).toHaveLength(1);
    ackAll(1, 2, 3, 4, 5, 6);
    crowd();
    ackAll(1, 2, 3, 4, 5);
    crowd();
    expect(basesTo(1)).toEqual([]);
  });

  it('of a crowd wait a moment for transactions that are about to come', () => {
    ready();
    crowd();
    isMoreComing = true;
    commit();
    ackAll(1, 2, 3, 4, 5, 6);
    nowMs += volumeLimits.gatherMs - 1;
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([]);
    nowMs += 1;
    step({ kind: 'tick' });
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a crowd leave when nothing more is about to come', () => {
    ready();
    crowd();
    isMoreComing = true;
    commit();
    ackAll(1, 2, 3, 4, 5, 6);
    expect(basesTo(1)).toEqual([]);
    isMoreComing = false;
    flush();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a lone transaction wait for nobody', () => {
    ready();
    isMoreComing = true;
    commit();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('of a crowd do not wait for a node that is gone, or that refused', () => {
    ready();
    crowd();
    ackAll(1, 2, 3, 4);
    step({ kind: 'nodeDown', node: nodeId('n5') });
    refuse(6, 'DISK_FULL');
    commit();
    expect(basesTo(1)).toHaveLength(1);
  });

  it('send the very same request to nodes that are level', () => {
    ready();
    commit();
    expect(new Set(sent.map((one) => one.request)).size).toBe(1);
  });

  it('send at most two appends to a node at once, each within its bound', () => {
    ready();
    const image = (page: number): PageChange => ({
      kind: 'pageImage',
      page: pageNo(page),
      bytes: new Uint8Array(4096).fill(page),
    });
    const end = commit(
      Array.from({ length: 256 }, (_, at) => image(at + 1)).concat(
        Array.from({ length: 255 }, (_, at) => image(at + 257)),
      ),
    );
    expect(sentTo(1)).toHaveLength(volumeLimits.appendsInFlightMax);
    for (let round = 0; volume.vdl < end && round < 20; round++) {
      for (const { request } of sentTo(1))
        expect(request.frames.length).toBeLessThanOrEqual(volumeLimits.appendBytesMax);
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    }
    expect(volume.vdl).toBe(end);
    expect(othersOf('durable')).toHaveLength(1);
  });

  it('split a transaction longer than a frame between records, in one chain', () => {
    ready();
    const changes = Array.from({ length: 200 }, (_, at): PageChange => {
      return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096).fill(at) };
    });
    const end = commit(changes);
    const bytes = sentTo(1).map(({ request }) => request.frames);
    const headers = bytes.flatMap(framesOf);
    expect(headers.length).toBe(Math.ceil((end - 100) / redoLimits.framePayloadBytesMax));
    headers.forEach((header, at) => {
      expect(header.base).toBe(at === 0 ? 100 : headers[at - 1]?.end);
      expect(header.prevPg).toBe(header.base);
    });
    for (const part of bytes) {
      for (let at = 0; at < part.length; ) {
        const parsed = parseFrame(part, at);
        if (parsed.kind !== 'frame') throw new Error(parsed.kind);
        expect(decodeRecords(part.subarray(at + 36, at + parsed.length), parsed.header.base).kind).toBe(
          'records',
        );
        at += parsed.length;
      }
    }
    expect(headers.at(-1)?.end).toBe(end);
  });

  it('stop taking transactions at the bound', () => {
    ready();
    expect(volume.hasRoom).toBe(true);
    const big = Array.from({ length: 250 }, (_, at): PageChange => {
      return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096) };
    });
    while (volume.hasRoom) commit(big);
    expect(volume.outstandingBytes).toBeGreaterThanOrEqual(volumeLimits.outstandingBytesMax);
    for (let round = 0; round < 200; round++) for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    expect([volume.outstandingBytes, volume.hasRoom]).toEqual([0, true]);
  });
});

describe('a node', () => {
  it('is asked how far it is before it is sent anything', () => {
    up(1);
    commit();
    expect(basesTo(1)).toEqual([[]]);
    ack(1);
    expect(basesTo(1)).toEqual([[100]]);
  });

  it('that is slow or gone delays nobody', () => {
    ready();
    for (let at = 0; at < 50; at++) {
      const end = commit();
      ackAll(1, 2, 3, 4);
      expect(volume.vdl).toBe(end);
    }
    expect(sentTo(5).length).toBeLessThanOrEqual(volumeLimits.appendsInFlightMax);
  });

  it('that was gone for a moment is sent only what it lacks', () => {
    ready();
    const first = commit();
    ackAll(1, 2, 3, 4, 5, 6);
    step({ kind: 'nodeDown', node: nodeId('n6') });
    const second = commit();
    expect(sentTo(6)).toEqual([]);
    ackAll(1, 2, 3, 4);
    up(6);
    expect(basesTo(6)).toEqual([[]]);
    ack(6);
    // The fifth has not answered yet, so the second is still kept; the first is not sent again.
    expect(basesTo(6)).toEqual([[first]]);
    expect(volume.vdl).toBe(second);
  });

  it('that came back empty no longer counts for what it once had', () => {
    ready();
    for (const n of [5, 6]) step({ kind: 'nodeDown', node: nodeId(`n${n}`) });
    const end = commit();
    for (const n of [1, 2, 3]) ack(n);
    scls.set(nodeId('n3'), new Map());
    step({ kind: 'nodeDown', node: nodeId('n3') });
    up(3);
    ack(3);
    ack(4);
    expect(volume.vdl).toBe(100);
    ack(3);
    expect(volume.vdl).toBe(end);
  });

  it('whose answer is missing is asked again a little later, and then sent what it lacks', () => {
    ready();
    const end = commit();
    sent = sent.filter((one) => one.node !== 'n1');
    step({ kind: 'unanswered', node: nodeId('n1') });
    step({ kind: 'tick' });
    expect(sentTo(1)).toEqual([]);
    nowMs += volumeLimits.retryAfterMs;
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([[]]);
    ack(1);
    expect(basesTo(1)).toEqual([[100]]);
    ackAll(1, 2, 3, 4);
    expect(volume.vdl).toBe(end);
  });

  it('that refused, with a full disk say, is left alone for longer', () => {
    ready();
    commit();
    sent = sent.filter((one) => one.node !== 'n1');
    refuse(1, 'DISK_FULL');
    nowMs += volumeLimits.refusedRetryMs - 1;
    step({ kind: 'tick' });
    expect(sentTo(1)).toEqual([]);
    nowMs += 1;
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([[]]);
  });

  it('that does not know the epoch is taught the path, asked, and sent everything, even when the lesson is lost once', () => {
    up(1, 2, 3, 4);
    ackAll(2, 3, 4);
    const end = commit();
    ackAll(2, 3, 4);
    sent = [];
    refuse(1, 'UNKNOWN_EPOCH');
    expect(othersOf('fork')).toEqual([{ kind: 'fork', node: 'n1', forks }]);
    expect(sentTo(1)).toEqual([]);
    step({ kind: 'unanswered', node: nodeId('n1') });
    nowMs += volumeLimits.retryAfterMs;
    step({ kind: 'tick' });
    sent = [];
    refuse(1, 'UNKNOWN_EPOCH');
    step({ kind: 'forked', node: nodeId('n1') });
    ack(1);
    expect(basesTo(1)).toEqual([[100]]);
    ack(1);
    expect(volume.vdl).toBe(end);
  });

  it('that fills a hole from its peers is asked about it although nothing is written', () => {
    ready();
    for (const n of [5, 6]) step({ kind: 'nodeDown', node: nodeId(`n${n}`) });
    const end = commit();
    for (const n of [1, 2, 3]) ack(n);
    // The fourth has the frame but lacks something below it.
    sent = [];
    step({ kind: 'acked', node: nodeId('n4'), head: epoch(2), scls: [[pgId(0), lsn(50)]] });
    expect(volume.vdl).toBe(100);
    nowMs += volumeLimits.heartbeatMs;
    step({ kind: 'tick' });
    expect(basesTo(4)).toEqual([[]]);
    step({ kind: 'acked', node: nodeId('n4'), head: epoch(2), scls: [[pgId(0), end]] });
    expect(volume.vdl).toBe(end);
  });
});

describe('what is kept for resending', () => {
  const megabyte = Array.from({ length: 250 }, (_, at): PageChange => {
    return { kind: 'pageImage', page: pageNo(at + 1), bytes: new Uint8Array(4096) };
  });

  /** Bytes sent to a node from its probe on, when it comes back and takes everything. */
  function resentTo(n: number): number {
    up(n);
    let bytes = 0;
    while (sentTo(n).length > 0) {
      bytes += sentTo(n)[0]?.request.frames.length ?? 0;
      ack(n);
    }
    return bytes;
  }

  it('is nothing that every reachable node has', () => {
    ready();
    commit();
    ackAll(1, 2, 3, 4, 5);
    step({ kind: 'nodeDown', node: nodeId('n6') });
    sent = [];
    commit();
    ackAll(1, 2, 3, 4, 5);
    expect(resentTo(6)).toBe(0);
  });

  it('is bounded when a reachable node does not answer, and always holds what is not durable', () => {
    ready();
    for (let at = 0; at < 30; at++) {
      commit(megabyte);
      ackAll(1, 2, 3, 4, 5);
    }
    const end = commit();
    step({ kind: 'nodeDown', node: nodeId('n6') });
    const before = volume.vdl;
    sent = sent.filter((one) => one.node !== 'n6');
    expect(before).toBeLessThan(end);
    const bytes = resentTo(6);
    expect(bytes).toBeGreaterThan(volumeLimits.resendBytesMax - 2 * 1024 * 1024);
    expect(bytes).toBeLessThan(volumeLimits.resendBytesMax + 2 * 1024 * 1024);
  });
});

describe('the end of a reign', () => {
  it('is a newer seal: nothing is durable and nothing is sent any more', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) ack(n);
    refuse(5, 'SEALED', 3);
    expect(othersOf('fenced')).toEqual([{ kind: 'fenced', by: 3 }]);
    ack(4);
    expect(volume.vdl).toBe(100);
    sent = [];
    commit();
    step({ kind: 'tick' });
    up(1);
    expect(sent).toEqual([]);
  });

  it('is a record that waits too long for four nodes', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) ack(n);
    nowMs += volumeLimits.quorumLostAfterMs;
    step({ kind: 'tick' });
    expect(othersOf('quorumLost')).toEqual([]);
    nowMs += 1;
    step({ kind: 'tick' });
    expect(othersOf('quorumLost')).toEqual([
      { kind: 'quorumLost', reason: 'a record has waited 3001 ms for four of six nodes' },
    ]);
  });

  it('is to see fewer than four nodes for as long, even when nothing is written', () => {
    ready();
    step({ kind: 'tick' });
    for (const n of [1, 2, 3]) step({ kind: 'nodeDown', node: nodeId(`n${n}`) });
    nowMs += volumeLimits.quorumLostAfterMs + 1;
    step({ kind: 'tick' });
    expect(othersOf('quorumLost')).toEqual([
      { kind: 'quorumLost', reason: '3 of six storage nodes are reachable, four are needed' },
    ]);
  });
});

describe('news of the durable point', () => {
  const notices = () =>
    others.flatMap((effect) => (effect.kind === 'notice' ? [[effect.node, effect.request.durable.vdl]] : []));

  it('rides on the next append, and goes by itself to nodes that have heard nothing for a while', () => {
    ready();
    const first = commit();
    ackAll(1, 2, 3, 4);
    step({ kind: 'tick' });
    expect(notices()).toEqual([]);
    nowMs += volumeLimits.noticeEveryMs;
    ackAll(5);
    expect(notices()).toEqual([]);
    step({ kind: 'tick' });
    expect(notices()).toContainEqual(['n1', first]);
    others = [];
    commit();
    nowMs += volumeLimits.noticeEveryMs;
    ackAll(1, 2, 3, 4);
    commit();
    step({ kind: 'tick' });
    expect(sentTo(1).at(-1)?.request.durable.vdl).toBeGreaterThan(first);
    expect(notices()).toEqual([]);
  });

  it('is repeated to idle nodes as a heartbeat, and not to nodes that are down', () => {
    ready();
    step({ kind: 'nodeDown', node: nodeId('n6') });
    nowMs += volumeLimits.heartbeatMs;
    others = [];
    step({ kind: 'tick' });
    expect(notices()).toEqual(['n1', 'n2', 'n3', 'n4', 'n5'].map((node) => [node, 100]));
  });

  it('goes to every node that has not heard it when the writer ends', () => {
    ready();
    const end = commit();
    ackAll(1, 2, 3, 4);
    expect(notices()).toEqual([]);
    step({ kind: 'nodeDown', node: nodeId('n6') });
    step({ kind: 'farewell' });
    expect(notices()).toEqual(['n1', 'n2', 'n3', 'n4', 'n5'].map((node) => [node, end]));
  });

  it('carries the low-water mark, which never goes back', () => {
    ready();
    volume.setLowWater(lsn(70));
    volume.setLowWater(lsn(60));
    commit();
    expect(sentTo(1)[0]?.request.lowWater).toBe(70);
  });
});
