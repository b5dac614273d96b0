import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lsn, pageNo, pgId } from '../../../storage/redo/ids.ts';
import { redoLimits } from '../../../storage/redo/limits.ts';
import {
  applyChange,
  type Commit,
  decodeRecords,
  diffPage,
  encodeMtr,
  encodeRecord,
  type Mtr,
  type PageChange,
  pgOfPage,
  type RedoRecord,
  recordBytes,
  type Shrink,
  splitRun,
} from '../../../storage/redo/record.ts';
import { lastCplIn, RecordCursor } from '../../../storage/redo/record-cursor.ts';
import { commitAt, delta, encoded, fromHex, hex } from '../samples.ts';

const trace = new Uint8Array(25).map((_, at) => 0xa0 + at);
const image: PageChange = { kind: 'pageImage', page: pageNo(300), bytes: new Uint8Array(4096).fill(0xee) };
const twoRuns: PageChange = {
  kind: 'pageDelta',
  page: pageNo(5),
  runs: [
    { offset: 1, bytes: fromHex('aabb') },
    { offset: 4000, bytes: fromHex('cc') },
  ],
};

const changes: fc.Arbitrary<PageChange> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('pageDelta' as const, 'pageAnew' as const),
    page: fc.integer({ min: 1, max: 0xffff_fffe }).map(pageNo),
    runs: fc.array(
      fc.record({
        offset: fc.integer({ min: 0, max: 4000 }),
        bytes: fc.uint8Array({ minLength: 1, maxLength: 90 }),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  }),
  fc.record({
    kind: fc.constant('pageImage' as const),
    page: fc.integer({ min: 1, max: 0xffff_fffe }).map(pageNo),
    bytes: fc.integer({ min: 0, max: 255 }).map((fill) => new Uint8Array(redoLimits.pageBytes).fill(fill)),
  }),
);
const shrinks: fc.Arbitrary<Shrink> = fc.record({
  kind: fc.constant('shrink' as const),
  pages: fc.integer({ min: 0, max: 0xffff_fffe }),
});
const commits: fc.Arbitrary<Commit> = fc.record({
  kind: fc.constant('commit' as const),
  commitTimeUs: fc.maxSafeInteger().map(Math.abs),
  trace: fc.option(fc.uint8Array({ minLength: 25, maxLength: 25 })),
});

function encodeAll(records: readonly RedoRecord[]): Uint8Array {
  return Buffer.concat(records.map((record) => encoded(record)));
}

function decodeAll(bytes: Uint8Array, base = 0): readonly RedoRecord[] {
  const decoded = decodeRecords(bytes, lsn(base));
  if (decoded.kind === 'malformed') throw new Error(decoded.reason);
  return decoded.records.map(({ lsn: _, ...record }) => record);
}

describe('a record', () => {
  it('has exactly these bytes', () => {
    expect(hex(encoded(twoRuns))).toBe(hex(fromHex('01 09 05 01 02 aabb a01f 01 cc')));
    expect(hex(encoded(image))).toBe(`028220ac02${'ee'.repeat(4096)}`);
    expect(hex(encoded(commitAt(0x1_0000_0002)))).toBe(hex(fromHex('03 08 0200000001000000')));
    expect(hex(encoded({ ...twoRuns, kind: 'pageAnew' }))).toBe(
      hex(fromHex('05 09 05 01 02 aabb a01f 01 cc')),
    );
    expect(hex(encoded({ kind: 'shrink', pages: 300 }))).toBe(hex(fromHex('04 02 ac02')));
    expect(hex(encoded({ kind: 'commit', commitTimeUs: 3, trace }))).toBe(
      `03210300000000000000${hex(trace)}`,
    );
  });

  it('is read back as it was written, with the LSN just past it', () => {
    const bytes = encodeAll([twoRuns, commitAt(7)]);
    const decoded = decodeRecords(bytes, lsn(1000));
    expect(decoded.kind === 'records' && decoded.records.map((record) => record.lsn)).toEqual([1011, 1021]);
    expect(hex(encodeAll(decodeAll(bytes)))).toBe(hex(bytes));
  });

  it('round-trips whatever it holds, and takes the room it announced', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(changes, shrinks, commits), { maxLength: 6 }), (records) => {
        const bytes = encodeAll(records);
        expect(bytes.length).toBe(records.reduce((sum, record) => sum + recordBytes(record), 0));
        const decoded = decodeAll(bytes);
        expect(decoded).toHaveLength(records.length);
        expect(hex(encodeAll(decoded))).toBe(hex(bytes));
        const walked: unknown[] = [];
        const cursor = new RecordCursor(bytes);
        while (cursor.next())
          walked.push([
            cursor.isCommit ? 'commit' : cursor.isWhole ? 'whole' : 'part',
            cursor.page,
            cursor.pagesLeft,
            cursor.end,
            cursor.isCommit ? cursor.commitTimeUs : null,
            cursor.trace === null ? null : hex(cursor.trace),
          ]);
        expect(cursor.isMalformed).toBe(false);
        let end = 0;
        expect(walked).toEqual(
          records.map((record) => {
            end += recordBytes(record);
            const page = 'page' in record ? record.page : null;
            const left = record.kind === 'shrink' ? record.pages : null;
            const isWhole = record.kind === 'pageImage' || record.kind === 'pageAnew';
            const kind = record.kind === 'commit' ? 'commit' : isWhole ? 'whole' : 'part';
            const commit = record.kind === 'commit' ? record : null;
            const trace = commit?.trace ?? null;
            return [kind, page, left, end, commit?.commitTimeUs ?? null, trace === null ? null : hex(trace)];
          }),
        );
      }),
    );
  });

  it('refuses a trace context of the wrong length', () => {
    const target = new Uint8Array(100);
    expect(() =>
      encodeRecord({ kind: 'commit', commitTimeUs: 1, trace: new Uint8Array(24) }, target, 0),
    ).toThrow('25 bytes');
  });
});

describe('malformed records', () => {
  it.each([
    ['01', 'a record runs past the end of its frame'],
    ['0105', 'a record runs past the end of its frame'],
    ['010505', 'a record runs past the end of its frame'],
    ['03ffffffff1f', 'a record runs past the end of its frame'],
    ['0400', 'a shrink record does not hold one number'],
    ['04020501', 'a shrink record does not hold one number'],
    ['0600', 'unknown record type 6'],
    ['0100', 'a page change has no page number'],
    ['010100', 'a page change has no page number'],
    ['0105ffffffff0f', 'a page change has no page number'],
    ['0103050103', 'a page run runs past the end of its record'],
    ['010505ff1f02aa', 'a page run runs past the end of its record'],
    ['010605ff1f02aabb', 'a page run runs past the end of its page'],
    ['0200', 'a page image has no page number'],
    ['0205ffffffff0f', 'a page image has no page number'],
    ['020305aabb', 'a page image holds 2 bytes'],
    ['0301aa', 'a commit record of 1 bytes'],
    ['0308ffffffffffffffff', 'a commit time beyond 2^53 microseconds'],
  ])('%s: %s', (bytes, reason) => {
    expect(decodeRecords(fromHex(bytes), lsn(0))).toEqual({ kind: 'malformed', reason });
  });

  it('never make a decoder throw', () => {
    const almost = fc
      .tuple(changes, commits, fc.nat(), fc.integer({ min: 0, max: 255 }))
      .map(([change, commit, at, value]) => {
        const bytes = encodeAll([change, commit]);
        bytes[at % Math.min(bytes.length, 12)] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), almost), (bytes) => {
        const decoded = decodeRecords(bytes, lsn(5));
        const cursor = new RecordCursor(bytes);
        const image = new Uint8Array(4096);
        let walked = 0;
        for (; cursor.next(); walked++) if (cursor.page !== null) cursor.applyTo(image);
        if (decoded.kind !== 'records') return;
        expect(walked).toBe(decoded.records.length);
        const last = decoded.records.findLast((record) => record.kind === 'commit')?.lsn ?? null;
        expect(lastCplIn(bytes, lsn(5))).toBe(last);
      }),
      { numRuns: 1000 },
    );
  });
});

const pageEdits = fc.record({
  previous: fc.integer({ min: 0, max: 255 }),
  edits: fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 4095 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 1500 }),
    }),
    { maxLength: 12 },
  ),
});

describe('the difference of two pages', () => {
  it('applied to the one gives the other, and is never longer than an image', () => {
    fc.assert(
      fc.property(pageEdits, ({ previous: fill, edits }) => {
        const previous = new Uint8Array(4096).fill(fill);
        const next = previous.slice();
        for (const { at, bytes } of edits) next.set(bytes.subarray(0, 4096 - at), at);
        const change = diffPage(pageNo(9), previous, next);
        if (change === null) {
          expect(next).toEqual(previous);
          return;
        }
        expect(applyChange(previous.slice(), change)).toEqual(next);
        const cursor = new RecordCursor(encoded(change));
        const image = previous.slice();
        expect(cursor.next() && cursor.applyTo(image)).toBe(true);
        expect(image).toEqual(next);
        expect(recordBytes(change)).toBeLessThanOrEqual(
          recordBytes({ kind: 'pageImage', page: pageNo(9), bytes: next }),
        );
      }),
    );
  });

  it('is the same wherever in memory the pages lie', () => {
    const shifted = (page: Uint8Array): Uint8Array => {
      const moved = new Uint8Array(page.length + 3).subarray(3);
      moved.set(page);
      return moved;
    };
    fc.assert(
      fc.property(pageEdits, ({ previous: fill, edits }) => {
        const previous = new Uint8Array(4096).fill(fill);
        const next = previous.slice();
        for (const { at, bytes } of edits) next.set(bytes.subarray(0, 4096 - at), at);
        const change = diffPage(pageNo(9), previous, next);
        expect(diffPage(pageNo(9), shifted(previous), next)).toEqual(change);
        expect(diffPage(pageNo(9), previous, shifted(next))).toEqual(change);
      }),
    );
  });

  it('is an image of a page with little in it where nodes may know nothing shorter', () => {
    const page = new Uint8Array(4096);
    page.fill(7, 100, 900);
    expect(diffPage(pageNo(1), null, page)?.kind).toBe('pageAnew');
    expect(diffPage(pageNo(1), null, page, 'image')?.kind).toBe('pageImage');
    expect(diffPage(pageNo(1), new Uint8Array(4096), page, 'image')?.kind).toBe('pageDelta');
  });

  it('is nothing when nothing changed, and an image where there was no page', () => {
    const page = new Uint8Array(4096).fill(3);
    expect(diffPage(pageNo(1), page, page.slice())).toBeNull();
    expect(diffPage(pageNo(1), null, page)?.kind).toBe('pageImage');
    expect(diffPage(pageNo(1), new Uint8Array(512), page)?.kind).toBe('pageImage');
  });

  it('says what is not zero where that is shorter: of a page that begins, or begins again', () => {
    const old = Uint8Array.from({ length: 4096 }, (_, at) => 1 + (at % 250));
    const next = new Uint8Array(4096);
    next.set(old.subarray(0, 900), 40);
    for (const previous of [null, old]) {
      const change = diffPage(pageNo(9), previous, next);
      expect(change?.kind).toBe('pageAnew');
      if (change === null) continue;
      expect(recordBytes(change)).toBeLessThan(920);
      expect(applyChange(old.slice(), change)).toEqual(next);
      const cursor = new RecordCursor(encoded(change));
      const image = old.slice();
      expect(cursor.next() && cursor.applyTo(image)).toBe(true);
      expect(image).toEqual(next);
    }
    const more = next.slice();
    more.fill(7, 1000, 1600);
    expect(diffPage(pageNo(9), next, more)?.kind).toBe('pageDelta');
  });

  it('joins runs whose gap costs less than a run header, and only those', () => {
    const next = (...at: readonly number[]) => {
      const page = new Uint8Array(4096);
      for (const index of at) page[index] = 1;
      return page;
    };
    const runsOf = (page: Uint8Array) => {
      const change = diffPage(pageNo(1), new Uint8Array(4096), page);
      return change?.kind === 'pageDelta' ? change.runs.map((run) => [run.offset, run.bytes.length]) : null;
    };
    expect(runsOf(next(100, 104))).toEqual([[100, 5]]);
    expect(runsOf(next(100, 105))).toEqual([
      [100, 1],
      [105, 1],
    ]);
    expect(runsOf(next(0, 4095))).toEqual([
      [0, 1],
      [4095, 1],
    ]);
  });

  it('copies an image, so that the record and the page do not share bytes', () => {
    const bytes = new Uint8Array(4096);
    const applied = applyChange(new Uint8Array(4096), { kind: 'pageImage', page: pageNo(1), bytes });
    bytes[0] = 1;
    expect(applied[0]).toBe(0);
  });
});

describe('a run of records', () => {
  it('is split between records only, each part within the bound unless one record alone is longer', () => {
    fc.assert(
      fc.property(
        fc.array(changes, { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 9000 }),
        (records, bytesMax) => {
          const bytes = encodeAll(records);
          const parts = splitRun(bytes, bytesMax);
          expect(hex(Buffer.concat(parts))).toBe(hex(bytes));
          for (const part of parts) {
            const cursor = new RecordCursor(part);
            let count = 0;
            while (cursor.next()) count += 1;
            expect(count).toBeGreaterThan(0);
            if (part.length > bytesMax) expect(count).toBe(1);
          }
        },
      ),
    );
  });

  it('is never split between two commits that follow one another', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(changes, fc.nat({ max: 9 }).map(commitAt)), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 9000 }),
        (records, bytesMax) => {
          const bytes = encodeAll(records);
          const parts = splitRun(bytes, bytesMax);
          expect(hex(Buffer.concat(parts))).toBe(hex(bytes));
          const kinds = parts.map((part) => {
            const cursor = new RecordCursor(part);
            const seen: boolean[] = [];
            while (cursor.next()) seen.push(cursor.isCommit);
            if (part.length > bytesMax)
              expect(seen.length === 1 || seen.every((isCommit) => isCommit)).toBe(true);
            return seen;
          });
          for (const [at, next] of kinds.slice(1).entries())
            expect(next[0] === true && kinds[at]?.at(-1) === true).toBe(false);
        },
      ),
    );
  });
});

describe('a mini-transaction', () => {
  const pgBytes = redoLimits.pgBytesMin;

  it('groups its records by protection group in ascending order, with the commit last', () => {
    const mtr = encodeMtr(
      [delta(600, 'c'), delta(1, 'a'), delta(257, 'b'), delta(2, 'd')],
      [commitAt(42)],
      pgBytes,
    );
    expect(mtr.runs.map((run) => run.pg)).toEqual([0, 1, 2]);
    const records = mtr.runs.map((run) =>
      decodeAll(run.bytes).map((record) => ('page' in record ? record.page : record.kind)),
    );
    expect(records).toEqual([[1, 2], [257], [600, 'commit']]);
    expect(mtr.byteLength).toBe(mtr.runs.reduce((sum, run) => sum + run.bytes.length, 0));
    expect(mtr.commits).toBe(1);
  });

  it('of a group ends in one commit for each of its transactions', () => {
    const mtr = encodeMtr([delta(1, 'a'), delta(257, 'b')], [commitAt(1), commitAt(2), commitAt(3)], pgBytes);
    expect(mtr.commits).toBe(3);
    const last = mtr.runs.at(-1)?.bytes ?? new Uint8Array(0);
    const end = lsn(mtr.byteLength);
    const decoded = decodeRecords(last, lsn(end - last.length));
    assert(decoded.kind === 'records');
    expect(decoded.records.map((record) => record.kind)).toEqual(['pageDelta', 'commit', 'commit', 'commit']);
    expect(lastCplIn(last, lsn(end - last.length))).toBe(end);
  });

  it('tells that the database got shorter before the changes of the group in which it ends', () => {
    const kinds = (mtr: Mtr): unknown[] =>
      mtr.runs.map(({ pg, bytes }) => [
        pg,
        ...decodeAll(bytes).map((record) => ('page' in record ? record.page : record.kind)),
      ]);
    const changed = [delta(1, 'a'), delta(300, 'b')];
    const shrunk = (left: number) =>
      encodeMtr(changed, [commitAt(1)], pgBytes, { kind: 'shrink', pages: left });
    expect(kinds(shrunk(2))).toEqual([
      [0, 'shrink', 1],
      [1, 300, 'commit'],
    ]);
    expect(kinds(shrunk(299))).toEqual([
      [0, 1],
      [1, 'shrink', 300, 'commit'],
    ]);
    expect(kinds(shrunk(600))).toEqual([
      [0, 1],
      [1, 300],
      [2, 'shrink', 'commit'],
    ]);
  });

  it('that changes nothing is a commit in the first group', () => {
    const mtr = encodeMtr([], [commitAt(1)], pgBytes);
    expect(mtr.runs.map((run) => [run.pg, hex(run.bytes)])).toEqual([[0, hex(encoded(commitAt(1)))]]);
  });

  it.each([
    [1, 0],
    [256, 0],
    [257, 1],
    [0xffff_fffe, 16_777_215],
  ])('finds page %i of 1 MiB groups in group %i', (page, pg) => {
    expect(pgOfPage(pageNo(page), pgBytes)).toBe(pgId(pg));
  });
});
