import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RedoQueue } from '../../../../gateway/engine/core/engine-redo.ts';
import { databasePages, PageStore } from '../../../../gateway/engine/core/page-store.ts';
import {
  encodeFrame,
  framePayload,
  type ReceivedFrame,
  splitFrames,
} from '../../../../storage/redo/frame.ts';
import { epoch, type Lsn, lsn, type PageNo, pageNo, pgId, zeroLsn } from '../../../../storage/redo/ids.ts';
import { encodeMtr, type PageChange } from '../../../../storage/redo/record.ts';

const filled = (value: number): Uint8Array => new Uint8Array(4096).fill(value);
const first = (bytes: Uint8Array | null | undefined): number | null | undefined =>
  bytes instanceof Uint8Array ? bytes[0] : bytes;
const delta = (page: PageNo, value: number): PageChange => ({
  kind: 'pageDelta',
  page,
  runs: [{ offset: 0, bytes: new Uint8Array([value]) }],
});
const page1 = pageNo(1);
const page2 = pageNo(2);

describe('a page that a reader fetches for a snapshot that the head has left', () => {
  const open = () => {
    const store = new PageStore({ kind: 'reader', head: lsn(10), cacheBytesMax: 1 << 20 });
    return { store, snapshot: store.pin() };
  };

  test('is the newest version all the same when no redo since was for it', () => {
    const { store, snapshot } = open();
    store.fold([delta(page2, 5)], lsn(20));
    store.insert(page1, snapshot, filled(1));
    store.insert(page2, snapshot, filled(2));
    expect(first(store.readAt(page1, lsn(20)))).toBe(1);
    expect(first(store.readAt(page2, snapshot))).toBe(2);
    expect(store.readAt(page2, lsn(20))).toBe(undefined);
    store.fold([delta(page1, 7)], lsn(30));
    expect(first(store.readAt(page1, lsn(30)))).toBe(7);
    expect(first(store.readAt(page1, snapshot))).toBe(1);
  });

  test('does not hide a newer version that is here already', () => {
    const { store, snapshot } = open();
    store.fold([delta(page2, 5)], lsn(20));
    store.insert(page1, lsn(20), filled(1));
    store.insert(page1, snapshot, filled(1));
    store.fold([delta(page1, 7)], lsn(30));
    expect(first(store.readAt(page1, snapshot))).toBe(1);
    expect(first(store.readAt(page1, lsn(30)))).toBe(7);
  });

  test('is of that snapshot only when nobody holds that any more, or too much was changed to remember', () => {
    const { store, snapshot } = open();
    store.fold([delta(page2, 5)], lsn(20));
    store.pin();
    store.unpin(snapshot);
    store.insert(page1, snapshot, filled(1));
    expect(store.readAt(page1, lsn(20))).toBe(undefined);

    const crowded = open();
    for (let page = 10; page < 70_000; page++) crowded.store.fold([delta(pageNo(page), 1)], lsn(10 + page));
    crowded.store.insert(page1, crowded.snapshot, filled(1));
    expect(crowded.store.readAt(page1, crowded.store.head)).toBe(undefined);
  });

  test('reads as storage has it at every read point, whatever is folded, pinned and fetched in between', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('fold' as const), page: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant('pin' as const), page: fc.constant(1) }),
      fc.record({ kind: fc.constant('unpin' as const), page: fc.nat() }),
      fc.record({ kind: fc.constant('fetch' as const), page: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const store = new PageStore({ kind: 'reader', head: lsn(10), cacheBytesMax: 1 << 20 });
        const history = new Map<number, { at: Lsn; value: number }[]>();
        const valueAt = (page: PageNo, at: Lsn): number =>
          history.get(page)?.findLast((change) => change.at <= at)?.value ?? 0;
        const pins: Lsn[] = [];
        let at = 10;
        for (const { kind, page: drawn } of steps) {
          if (kind === 'fold') {
            at += 10;
            const changes = history.get(drawn) ?? [];
            changes.push({ at: lsn(at), value: at % 251 });
            history.set(drawn, changes);
            store.fold([delta(pageNo(drawn), at % 251)], lsn(at));
          } else if (kind === 'pin') pins.push(store.pin());
          else if (pins.length === 0) continue;
          else if (kind === 'unpin') store.unpin(pins.splice(drawn % pins.length, 1)[0] ?? lsn(0));
          else {
            const page = pageNo(1 + (drawn % 4));
            const readPoint = pins[drawn % pins.length] ?? lsn(0);
            const bytes = new Uint8Array(4096);
            bytes[0] = valueAt(page, readPoint);
            if (store.readAt(page, readPoint) === undefined) store.insert(page, readPoint, bytes);
          }
          for (const readPoint of [...pins, store.head])
            for (let page = 1; page <= 4; page++) {
              const read = first(store.readAt(pageNo(page), readPoint));
              if (read !== undefined) expect(read ?? 0).toBe(valueAt(pageNo(page), readPoint));
            }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('the page store of a writer', () => {
  test('keeps what an open snapshot sees beside what is committed later, and drops it with the snapshot', () => {
    const store = new PageStore({ kind: 'writer', head: lsn(10), cacheBytesMax: 1 << 20 });
    store.insert(page1, lsn(10), filled(1));
    const snapshot = store.pin();
    store.publish(new Map([[page1, filled(2)]]), lsn(20));
    store.publish(new Map([[page1, filled(3)]]), lsn(30));
    expect(first(store.readAt(page1, snapshot))).toBe(1);
    expect(first(store.readAt(page1, lsn(30)))).toBe(3);
    expect(store.cachedBytes).toBe(2 * 4096);
    store.unpin(snapshot);
    expect(store.cachedBytes).toBe(4096);
    expect(first(store.newest(page1))).toBe(3);
  });

  test('shows another engine the newest version of a page from its commit on, and nothing of older ones', () => {
    const store = new PageStore({ kind: 'writer', head: lsn(10), cacheBytesMax: 1 << 20 });
    store.insert(page1, lsn(10), filled(1));
    store.insert(page2, lsn(10), null);
    store.pin();
    store.publish(new Map([[page1, filled(2)]]), lsn(20));
    expect(first(store.peek(page1, lsn(20)))).toBe(2);
    expect(first(store.peek(page1, lsn(19)))).toBe(undefined);
    expect([store.peek(page2, lsn(10)), store.peek(page2, lsn(9)), store.peek(pageNo(3), lsn(20))]).toEqual([
      null,
      undefined,
      undefined,
    ]);
  });

  test('G110: every read is of the right version, whether it lies in memory, in a layer or in storage', () => {
    const layerOf = (values: ReadonlyMap<PageNo, number>) => {
      const layer = {
        isOpen: true,
        has: (page: PageNo) => values.has(page),
        readInto: (page: PageNo, target: Uint8Array) => {
          expect(layer.isOpen).toBe(true);
          const value = values.get(page);
          if (value !== undefined) target.fill(value);
          return value !== undefined;
        },
        pages: () => values.keys(),
        close: () => {
          layer.isOpen = false;
        },
      };
      return layer;
    };
    const page = fc.integer({ min: 1, max: 6 });
    const step = fc.oneof(
      fc.record({ commit: fc.uniqueArray(page, { minLength: 1 }), isLayer: fc.boolean() }),
      fc.record({ durable: fc.double({ min: 0, max: 1, noNaN: true }) }),
      fc.record({ read: page, snapshot: fc.nat() }),
      fc.record({ pin: fc.boolean(), which: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const store = new PageStore({ kind: 'writer', head: lsn(1), cacheBytesMax: 3 * 4096 });
        const versions: { readonly at: Lsn; readonly values: ReadonlyMap<PageNo, number> }[] = [];
        const layers: { readonly at: Lsn; readonly layer: { isOpen: boolean } }[] = [];
        const pinned: Lsn[] = [];
        let next = 1;
        const valueAt = (asked: PageNo, at: Lsn) =>
          versions.findLast((version) => version.at <= at && version.values.has(asked))?.values.get(asked) ??
          null;
        for (const one of steps) {
          if ('commit' in one) {
            next += 1;
            const at = lsn(next * 10);
            const values = new Map(one.commit.map((number) => [pageNo(number), next % 256]));
            versions.push({ at, values });
            if (one.isLayer) {
              const layer = layerOf(values);
              layers.push({ at, layer });
              store.publishLayer(layer, at);
            } else store.publish(new Map([...values].map(([number, value]) => [number, filled(value)])), at);
          } else if ('durable' in one) {
            store.setDurable(lsn(Math.floor(store.head * one.durable)));
            for (const { at, layer } of layers) expect(layer.isOpen).toBe(at > store.durable);
          } else if ('pin' in one) {
            if (one.pin) pinned.push(store.pin());
            else {
              const [snapshot] = pinned.splice(one.which % Math.max(1, pinned.length), 1);
              if (snapshot !== undefined) store.unpin(snapshot);
            }
          } else {
            const asked = pageNo(one.read);
            const readPoint = pinned[one.snapshot % (pinned.length + 1)] ?? store.head;
            const found = store.readAt(asked, readPoint);
            const right = valueAt(asked, readPoint);
            expect(store.has(asked, readPoint)).toBe(found !== undefined);
            if (found !== undefined) expect(first(found)).toBe(right);
            else {
              const stored = valueAt(asked, store.fetchPoint(readPoint));
              expect(stored).toBe(right);
              store.insert(asked, readPoint, stored === null ? null : filled(stored));
            }
            const newest = store.newest(asked);
            if (newest !== null) expect(first(newest)).toBe(valueAt(asked, store.head));
          }
        }
        store.close();
        expect(layers.every(({ layer }) => !layer.isOpen)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  test('never evicts a page whose redo is not durable', () => {
    const store = new PageStore({ kind: 'writer', head: zeroLsn, cacheBytesMax: 4 * 4096 });
    for (let at = 1; at <= 50; at++) store.publish(new Map([[pageNo(at), filled(at)]]), lsn(at * 10));
    for (let at = 1; at <= 50; at++) expect(first(store.readAt(pageNo(at), lsn(500)))).toBe(at);
    store.setDurable(lsn(250));
    for (let pass = 0; pass < 20; pass++) store.insert(pageNo(100 + pass), lsn(500), filled(9));
    for (let at = 26; at <= 50; at++) expect(first(store.readAt(pageNo(at), lsn(500)))).toBe(at);
    expect(store.readAt(page1, lsn(500))).toBe(undefined);
    expect(store.fetchPoint(lsn(500))).toBe(250);
  });

  test('keeps its bound however many pages a transaction changes', () => {
    const pagesMax = 1_000;
    const store = new PageStore({ kind: 'writer', head: zeroLsn, cacheBytesMax: pagesMax * 4096 });
    let page = 0;
    for (let commit = 1; commit <= 30; commit++) {
      const pages = Array.from({ length: 700 }, () => [pageNo(++page), filled(commit)] as const);
      store.publish(new Map(pages), lsn(commit * 10));
      store.setDurable(lsn(commit * 10));
      expect(store.cachedBytes / 4096).toBeLessThanOrEqual(pagesMax);
    }
  });

  test('comes back to its bound after a transaction larger than the cache, a piece with each news', () => {
    const store = new PageStore({ kind: 'writer', head: zeroLsn, cacheBytesMax: 100 * 4096 });
    const pages = Array.from({ length: 40_000 }, (_, at) => [pageNo(at + 1), filled(1)] as const);
    store.publish(new Map(pages), lsn(1_000));
    for (let at = 1; at <= 30; at++) store.setDurable(lsn(970 + at));
    for (let pass = 0; pass < 30; pass++) store.insert(pageNo(50_000 + pass), lsn(1_000), filled(9));
    expect(store.cachedBytes / 4096).toBeLessThanOrEqual(100);
  });

  test('a page fetched for an old snapshot is the current one as long as it was not changed', () => {
    const store = new PageStore({ kind: 'writer', head: lsn(10), cacheBytesMax: 1 << 20 });
    const old = store.pin();
    store.publish(new Map([[page1, filled(2)]]), lsn(20));
    const middle = store.pin();
    store.publish(new Map([[page1, filled(3)]]), lsn(30));
    store.setDurable(lsn(30));
    expect(store.readAt(page2, old)).toBe(undefined);
    store.insert(page2, old, filled(7));
    expect(first(store.readAt(page2, old))).toBe(7);
    expect(first(store.readAt(page2, middle))).toBe(7);
    expect(first(store.readAt(page2, lsn(30)))).toBe(7);
    store.publish(new Map([[page2, filled(8)]]), lsn(40));
    expect(first(store.readAt(page2, old))).toBe(7);
    expect(first(store.newest(page2))).toBe(8);
    store.unpin(old);
    store.unpin(middle);
  });

  test('knows a page that does not exist from one that is not cached', () => {
    const store = new PageStore({ kind: 'writer', head: lsn(10), cacheBytesMax: 1 << 20 });
    store.insert(page2, lsn(10), null);
    expect(store.readAt(page2, lsn(10))).toBe(null);
    expect(store.readAt(page1, lsn(10))).toBe(undefined);
    expect(databasePages(null)).toBe(0);
  });
});

describe('the page store of a reader', () => {
  test('folds redo into cached pages, drops redo of others, and leaves open snapshots alone', () => {
    const store = new PageStore({ kind: 'reader', head: lsn(10), cacheBytesMax: 1 << 20 });
    store.insert(page1, lsn(10), filled(1));
    const snapshot = store.pin();
    store.fold([delta(page1, 5), delta(page2, 6)], lsn(20));
    expect(first(store.readAt(page1, snapshot))).toBe(1);
    expect(first(store.readAt(page1, lsn(20)))).toBe(5);
    expect(store.readAt(page2, lsn(20))).toBe(undefined);
    store.insert(page2, lsn(20), filled(6));
    store.fold([delta(page2, 8)], lsn(30));
    expect(first(store.readAt(page2, lsn(30)))).toBe(8);
    store.unpin(snapshot);
  });

  test('a page fetched into a full cache is there to be read, even beside an older version of itself', () => {
    const store = new PageStore({ kind: 'reader', head: lsn(1), cacheBytesMax: 2 * 4096 });
    const pinned = store.pin();
    store.fold([delta(pageNo(1), 1)], lsn(11));
    for (const [page, at] of [
      [1, pinned],
      [2, pinned],
      [2, store.head],
      [1, store.head],
    ] as const) {
      if (store.readAt(pageNo(page), at) === undefined) store.insert(pageNo(page), at, filled(page));
      expect(store.readAt(pageNo(page), at)).toBeDefined();
    }
  });

  test('under any mix of folds, snapshots and evictions every read is what storage would answer', () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('fold' as const),
        pages: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
      }),
      fc.record({ kind: fc.constant('pin' as const) }),
      fc.record({ kind: fc.constant('unpin' as const), which: fc.nat() }),
      fc.record({
        kind: fc.constant('read' as const),
        page: fc.integer({ min: 1, max: 6 }),
        which: fc.nat(),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 8 }), (steps, cachePages) => {
        const store = new PageStore({ kind: 'reader', head: lsn(1), cacheBytesMax: cachePages * 4096 });
        const history = new Map<number, { lsn: number; value: number }[]>();
        const pins: Lsn[] = [];
        let value = 0;
        const truth = (page: number, at: Lsn): number =>
          history.get(page)?.findLast((entry) => entry.lsn <= at)?.value ?? 0;
        const read = (page: number, at: Lsn): void => {
          if (store.readAt(pageNo(page), at) === undefined)
            store.insert(pageNo(page), at, filled(truth(page, store.fetchPoint(at))));
          expect(first(store.readAt(pageNo(page), at))).toBe(truth(page, at));
        };
        for (const [index, action] of steps.entries()) {
          const at = lsn(10 + index);
          if (action.kind === 'fold') {
            value = (value + 1) % 256;
            for (const page of action.pages) {
              const entries = history.get(page) ?? [];
              entries.push({ lsn: at, value });
              history.set(page, entries);
            }
            store.fold(
              action.pages.map((page) => delta(pageNo(page), value)),
              at,
            );
          } else if (action.kind === 'pin') pins.push(store.pin());
          else if (action.kind === 'unpin') {
            const [pin] = pins.splice(action.which % Math.max(1, pins.length), 1);
            if (pin !== undefined) store.unpin(pin);
          } else read(action.page, pins[action.which % (pins.length + 1)] ?? store.head);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('redo waiting to be folded', () => {
  const trace = null;
  const mtr = (
    base: number,
    value: number,
    pages: readonly number[],
    pgBytes: number,
  ): { frames: ReceivedFrame[]; end: Lsn } => {
    const encoded = encodeMtr(
      pages.map((page) => delta(pageNo(page), value)),
      [{ kind: 'commit', commitTimeUs: value, trace }],
      pgBytes,
    );
    let at = base;
    const frames: ReceivedFrame[] = [];
    for (const { pg, bytes } of encoded.runs) {
      frames.push(...frame(1, pg, at, [bytes]));
      at += bytes.length;
    }
    return { frames, end: lsn(at) };
  };
  const frame = (
    number: number,
    pg: number,
    base: number,
    parts: readonly Uint8Array[],
  ): readonly ReceivedFrame[] => {
    const split = splitFrames(
      encodeFrame({ epoch: epoch(number), pg: pgId(pg), base: lsn(base), prevPg: zeroLsn }, parts),
    );
    if (split.kind === 'bad') throw new Error(split.reason);
    return split.frames;
  };

  test('comes out in whole mini-transactions up to the VDL, whatever the order and repetition of its frames', () => {
    // Pages of different groups: one mini-transaction is several frames.
    const one = mtr(0, 1, [1, 300, 600], 1 << 20);
    const two = mtr(one.end, 2, [2, 301], 1 << 20);
    const three = mtr(two.end, 3, [3], 1 << 20);
    const all = [...one.frames, ...two.frames, ...three.frames];
    expect(all.length).toBe(6);
    fc.assert(
      fc.property(
        fc.shuffledSubarray(all, { minLength: all.length }),
        fc.array(fc.constantFrom(...all)),
        (order, extra) => {
          const queue = new RedoQueue(zeroLsn, 1 << 20);
          for (const received of [...order, ...extra]) expect(queue.add(received).kind).toBe('added');
          expect(queue.take(lsn(two.end - 1)).map((ready) => ready.lsn)).toEqual([one.end]);
          expect(queue.take(two.end).map((ready) => ready.changes.length)).toEqual([2]);
          expect(queue.take(lsn(three.end + 99)).map((ready) => ready.lsn)).toEqual([three.end]);
        },
      ),
    );
  });

  test('skips what lies at or below the read point of a frame that straddles it', () => {
    const one = mtr(0, 1, [1], 1 << 30);
    const two = mtr(one.end, 2, [2], 1 << 30);
    const queue = new RedoQueue(one.end, 1 << 20);
    const payloads = [...one.frames, ...two.frames].map((received) => framePayload(received.bytes));
    for (const received of frame(1, 0, 0, payloads)) queue.add(received);
    expect(queue.take(two.end).map((ready) => ready.lsn)).toEqual([two.end]);
  });

  test('a frame of a newer epoch cuts the orphaned tail of the older one, which a repetition does not bring back', () => {
    const one = mtr(0, 1, [1], 1 << 30);
    const orphan = mtr(one.end, 2, [2], 1 << 30);
    const longer = mtr(orphan.end, 4, [4], 1 << 30);
    const payloads = [...one.frames, ...orphan.frames, ...longer.frames].map((received) =>
      framePayload(received.bytes),
    );
    const parent = frame(1, 0, 0, payloads);
    const child = encodeMtr([delta(pageNo(3), 3)], [{ kind: 'commit', commitTimeUs: 3, trace }], 1 << 30);
    const queue = new RedoQueue(zeroLsn, 1 << 20);
    const childFrames = frame(
      2,
      0,
      one.end,
      child.runs.map((run) => run.bytes),
    );
    for (const received of [...parent, ...childFrames, ...parent])
      expect(queue.add(received).kind).toBe('added');
    const end = lsn(one.end + child.byteLength);
    const taken = queue.take(lsn(end + 1_000));
    expect(taken.map((ready) => [ready.lsn, ready.changes[0]?.page])).toEqual([
      [one.end, 1],
      [end, 3],
    ]);
  });

  test('refuses a newer epoch that leaves history below what was folded already', () => {
    const one = mtr(0, 1, [1], 1 << 30);
    const queue = new RedoQueue(zeroLsn, 1 << 20);
    for (const received of one.frames) queue.add(received);
    expect(queue.take(one.end).length).toBe(1);
    const child = encodeMtr(
      [delta(pageNo(3), 3), delta(pageNo(4), 4)],
      [{ kind: 'commit', commitTimeUs: 3, trace }],
      1 << 30,
    );
    const [received] = frame(
      2,
      0,
      0,
      child.runs.map((run) => run.bytes),
    );
    expect(received === undefined ? null : queue.add(received).kind).toBe('refused');
  });

  test('refuses more early redo than its bound', () => {
    const one = mtr(0, 1, [1], 1 << 30);
    const two = mtr(one.end, 2, [2], 1 << 30);
    const queue = new RedoQueue(zeroLsn, 10);
    expect(two.frames.map((received) => queue.add(received).kind)).toEqual(['refused']);
  });
});
