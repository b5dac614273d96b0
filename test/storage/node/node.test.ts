import { describe, expect, it } from 'vitest';
import { emptyNodeState } from '../../../storage/node/core/node-events.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, lsn, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { nodeLimits, redoLimits } from '../../../storage/redo/limits.ts';
import { encoded, fork } from '../samples.ts';
import {
  append,
  ask,
  begin,
  codeOf,
  effects,
  forgetEffects,
  forkTo,
  founded,
  kinds,
  node,
  pass,
  persistFrames,
  persistState,
  replyTo,
  seal,
  step,
} from './node-bench.ts';

describe('an append', () => {
  it('is acknowledged only when its frames are on disk, with the SCLs of its groups', () => {
    const caller = ask(append([{ base: 0 }, { base: 10, prev: 0, pg: 3 }]));
    expect(kinds()).toEqual(['persistFrames']);
    persistFrames();
    expect(replyTo(caller)).toEqual({
      kind: 'acked',
      head: 1,
      scls: [
        [0, 10],
        [3, 20],
      ],
    });
    expect(kinds()).toContain('held');
  });

  it('above a hole is acknowledged with an SCL below it', () => {
    const caller = ask(append([{ base: 10, prev: 10 }]));
    persistFrames();
    expect(replyTo(caller)).toEqual({ kind: 'acked', head: 1, scls: [[0, 0]] });
    const filling = ask(append([{ base: 0 }]));
    persistFrames();
    expect(replyTo(filling)).toEqual({ kind: 'acked', head: 1, scls: [[0, 20]] });
  });

  it('that comes again while the first is under way waits for the same write, and writes nothing', () => {
    const first = ask(append([{ base: 0 }]));
    const again = ask(append([{ base: 0 }]));
    expect(kinds()).toEqual(['persistFrames']);
    persistFrames();
    expect([codeOf(first), codeOf(again)]).toEqual(['acked', 'acked']);
    const late = ask(append([{ base: 0 }]));
    expect(codeOf(late)).toBe('acked');
    expect(kinds()).not.toContain('persistFrames');
  });

  it('is refused with what the disk said when it could not be written, and can be sent again', () => {
    const first = ask(append([{ base: 0 }]));
    const again = ask(append([{ base: 0 }]));
    const ticket = effects.find((effect) => effect.kind === 'persistFrames')?.ticket ?? 0;
    forgetEffects();
    step({ kind: 'persistFailed', ticket, code: 'DISK_FULL', reason: 'no space' });
    expect([codeOf(first), codeOf(again)]).toEqual(['DISK_FULL', 'DISK_FULL']);
    const retry = ask(append([{ base: 0 }]));
    persistFrames();
    expect(codeOf(retry)).toBe('acked');
  });

  it('gets no acknowledgement from an older reign once the node is sealed, even if it was written before (S2)', () => {
    const caller = ask(append([{ base: 0 }]));
    ask(seal(2));
    persistFrames();
    expect(replyTo(caller)).toMatchObject({ kind: 'refused', code: 'SEALED', sealed: 2 });
    // The frames are kept all the same: the next reign may take them over.
    expect(node.segment.volumeEnd(epoch(1))).toBe(10);
    expect(codeOf(ask(append([{ base: 10 }])))).toBe('SEALED');
    const newReign = ask(append([{ base: 10 }], { authority: 2 }));
    persistState();
    persistFrames();
    expect(codeOf(newReign)).toBe('acked');
  });

  it('is refused with a reason when it cannot be kept', () => {
    expect(codeOf(ask(append([{ base: 0, epoch: 2 }])))).toBe('UNKNOWN_EPOCH');
    expect(codeOf(ask(append([{ base: 0, epoch: 0 }])))).toBe('UNKNOWN_EPOCH');
    expect(codeOf(ask(append([{ base: 0 }], { head: 2 })))).toBe('UNKNOWN_EPOCH');
    const bad = append([{ base: 0 }]);
    bad.frames[40] = 0xff;
    expect(codeOf(ask(bad))).toBe('BAD_FRAME');
    const halfRecord = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(0), prevPg: lsn(0) }, [
      new Uint8Array([3, 8, 1]),
    ]);
    expect(codeOf(ask({ ...append([]), frames: halfRecord }))).toBe('BAD_FRAME');
    const noPage = encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(0), prevPg: lsn(0) }, [
      new Uint8Array([1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ]);
    expect(codeOf(ask({ ...append([]), frames: noPage }))).toBe('BAD_FRAME');
    ask(forkTo(2, [fork(1, 0, 0), fork(2, 1, 50)]));
    expect(codeOf(ask(append([{ base: 40, epoch: 2 }])))).toBe('BAD_FRAME');
    expect(kinds()).not.toContain('persistFrames');
    expect(node.durable).toEqual(founded.durable);
  });

  it('is refused while too much waits for the disk, and taken again when it is written', () => {
    const image = encoded({
      kind: 'pageImage',
      page: pageNo(1),
      bytes: new Uint8Array(redoLimits.pageBytes),
    });
    const parts = Array.from(
      { length: Math.floor(redoLimits.framePayloadBytesMax / image.length) },
      () => image,
    );
    const payloadBytes = parts.length * image.length;
    const big = (at: number) => {
      const base = lsn(at * payloadBytes);
      return {
        ...append([]),
        frames: encodeFrame({ epoch: epoch(1), pg: pgId(0), base, prevPg: base }, parts),
      };
    };
    const many = Math.floor(nodeLimits.pendingBytesMax / big(0).frames.length);
    for (let at = 0; at < many; at++) ask(big(at));
    expect(codeOf(ask(big(many)))).toBe('OVERLOADED');
    persistFrames(false);
    ask(big(many));
    expect(effects.filter((effect) => effect.kind === 'persistFrames')).toHaveLength(many);
  });

  it('without frames tells the SCLs of every group on the path', () => {
    begin({ ...founded, forks: [fork(1, 0, 0), fork(2, 1, 20)], sealed: epoch(2) }, [
      { base: 0 },
      { base: 10, prev: 0, pg: 1 },
      { base: 20, epoch: 2, pg: 2 },
    ]);
    const reply = replyTo(ask(append([], { authority: 2, head: 2, vdl: 20 })));
    expect(reply).toEqual({
      kind: 'acked',
      head: 2,
      scls: [
        [0, 20],
        [1, 20],
        [2, 30],
      ],
    });
  });

  it('as a notice is learnt from and not answered', () => {
    step({ kind: 'request', caller: null, request: append([], { vdl: 5, lowWater: 3 }) });
    expect(node.durable).toEqual({ head: 1, vdl: 5 });
    expect(node.lowWater).toBe(3);
    expect(kinds()).toEqual([]);
  });
});

describe('a seal', () => {
  it('is promised only when it is on disk', () => {
    const caller = ask(seal(2));
    expect(kinds()).toEqual(['persistState']);
    expect(persistState()?.sealed).toBe(2);
    expect(replyTo(caller)).toEqual({ kind: 'sealed', forks: founded.forks, fresh: false, empty: true });
  });

  it('that comes again while the first is under way is not promised before that is on disk', () => {
    const first = ask(seal(2));
    const again = ask(seal(2));
    expect([replyTo(first), replyTo(again)]).toEqual([undefined, undefined]);
    persistState();
    expect([codeOf(first), codeOf(again)]).toEqual(['sealed', 'sealed']);
    expect(codeOf(ask(seal(2)))).toBe('sealed');
  });

  it('is in force from the moment it arrives, for every older request', () => {
    ask(seal(3));
    for (const request of [seal(2), forkTo(2), append([], { authority: 2 })])
      expect(codeOf(ask(request))).toBe('SEALED');
    expect(codeOf(ask({ kind: 'survey', authority: epoch(2), head: epoch(1), forks: [] }))).toBe('SEALED');
  });

  it('lasts over a restart', () => {
    ask(seal(3));
    begin(persistState() ?? emptyNodeState);
    expect(codeOf(ask(seal(2)))).toBe('SEALED');
  });
});

describe('a fork', () => {
  it('is answered only when it is on disk, the second time too', () => {
    const forks = [fork(1, 0, 0), fork(2, 1, 50)];
    const first = ask(forkTo(2, forks));
    const again = ask(forkTo(2, forks));
    expect([replyTo(first), replyTo(again)]).toEqual([undefined, undefined]);
    expect(persistState()?.forks).toEqual(forks);
    expect([codeOf(first), codeOf(again)]).toEqual(['forked', 'forked']);
    expect(node.head).toBe(2);
  });

  it('that contradicts the tree is refused, and what was learnt before it is saved (S4)', () => {
    const caller = ask(forkTo(3, [fork(1, 0, 0), fork(2, 1, 50), fork(1, 0, 7)]));
    expect(codeOf(caller)).toBe('EPOCH_CONFLICT');
    expect(persistState()?.forks).toEqual([fork(1, 0, 0), fork(2, 1, 50)]);
    expect(codeOf(ask(forkTo(3, [fork(5, 4, 50)])))).toBe('EPOCH_CONFLICT');
  });

  it('is not forgotten by an append that follows at once', () => {
    ask(forkTo(2, [fork(1, 0, 0), fork(2, 1, 0)]));
    ask(append([{ base: 0, epoch: 2 }], { authority: 2, head: 2 }));
    const writes = () => kinds().filter((kind) => kind.startsWith('persist'));
    // The fork and the seal of the reign that appends; its frames only when the fork is saved (S4).
    expect(writes()).toEqual(['persistState', 'persistState']);
    persistState();
    expect(writes()).toEqual(['persistFrames']);
  });
});

describe('a survey', () => {
  const forks = [fork(1, 0, 0), fork(2, 1, 25)];
  const survey = (head: number) =>
    ({ kind: 'survey', authority: epoch(2), head: epoch(head), forks }) as const;

  it('lists what is held above the durable point, over gaps, clipped to the path', () => {
    begin({ ...founded, durable: { head: epoch(1), vdl: lsn(10) } }, [
      { base: 0 },
      { base: 20, prev: 10, commits: 2 },
      { base: 40, prev: 40 },
    ]);
    const own = ask(survey(1));
    const next = ask(survey(2));
    expect(replyTo(own)).toBeUndefined();
    persistState();
    expect(replyTo(own)).toEqual({
      kind: 'surveyed',
      volumeEnd: 10,
      scls: [[0, 50]],
      vdl: 10,
      chain: [
        [20, 40, 0, 40],
        [40, 50, 0, 50],
      ],
    });
    expect(replyTo(next)).toMatchObject({ volumeEnd: 10, vdl: 10, chain: [[20, 25, 0, 25]] });
  });

  it('leaves out frames that were not on disk when the seal was', () => {
    ask(append([{ base: 0 }]));
    ask(seal(2));
    persistState();
    const caller = ask({ ...survey(1), forks: [] });
    expect(replyTo(caller)).toMatchObject({ volumeEnd: 0, chain: [] });
  });

  it('of a path that does not fit the tree is refused', () => {
    expect(codeOf(ask({ ...survey(1), forks: [fork(1, 0, 3)] }))).toBe('EPOCH_CONFLICT');
    expect(codeOf(ask(survey(7)))).toBe('EPOCH_CONFLICT');
  });
});

describe('what is durable', () => {
  it('never goes back on one head, and starts on a new one from what the path has already', () => {
    ask(append([], { vdl: 40 }));
    ask(append([], { vdl: 30 }));
    expect(node.durable).toEqual({ head: 1, vdl: 40 });
    ask(forkTo(3, [fork(1, 0, 0), fork(2, 1, 60), fork(3, 1, 20)]));
    ask(append([], { authority: 2, head: 2, vdl: 0 }));
    expect(node.durable).toEqual({ head: 2, vdl: 40 });
    ask(append([], { authority: 3, head: 3, vdl: 0 }));
    expect(node.durable).toEqual({ head: 3, vdl: 20 });
    ask(append([], { authority: 3, head: 1, vdl: 90 }));
    expect(node.durable).toEqual({ head: 3, vdl: 20 });
  });

  it('is followed by the low-water mark, which only a new head may set back', () => {
    ask(append([], { vdl: 40, lowWater: 30 }));
    ask(append([], { vdl: 50, lowWater: 10 }));
    expect(node.lowWater).toBe(30);
    ask(forkTo(2, [fork(1, 0, 0), fork(2, 1, 20)]));
    ask(append([], { authority: 2, head: 2, vdl: 20, lowWater: 5 }));
    expect(node.lowWater).toBe(5);
    ask(append([], { authority: 2, head: 1, vdl: 50, lowWater: 45 }));
    expect(node.lowWater).toBe(5);
  });

  it('is saved now and then, and not when it is what was saved', () => {
    ask(append([], { vdl: 40 }));
    step({ kind: 'tick' });
    expect(kinds()).not.toContain('persistState');
    pass(nodeLimits.hintSaveMs);
    step({ kind: 'tick' });
    expect(persistState()?.durable).toEqual({ head: 1, vdl: 40 });
    pass(nodeLimits.hintSaveMs);
    forgetEffects();
    step({ kind: 'tick' });
    expect(kinds()).not.toContain('persistState');
  });
});
