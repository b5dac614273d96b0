import { beforeEach, describe, expect, it } from 'vitest';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { nodeLimits } from '../../../storage/redo/limits.ts';
import { fork } from '../samples.ts';
import {
  append,
  ask,
  begin,
  codeOf,
  effects,
  fetched,
  fetchFrom,
  forkTo,
  founded,
  pass,
  persistFrames,
  step,
} from './node-bench.ts';

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
    pass(99);
    step({ kind: 'tick' });
    expect(fetched(caller)).toBeUndefined();
    pass(1);
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
    pass(10_000);
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
