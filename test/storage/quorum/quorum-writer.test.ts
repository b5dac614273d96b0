import { beforeEach, describe, expect, it } from 'vitest';
import { epoch, type Lsn, lsn, nodeId, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { volumeLimits } from '../../../storage/redo/limits.ts';
import type { PageChange } from '../../../storage/redo/record.ts';
import { delta } from '../samples.ts';
import {
  ack,
  ackAll,
  basesTo,
  commit,
  forget,
  forgetNews,
  forks,
  others,
  othersOf,
  ready,
  refuse,
  scls,
  sent,
  sentTo,
  start,
  step,
  up,
  volume,
  wait,
} from './answering-nodes.ts';

beforeEach(start);

/** A change of a whole page, 4 KiB of redo. */
const image = (at: number): PageChange => ({
  kind: 'pageImage',
  page: pageNo(at + 1),
  bytes: new Uint8Array(4096),
});

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
    forget('n1');
    step({ kind: 'unanswered', node: nodeId('n1') });
    step({ kind: 'tick' });
    expect(sentTo(1)).toEqual([]);
    wait(volumeLimits.retryAfterMs);
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
    forget('n1');
    refuse(1, 'DISK_FULL');
    wait(volumeLimits.refusedRetryMs - 1);
    step({ kind: 'tick' });
    expect(sentTo(1)).toEqual([]);
    wait(1);
    step({ kind: 'tick' });
    expect(basesTo(1)).toEqual([[]]);
  });

  it('that does not know the epoch is taught the path, asked, and sent everything, even when the lesson is lost once', () => {
    up(1, 2, 3, 4);
    ackAll(2, 3, 4);
    const end = commit();
    ackAll(2, 3, 4);
    forget();
    refuse(1, 'UNKNOWN_EPOCH');
    expect(othersOf('fork')).toEqual([{ kind: 'fork', node: 'n1', forks }]);
    expect(sentTo(1)).toEqual([]);
    step({ kind: 'unanswered', node: nodeId('n1') });
    wait(volumeLimits.retryAfterMs);
    step({ kind: 'tick' });
    forget();
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
    forget();
    step({ kind: 'acked', node: nodeId('n4'), head: epoch(2), scls: [[pgId(0), lsn(50)]] });
    expect(volume.vdl).toBe(100);
    wait(volumeLimits.inquireEveryMs);
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
    forget();
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
    forget('n6');
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
    forget();
    commit();
    step({ kind: 'tick' });
    up(1);
    expect(sent).toEqual([]);
  });

  /** Time passes, and the process looks as often as it does. */
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 100) {
      wait(Math.min(left, 100));
      step({ kind: 'tick' });
    }
  };

  it('is a record that waits too long for four nodes', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) ack(n);
    pass(volumeLimits.quorumLostAfterMs);
    expect(othersOf('quorumLost')).toEqual([]);
    pass(1);
    expect(othersOf('quorumLost')).toMatchObject([
      {
        reason: expect.stringMatching(
          /have made no progress for 3001 ms: 3 of six nodes have them or get on/,
        ),
      },
    ]);
  });

  it('is not a record that waits for long while four nodes get on with what is before it', () => {
    ready();
    commit(Array.from({ length: 4_000 }, (_, at) => image(at)));
    for (let round = 0; round < 8; round += 1) {
      pass(volumeLimits.quorumLostAfterMs - 500);
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
    }
    expect(othersOf('quorumLost')).toEqual([]);
    expect(volume.vdl).toBe(100);
    expect(volume.vcl).toBeGreaterThan(6 * 1024 * 1024);
  });

  it('is to hear more and more from three nodes, and nothing from a fourth', () => {
    ready();
    commit(Array.from({ length: 4_000 }, (_, at) => image(at)));
    for (let ms = 0; ms <= volumeLimits.quorumLostAfterMs; ms += 500) {
      for (const n of [1, 2, 3]) if (sentTo(n).length > 0) ack(n);
      pass(500);
    }
    expect(othersOf('quorumLost')).not.toEqual([]);
  });

  it('is not the time in which this process itself did not run', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) ack(n);
    wait(volumeLimits.absenceMsMax);
    step({ kind: 'tick' });
    expect(othersOf('quorumLost')).toEqual([]);
    pass(volumeLimits.quorumLostAfterMs + 100);
    expect(othersOf('quorumLost')).not.toEqual([]);
  });

  it('is a long absence of this process all the same: others have gone on without it', () => {
    ready();
    commit();
    for (const n of [1, 2, 3]) ack(n);
    wait(volumeLimits.absenceMsMax + volumeLimits.quorumLostAfterMs + 1);
    step({ kind: 'tick' });
    expect(othersOf('quorumLost')).not.toEqual([]);
  });

  it('is to see fewer than four nodes for as long, even when nothing is written', () => {
    ready();
    step({ kind: 'tick' });
    for (const n of [1, 2, 3]) step({ kind: 'nodeDown', node: nodeId(`n${n}`) });
    pass(volumeLimits.quorumLostAfterMs + 1);
    expect(othersOf('quorumLost')).toEqual([
      { kind: 'quorumLost', reason: '3 of six storage nodes are reachable, four are needed' },
    ]);
  });
});

describe('the middle of a transaction', () => {
  it('is told as it is stored, long before the commit', () => {
    ready();
    const end = commit(Array.from({ length: 600 }, (_, at) => image(at)));
    const told: number[] = [];
    while (volume.vdl < end) {
      for (const n of [1, 2, 3, 4]) if (sentTo(n).length > 0) ack(n);
      expect([volume.vdl === end, othersOf('durable').length]).toEqual([
        volume.vdl === end,
        volume.vdl === end ? 1 : 0,
      ]);
      told.push(volume.vcl);
    }
    expect(othersOf('complete').map((effect) => ('vcl' in effect ? effect.vcl : 0))).toEqual(
      told.slice(0, -1),
    );
    expect(told.length).toBeGreaterThan(2);
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
    wait(volumeLimits.noticeEveryMs);
    ackAll(5);
    expect(notices()).toEqual([]);
    step({ kind: 'tick' });
    expect(notices()).toContainEqual(['n1', first]);
    forgetNews();
    commit();
    wait(volumeLimits.noticeEveryMs);
    ackAll(1, 2, 3, 4);
    commit();
    step({ kind: 'tick' });
    expect(sentTo(1).at(-1)?.request.durable.vdl).toBeGreaterThan(first);
    expect(notices()).toEqual([]);
  });

  it('is repeated to idle nodes now and then, and not to nodes that are down', () => {
    ready();
    step({ kind: 'nodeDown', node: nodeId('n6') });
    wait(volumeLimits.reminderMs);
    forgetNews();
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
