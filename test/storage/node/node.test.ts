import { beforeEach, describe, expect, it } from 'vitest';
import { noFloor } from '../../../storage/history/floor.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/node/core/node-events.ts';
import { concatBytes } from '../../../storage/redo/bytes.ts';
import { encodeFrame } from '../../../storage/redo/frame.ts';
import { epoch, lsn, mainBranch, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { nodeLimits, redoLimits } from '../../../storage/redo/limits.ts';
import type { FetchRequest, StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { encoded, type FrameSample, fork, frameBytes, held } from '../samples.ts';

const founded: NodeState = {
  sealed: epoch(1),
  forks: [fork(1, 0, 0)],
  hydrated: true,
  durable: { head: epoch(1), vdl: lsn(0) },
  floor: noFloor,
};

let node: StorageNode;
let nowMs: number;
let effects: NodeEffect[];
let nextCaller: number;

beforeEach(() => {
  begin(founded);
});

function begin(state: NodeState, frames: readonly FrameSample[] = []): void {
  node = new StorageNode(mainBranch, state, frames.map(held));
  nowMs = 10_000;
  nextCaller = 1;
  effects = [];
  // The hint is saved at the first tick; that is out of the way now.
  step({ kind: 'tick' });
  effects = [];
}

function step(event: NodeEvent): readonly NodeEffect[] {
  const made = node.step(event, nowMs);
  effects.push(...made);
  return made;
}

/** @returns the name of the caller. */
function ask(request: StorageRequest): number {
  const caller = nextCaller++;
  step({ kind: 'request', caller, request });
  return caller;
}

function append(
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

const seal = (of: number) => ({ kind: 'seal', branch: mainBranch, epoch: epoch(of) }) as const;
const forkTo = (authority: number, forks = [fork(1, 0, 0)]) =>
  ({ kind: 'fork', authority: epoch(authority), forks }) as const;

function fetchFrom(from: number, more: Partial<FetchRequest> = {}): FetchRequest {
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

function replyTo(caller: number): StorageReply | undefined {
  const found = effects.find((effect) => effect.kind === 'reply' && effect.caller === caller);
  return found?.kind === 'reply' ? found.reply : undefined;
}

function fetched(caller: number) {
  const found = effects.find((effect) => effect.kind === 'replyFrames' && effect.caller === caller);
  if (found?.kind !== 'replyFrames') return undefined;
  const { frames, ...rest } = found.answer;
  return { ...rest, bases: frames.map((frame) => frame.base) };
}

function codeOf(caller: number): string | undefined {
  const reply = replyTo(caller);
  return reply?.kind === 'refused' ? reply.code : reply?.kind;
}

/** The disk finishes the oldest write of frames, or all. */
function persistFrames(all = true): void {
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
function persistState(): NodeState | null {
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

const kinds = () => effects.map((effect) => effect.kind);

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
    effects = [];
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
    nowMs += nodeLimits.hintSaveMs;
    step({ kind: 'tick' });
    expect(persistState()?.durable).toEqual({ head: 1, vdl: 40 });
    nowMs += nodeLimits.hintSaveMs;
    effects = [];
    step({ kind: 'tick' });
    expect(kinds()).not.toContain('persistState');
  });
});

describe('a fetch', () => {
  beforeEach(() => {
    begin({ ...founded, durable: { head: epoch(1), vdl: lsn(20) } }, [
      { base: 0, commits: 2 },
      { base: 20 },
      { base: 40 },
    ]);
  });

  it('answers at once with what follows, up to a gap, and says where to go on', () => {
    expect(fetched(ask(fetchFrom(0)))).toEqual({ head: 1, vdl: 20, next: 30, forks: [], bases: [0, 20] });
    expect(fetched(ask(fetchFrom(0, { durableOnly: true })))).toMatchObject({ next: 20, bases: [0] });
    expect(fetched(ask(fetchFrom(0, { head: null, known: { head: epoch(0), vdl: lsn(0) } })))).toMatchObject({
      head: 1,
      forks: founded.forks,
    });
    expect(codeOf(ask(fetchFrom(0, { head: epoch(9) })))).toBe('UNKNOWN_EPOCH');
  });

  it('waits when there is no news, and wakes when frames are on disk', () => {
    const caller = ask(fetchFrom(30, { known: { head: epoch(1), vdl: lsn(20) } }));
    expect(effects).toEqual([]);
    ask(append([{ base: 30, prev: 30 }], { vdl: 20 }));
    expect(fetched(caller)).toBeUndefined();
    persistFrames();
    expect(fetched(caller)).toMatchObject({ next: 50, bases: [30, 40] });
  });

  it('of durable frames only wakes when they are called durable', () => {
    const caller = ask(fetchFrom(20, { durableOnly: true, known: { head: epoch(1), vdl: lsn(20) } }));
    ask(append([{ base: 30, prev: 30 }], { vdl: 20 }));
    persistFrames();
    expect(fetched(caller)).toBeUndefined();
    ask(append([], { vdl: 30 }));
    expect(fetched(caller)).toMatchObject({ vdl: 30, next: 30, bases: [20] });
  });

  it('wakes at the next tick when its branch has a new head', () => {
    const caller = ask(fetchFrom(30, { head: null, known: { head: epoch(1), vdl: lsn(20) } }));
    ask(forkTo(2, [fork(1, 0, 0), fork(2, 1, 30)]));
    step({ kind: 'tick' });
    expect(fetched(caller)).toMatchObject({ head: 2, vdl: 20, forks: [{ epoch: 1 }, { epoch: 2 }] });
  });

  it('answers with nothing at its deadline, and not before', () => {
    const caller = ask(fetchFrom(30, { known: { head: epoch(1), vdl: lsn(20) }, waitMs: 100 }));
    nowMs += 99;
    step({ kind: 'tick' });
    expect(fetched(caller)).toBeUndefined();
    nowMs += 1;
    step({ kind: 'tick' });
    expect(fetched(caller)).toMatchObject({ next: 30, bases: [] });
  });

  it('that will not wait is answered with nothing at once', () => {
    expect(fetched(ask(fetchFrom(30, { known: { head: epoch(1), vdl: lsn(20) }, waitMs: 0 })))).toMatchObject(
      { bases: [] },
    );
  });

  it('is forgotten when its caller is gone', () => {
    const caller = ask(fetchFrom(30, { known: { head: epoch(1), vdl: lsn(20) } }));
    step({ kind: 'callerGone', caller });
    nowMs += 10_000;
    step({ kind: 'tick' });
    expect(fetched(caller)).toBeUndefined();
  });

  it('is refused when too many wait already', () => {
    const request = fetchFrom(30, { known: { head: epoch(1), vdl: lsn(20) } });
    for (let at = 0; at < nodeLimits.fetchWaitersMax; at++) ask(request);
    expect(effects).toEqual([]);
    expect(codeOf(ask(request))).toBe('OVERLOADED');
  });
});

describe('a page read', () => {
  const read = (readPoint: number, head = 1) =>
    ({ kind: 'readPages', head: epoch(head), readPoint: lsn(readPoint), pages: [] }) as const;

  it('is answered up to where the node is complete', () => {
    begin(founded, [{ base: 0 }, { base: 20, prev: 20 }]);
    expect(codeOf(ask(read(11)))).toBe('NOT_COMPLETE');
    ask(read(10));
    expect(effects.at(-1)).toMatchObject({ kind: 'replyPages', readPoint: 10 });
    expect(codeOf(ask(read(1, 7)))).toBe('UNKNOWN_EPOCH');
  });
});

describe('repair', () => {
  const repairs = () => effects.filter((effect) => effect.kind === 'repair');

  it('starts only after standing still before a hole, and goes on until the node is level', () => {
    ask(
      append(
        [
          { base: 10, prev: 10 },
          { base: 20, prev: 20 },
        ],
        { vdl: 30 },
      ),
    );
    persistFrames();
    step({ kind: 'tick' });
    nowMs += nodeLimits.repairAfterMs - 1;
    step({ kind: 'tick' });
    expect(repairs()).toEqual([]);
    nowMs += 1;
    step({ kind: 'tick' });
    expect(repairs()).toEqual([{ kind: 'repair', head: 1, from: 0, durable: { head: 1, vdl: 30 } }]);
    step({ kind: 'tick' });
    expect(repairs()).toHaveLength(1);
    step({ kind: 'repairFailed' });
    step({ kind: 'tick' });
    expect(repairs()).toHaveLength(2);
    step({ kind: 'repaired', frames: frameBytes({ base: 0 }), forks: [] });
    persistFrames();
    step({ kind: 'tick' });
    expect(repairs()).toHaveLength(2);
    expect(node.segment.volumeEnd(epoch(1))).toBe(30);
  });

  it('leaves a node alone that is behind and moving', () => {
    ask(append([], { vdl: 1_000 }));
    for (let base = 0; base < 300; base += 10) {
      step({ kind: 'tick' });
      nowMs += nodeLimits.repairAfterMs - 1;
      ask(append([{ base }], { vdl: 1_000 }));
      persistFrames();
    }
    expect(repairs()).toEqual([]);
  });

  it('takes nothing bad from a peer', () => {
    step({ kind: 'repaired', frames: new Uint8Array([1, 2, 3]), forks: [] });
    step({ kind: 'repaired', frames: frameBytes({ base: 0, epoch: 5 }), forks: [] });
    step({ kind: 'repaired', frames: frameBytes({ base: 0 }), forks: [fork(1, 0, 9)] });
    expect(kinds()).toEqual([]);
  });
});

describe('a node that came back empty', () => {
  beforeEach(() => {
    begin(emptyNodeState);
  });

  it('says so until it holds everything its writer called durable (S6)', () => {
    const isFresh = () => {
      const caller = ask(seal(5));
      persistState();
      const reply = replyTo(caller);
      return reply?.kind === 'sealed' && reply.fresh;
    };
    expect(isFresh()).toBe(true);
    ask(forkTo(5));
    expect(isFresh()).toBe(true);
    const copied = ask(append([{ base: 0 }], { authority: 5, head: 0 }));
    persistFrames();
    expect(codeOf(copied)).toBe('acked');
    expect(isFresh()).toBe(true);
    ask(append([], { authority: 5, vdl: 20 }));
    expect(isFresh()).toBe(true);
    ask(append([{ base: 10 }], { authority: 5, vdl: 20 }));
    persistFrames();
    step({ kind: 'tick' });
    expect(isFresh()).toBe(false);
    expect(node.state.hydrated).toBe(true);
  });

  it('learns its seal again from the reign that writes, and keeps it: a writer deposed before the wipe is refused (S2)', () => {
    ask(forkTo(1, [fork(1, 0, 0), fork(5, 1, 0)]));
    persistState();
    const copied = ask(append([{ base: 0, epoch: 5 }], { authority: 5, head: 5 }));
    expect(node.sealed).toBe(5);
    expect(persistState()?.sealed).toBe(5);
    persistFrames();
    expect(codeOf(copied)).toBe('acked');
    expect(codeOf(ask(append([{ base: 10 }], { authority: 1 })))).toBe('SEALED');
    // Known now: the same reign costs the disk nothing more.
    effects = [];
    ask(append([], { authority: 5, head: 5 }));
    expect(kinds()).not.toContain('persistState');
    begin({ ...emptyNodeState, forks: [fork(1, 0, 0), fork(5, 1, 0)], sealed: epoch(5) });
    expect(codeOf(ask(append([], { authority: 1 })))).toBe('SEALED');
  });

  it('in a volume that begins is no longer fresh once a writer has asked, and answers when that is on disk', () => {
    ask(forkTo(1));
    persistState();
    const caller = ask(append([]));
    expect(replyTo(caller)).toBeUndefined();
    expect(persistState()?.hydrated).toBe(true);
    expect(codeOf(caller)).toBe('acked');
  });
});
