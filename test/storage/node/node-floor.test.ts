import { beforeEach, describe, expect, it } from 'vitest';
import { type Floor, noFloor } from '../../../storage/history/floor.ts';
import { StorageNode } from '../../../storage/node/core/node.ts';
import {
  emptyNodeState,
  type NodeEffect,
  type NodeEvent,
  type NodeState,
} from '../../../storage/node/core/node-events.ts';
import type { ImageBase } from '../../../storage/node/core/refill.ts';
import { epoch, lsn, mainBranch, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { nodeLimits } from '../../../storage/redo/limits.ts';
import type { Holdings } from '../../../storage/retention/core/retention.ts';
import type { RetainRequest, StorageReply, StorageRequest } from '../../../storage/wire/core/messages.ts';
import { fork, frameBytes, held } from '../samples.ts';

const at = (position: number, of = 1): Floor => ({ epoch: epoch(of), lsn: lsn(position) });

/** A node that holds LSNs 0 to 200 of epoch 1, forty in each log file. */
const state: NodeState = {
  sealed: epoch(2),
  forks: [fork(1, 0, 0), fork(2, 1, 200), fork(3, 1, 50)],
  hydrated: true,
  durable: { head: epoch(2), vdl: lsn(200) },
  floor: noFloor,
};
const frames = Array.from({ length: 20 }, (_, index) => {
  const base = index * 10;
  return {
    ...held({ base, prev: base }),
    position: { file: 1 + Math.floor(base / 40), offset: base, length: 46 },
  };
});
const holdings: Holdings = {
  files: [1, 2, 3, 4, 5].map((number) => ({
    number,
    bytes: 100,
    isRolled: number < 5,
    lastCommitUs: number,
  })),
  boundaries: [at(80), at(150)],
  imageBytes: 4096,
};
const retain: RetainRequest = {
  kind: 'retain',
  head: epoch(2),
  keepFrom: lsn(200),
  sinceUs: 3,
  bytesMax: null,
  copies: lsn(200),
};

let node: StorageNode;
let nowMs: number;

beforeEach(() => {
  begin(state);
});

function begin(from: NodeState, kept = frames): void {
  node = new StorageNode(mainBranch, from, kept);
  nowMs = 10_000;
  // The hint is saved at the first tick; that is out of the way now.
  step({ kind: 'tick' });
}

const step = (event: NodeEvent): readonly NodeEffect[] => node.step(event, nowMs);
const kinds = (effects: readonly NodeEffect[]) => effects.map((effect) => effect.kind);
const collect = (request = retain) => step({ kind: 'retain', caller: 1, request, holdings });

/** @returns the reply, or what the node would do. */
function ask(request: StorageRequest): StorageReply | NodeEffect | undefined {
  const [effect] = step({ kind: 'request', caller: 7, request });
  return effect?.kind === 'reply' ? effect.reply : effect;
}

function ticketIn(effects: readonly NodeEffect[]): number {
  const found = effects.find((effect) => effect.kind === 'persistState');
  if (found?.kind !== 'persistState') throw new Error('no state is saved');
  return found.ticket;
}

const fetchFrom = (from: number, head = 2) =>
  ask({
    kind: 'fetch',
    branch: mainBranch,
    head: epoch(head),
    from: lsn(from),
    bytesMax: 1_000,
    waitMs: 0,
    durableOnly: false,
    known: { head: epoch(head), vdl: lsn(0) },
  });
const read = (readPoint: number, head = 2) =>
  ask({ kind: 'readPages', head: epoch(head), readPoint: lsn(readPoint), pages: [pageNo(1)] });

describe('a node that is told what to retain', () => {
  it('S20: saves its floor, then drops the files below it, and answers when the floor is safe', () => {
    const effects = collect();
    expect(kinds(effects)).toEqual(['persistState']);
    expect(node.state.floor).toEqual(at(80));
    expect(step({ kind: 'statePersisted', ticket: ticketIn(effects) })).toEqual([
      {
        kind: 'reply',
        caller: 1,
        reply: {
          kind: 'retained',
          head: 2,
          images: 150,
          floor: at(80),
          window: 80,
          lowWater: 0,
          logBytes: 500,
          imageBytes: 4096,
        },
      },
      { kind: 'dropLog', through: 2 },
    ]);
    expect(node.segment.frameCount).toBe(12);
    expect(node.segment.volumeEnd(epoch(2))).toBe(200);
  });

  it('drops nothing on another word while the floor is not saved, and what was left over at the next', () => {
    const saving = collect();
    expect(kinds(collect())).toEqual([]);
    expect(kinds(step({ kind: 'statePersisted', ticket: ticketIn(saving) }))).toEqual([
      'reply',
      'reply',
      'dropLog',
    ]);
    // It died before the files went.
    begin({ ...state, floor: at(80) });
    expect(kinds(collect())).toEqual(['dropLog', 'reply']);
  });

  it('answers without doing anything when there is nothing to drop', () => {
    expect(collect({ ...retain, sinceUs: 0 })).toMatchObject([
      { kind: 'reply', reply: { kind: 'retained', images: 150, floor: noFloor, window: 0 } },
    ]);
  });

  it('refuses a path it does not know and an authority older than its seal', () => {
    expect(collect({ ...retain, head: epoch(9) })).toMatchObject([{ reply: { code: 'UNKNOWN_EPOCH' } }]);
    expect(collect({ ...retain, authority: epoch(1) })).toMatchObject([{ reply: { code: 'SEALED' } }]);
    expect(node.state.floor).toEqual(noFloor);
  });
});

describe('a node whose log has a hole below where its images begin', () => {
  it('waits for its peers to fill it, and counts from the images only when none of them has that log', () => {
    begin(state, frames.slice(1));
    const base = { at: at(150), fuzzyTo: lsn(150) };
    expect(node.opened({ base, point: { head: epoch(1), lsn: lsn(150) }, standing: null })).toBe(false);
    step({ kind: 'tick' });
    expect([node.state.floor, node.segment.volumeEnd(epoch(2))]).toEqual([noFloor, 0]);
    step({ kind: 'repairFailed', floor: at(80) });
    step({ kind: 'tick' });
    expect([node.state.floor, node.segment.volumeEnd(epoch(2))]).toEqual([at(150), 200]);
  });
});

describe('a node with a floor', () => {
  const above = frames.filter(({ position }) => position.file > 2);
  beforeEach(() => begin({ ...state, floor: at(80) }, above));

  it('S21: refuses what lies below, with its floor, and gives what lies above', () => {
    expect(fetchFrom(79)).toMatchObject({
      code: 'BELOW_FLOOR',
      floor: at(80),
      reason: expect.stringMatching(/the log from 79 on .* LSN 80 of epoch 1/),
    });
    expect(fetchFrom(80)).toMatchObject({ kind: 'replyFrames', answer: { next: 200 } });
    expect(read(79)).toMatchObject({ code: 'BELOW_FLOOR', floor: at(80) });
    expect(read(80)).toMatchObject({ kind: 'replyPages' });
    expect(read(201)).toMatchObject({ code: 'NOT_COMPLETE' });
  });

  it('S18: vouches for nothing on a path that leaves below', () => {
    expect(node.segment.volumeEnd(epoch(3))).toBe(0);
    expect(read(50, 3)).toMatchObject({ code: 'BELOW_FLOOR' });
    expect(fetchFrom(49, 3)).toMatchObject({ code: 'BELOW_FLOOR' });
    // Above where it leaves there might be records of its own.
    expect(fetchFrom(50, 3)).toMatchObject({ kind: 'replyFrames', answer: { frames: [] } });
  });

  it('tells it in a survey, is no empty node without any frame, and counts its SCLs from there', () => {
    const survey = { kind: 'survey', authority: epoch(2), head: epoch(2), forks: state.forks } as const;
    expect(ask(survey)).toMatchObject({ volumeEnd: 200, floor: at(80) });
    begin({ ...state, floor: at(80) }, []);
    expect(ask({ kind: 'seal', branch: mainBranch, epoch: epoch(2) })).toMatchObject({ empty: false });
    expect(ask(survey)).toMatchObject({ volumeEnd: 80, floor: at(80) });
    expect(node.segment.scl(epoch(1), pgId(4))).toBe(80);
  });

  it('does not keep once more what its images hold', () => {
    const request = {
      kind: 'append',
      authority: epoch(2),
      durable: state.durable,
      lowWater: lsn(0),
      frames: frameBytes({ base: 30, prev: 30 }),
    } as const;
    expect(ask(request)).toMatchObject({ kind: 'acked' });
    // Of another path it may be all there is.
    const other = { ...request, frames: frameBytes({ epoch: 3, base: 50, prev: 50 }) };
    expect(ask(other)).toMatchObject({ kind: 'persistFrames' });
  });
});

describe('a node whose durable path leaves below its floor', () => {
  const above = frames.filter(({ position }) => position.file > 2);
  const learns = (vdl = 50) =>
    ask({
      kind: 'append',
      authority: epoch(3),
      durable: { head: epoch(3), vdl: lsn(vdl) },
      lowWater: lsn(0),
      frames: new Uint8Array(0),
    });
  const opens = (base: ImageBase | null) =>
    node.opened({ base: at80, point: { head: epoch(1), lsn: lsn(150) }, standing: null }) ||
    step({ kind: 'imagesChanged', base, point: { head: epoch(1), lsn: lsn(150) } });
  const at80: ImageBase = { at: at(80), fuzzyTo: lsn(80) };
  beforeEach(() => begin({ ...state, floor: at(80) }, above));

  it.each<{ what: string; base: ImageBase; floor: Floor; end: number }>([
    { what: 'images on the path', base: { at: at(40), fuzzyTo: lsn(40) }, floor: at(40), end: 40 },
    {
      what: 'images of places up to the fork',
      base: { at: at(40), fuzzyTo: lsn(50) },
      floor: at(40),
      end: 40,
    },
    { what: 'images of places beyond it', base: { at: at(40), fuzzyTo: lsn(60) }, floor: noFloor, end: 0 },
    { what: 'images beside the path', base: at80, floor: noFloor, end: 0 },
  ])('S18: counts from $what as far as they go, and else from the beginning', ({ base, floor, end }) => {
    opens(base);
    learns();
    const effects = step({ kind: 'tick' });
    expect(node.state.floor).toEqual(floor);
    expect([node.segment.volumeEnd(epoch(3)), node.state.hydrated]).toEqual([end, true]);
    // S20: until then the images that the old floor counts on have to stay.
    expect(node.keeping.isSaving).toBe(true);
    step({ kind: 'statePersisted', ticket: ticketIn(effects) });
    expect(node.keeping.isSaving).toBe(false);
    expect(read(50, 3)).toMatchObject({ code: 'NOT_COMPLETE' });
  });

  it('goes by the images that it has now, not by those of its start', () => {
    node.opened({
      base: { at: at(40), fuzzyTo: lsn(40) },
      point: { head: epoch(1), lsn: lsn(150) },
      standing: null,
    });
    // A merge has taken the one at 40 away.
    step({ kind: 'imagesChanged', base: at80, point: { head: epoch(1), lsn: lsn(150) } });
    learns();
    step({ kind: 'tick' });
    step({ kind: 'repairFailed', floor: at(80) });
    step({ kind: 'tick' });
    expect([node.state.floor, node.segment.volumeEnd(epoch(3))]).toEqual([noFloor, 0]);
  });

  it('gives what it has of the path that was left, for whoever looks for lost writes', () => {
    opens(at80);
    learns();
    step({ kind: 'tick' });
    expect(fetchFrom(80, 1)).toMatchObject({ kind: 'replyFrames', answer: { next: 200 } });
  });

  it('keeps what a peer or another region sends of the new one from its beginning', () => {
    opens(at80);
    learns();
    step({ kind: 'tick' });
    const request = {
      kind: 'append',
      authority: epoch(3),
      durable: { head: epoch(3), vdl: lsn(50) },
      lowWater: lsn(0),
      frames: frameBytes({ base: 0, prev: 0 }),
    } as const;
    expect(ask(request)).toMatchObject({ kind: 'persistFrames' });
  });

  it('S26: images that are gone while it runs take the floor with them, and its word as a witness', () => {
    opens(at80);
    expect(node.state).toMatchObject({ floor: at(80), hydrated: true });
    step({ kind: 'imagesChanged', base: null, point: { head: epoch(0), lsn: lsn(0) } });
    expect(node.state).toMatchObject({ floor: noFloor, hydrated: false });
  });
});

describe('a node that lacks what its peers hold as images only', () => {
  const told = { ...emptyNodeState, forks: state.forks, sealed: epoch(2), durable: state.durable };
  const repairs = (effects: readonly NodeEffect[]) => effects.filter(({ kind }) => kind === 'repair').length;
  const tickAfter = (ms: number) => {
    nowMs += ms;
    return repairs(step({ kind: 'tick' }));
  };

  it('S22: says so, is no witness, and asks again in a while, not at once', () => {
    begin(told, []);
    expect(tickAfter(nodeLimits.repairAfterMs)).toBe(1);
    step({ kind: 'repairFailed', floor: at(80) });
    expect(node.needsImages).toEqual(at(80));
    expect(tickAfter(50)).toBe(0);
    expect(tickAfter(nodeLimits.belowFloorRetryMs)).toBe(1);
    expect(node.state.hydrated).toBe(false);
  });

  it('S22: goes on from its own images, when they are above what it has without a gap', () => {
    begin(
      { ...state, durable: { head: epoch(2), vdl: lsn(200) } },
      frames.filter(({ base }) => base !== 30),
    );
    tickAfter(nodeLimits.repairAfterMs);
    // Nobody has told it that its peers lack the log, too.
    expect(kinds(collect({ ...retain, keepFrom: lsn(0) }))).toEqual(['reply']);
    step({ kind: 'repairFailed', floor: at(80) });
    expect(kinds(collect({ ...retain, keepFrom: lsn(0) }))).toEqual(['persistState']);
    expect([node.state.floor, node.segment.volumeEnd(epoch(2))]).toEqual([at(150), 200]);
  });

  it('says it no more once a peer gave something', () => {
    begin(told, []);
    tickAfter(nodeLimits.repairAfterMs);
    step({ kind: 'repairFailed', floor: at(80) });
    tickAfter(nodeLimits.belowFloorRetryMs);
    step({ kind: 'repaired', frames: frameBytes({ base: 0 }), forks: [] });
    expect(node.needsImages).toBeNull();
  });
});
