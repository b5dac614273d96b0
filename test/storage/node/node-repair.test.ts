import { beforeEach, describe, expect, it } from 'vitest';
import { emptyNodeState } from '../../../storage/node/core/node-events.ts';
import { epoch } from '../../../storage/redo/ids.ts';
import { nodeLimits } from '../../../storage/redo/limits.ts';
import { fork, frameBytes } from '../samples.ts';
import {
  append,
  ask,
  begin,
  codeOf,
  effects,
  forgetEffects,
  forkTo,
  kinds,
  node,
  pass,
  persistFrames,
  persistState,
  replyTo,
  seal,
  step,
} from './node-bench.ts';

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
    pass(nodeLimits.repairAfterMs - 1);
    step({ kind: 'tick' });
    expect(repairs()).toEqual([]);
    pass(1);
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
      pass(nodeLimits.repairAfterMs - 1);
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
    forgetEffects();
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
