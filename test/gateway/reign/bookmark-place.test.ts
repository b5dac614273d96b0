import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeOf } from '../../../gateway/reign/core/bookmark-place.ts';
import {
  type Bookmark,
  bookmarkPragma,
  formatBookmark,
  parseBookmark,
} from '../../../gateway/sql/bookmark.ts';
import { EpochTree, type Fork } from '../../../storage/history/epoch-tree.ts';
import { epoch, genesisEpoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';

const fork = (child: number, parent: number, at: number): Fork => ({
  epoch: epoch(child),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
const mark = (reign: number, at: number): Bookmark => ({ epoch: epoch(reign), lsn: lsn(at) });
/** 1 was left at 100 for 2, 2 was left at 150 for 5; 3 and 4 are no part of the path; 6 followed 5 before it wrote, and 7 is read. */
const tree = new EpochTree([
  fork(1, 0, 0),
  fork(2, 1, 100),
  fork(3, 1, 120),
  fork(5, 2, 150),
  fork(6, 5, 300),
  fork(7, 6, 300),
]);

describe('what a bookmark means on a path', () => {
  test.each([
    ['of the reign that is read', mark(7, 400), { kind: 'at', lsn: 400 }],
    ['of an older reign, below where it was left', mark(1, 100), { kind: 'at', lsn: 100 }],
    ['of the reign before', mark(2, 150), { kind: 'at', lsn: 150 }],
    ['of a reign in which nothing was written', mark(6, 300), { kind: 'at', lsn: 300 }],
    ['of before everything', mark(0, 0), { kind: 'at', lsn: 0 }],
    ['of a reign that nobody here has heard of', mark(8, 10), { kind: 'ahead' }],
    ['of what a failover has left', mark(1, 101), { kind: 'left', until: 100 }],
    ['of what a later one has left', mark(2, 200), { kind: 'left', until: 150 }],
    ['of a reign beside the path', mark(3, 110), { kind: 'left', until: 0 }],
    ['of a reign that never was one of this deployment', mark(4, 110), { kind: 'left', until: 0 }],
    ['beyond an empty reign', mark(6, 301), { kind: 'left', until: 0 }],
  ])('%s', (_, bookmark, place) => expect(placeOf(bookmark, epoch(7), tree)).toEqual(place));

  test('nothing is known before there is a path', () => {
    expect(placeOf(mark(1, 5), genesisEpoch, new EpochTree())).toEqual({ kind: 'ahead' });
  });

  test('what is at hand stays at hand on the path of every later reign that holds it (G59)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 8 }),
        fc.nat({ max: 500 }),
        (written, at) => {
          const forks: Fork[] = [];
          let end = 0;
          for (const [index, bytes] of written.entries()) {
            forks.push(fork(index + 1, index, end));
            end += bytes;
          }
          const path = new EpochTree(forks);
          const head = epoch(written.length);
          for (const { epoch: reign, forkLsn } of forks) {
            const until = forks.find(({ parent }) => parent === reign)?.forkLsn ?? Number.POSITIVE_INFINITY;
            const place = placeOf({ epoch: reign, lsn: lsn(forkLsn + at) }, head, path);
            expect(place.kind).toBe(forkLsn + at <= until ? 'at' : 'left');
          }
        },
      ),
    );
  });
});

describe('a bookmark as text', () => {
  test.each(['3.81234', '0.0', '4294967295.9007199254740991'])('%s is one', (text) => {
    const bookmark = parseBookmark(` ${text} `);
    expect(bookmark === null ? null : formatBookmark(bookmark)).toBe(text);
  });

  test.each(['', '3', '3.', '.3', '3.4.5', '-1.2', '1e3.2', '4294967296.1', '1.9007199254740993', "1.2'"])(
    '%s is none',
    (text) => expect(parseBookmark(text)).toBeNull(),
  );

  test.each([
    ['PRAGMA sextant_bookmark', null],
    ['  pragma SEXTANT_BOOKMARK ;', null],
    ["PRAGMA sextant_bookmark = '3.4'", '3.4'],
    ["PRAGMA sextant_bookmark='3.4';", '3.4'],
    ['PRAGMA sextant_bookmark = 3.4', '3.4'],
    ["PRAGMA sextant_bookmark('3.4')", '3.4'],
    ["SELECT 'PRAGMA sextant_bookmark'", undefined],
    ['PRAGMA sextant_bookmarks', undefined],
  ])('%s', (sql, asked) => {
    const statement = { sql, args: [], namedArgs: [], wantRows: true };
    expect(bookmarkPragma({ kind: 'execute', statement })).toBe(asked);
  });
});
