import { describe, expect, test } from 'vitest';
import { aheadLimits, PageAhead } from '../../../../gateway/engine/core/page-ahead.ts';
import { pageNo } from '../../../../storage/redo/ids.ts';

const { extentPages, followingExtents } = aheadLimits;
const room = { underWay: 0, filled: 0, lastPage: 1_000_000, has: () => false };
/** First pages of what is asked for until there is nothing more. */
function asked(ahead: PageAhead, from = room): readonly (number | undefined)[] {
  const found: (number | undefined)[] = [];
  for (let pages = ahead.next(from); pages !== null; pages = ahead.next(from)) found.push(pages[0]);
  return found;
}
const extentOf = (index: number): number => index * extentPages + 1;

describe('what is asked for before it is missed', () => {
  test('is the extent around a miss, once, the newest miss first', () => {
    const ahead = new PageAhead();
    for (const page of [1, 700, 3_000, 701]) ahead.missed(pageNo(page));
    expect(asked(ahead)).toEqual([extentOf(46), extentOf(10), extentOf(0)]);
    ahead.missed(pageNo(702));
    expect(asked(ahead)).toEqual([]);
    expect(ahead.isIdle).toBe(true);
  });

  test('is what follows, too, when misses follow one another', () => {
    const ahead = new PageAhead();
    ahead.missed(pageNo(extentOf(7)));
    ahead.missed(pageNo(extentOf(8)));
    const follow = Array.from({ length: followingExtents }, (_, at) => extentOf(9 + at));
    expect(asked(ahead)).toEqual([extentOf(8), ...follow, extentOf(7)]);
  });

  test('is nothing that is at hand, or beyond the end of the volume', () => {
    const ahead = new PageAhead();
    ahead.missed(pageNo(3));
    const pages = ahead.next({ ...room, lastPage: 6, has: (page) => page === 4 });
    expect(pages).toEqual([1, 2, 3, 5, 6]);
    ahead.missed(pageNo(extentOf(3)));
    expect(ahead.next({ ...room, lastPage: 6 })).toBe(null);
  });

  test('waits while too much is under way, and while it would drive out what is used', () => {
    const ahead = new PageAhead();
    ahead.missed(pageNo(1));
    expect(ahead.next({ ...room, underWay: aheadLimits.pagesUnderWay })).toBe(null);
    expect(ahead.next({ ...room, filled: aheadLimits.storeShare })).toBe(null);
    expect(ahead.next(room)).toHaveLength(extentPages);
  });

  test('is what has changed since it came, as soon as newer pages are shown', () => {
    const ahead = new PageAhead();
    for (const page of [5, 900, 5]) ahead.outdated(pageNo(page));
    expect(ahead.next(room)).toBe(null);
    ahead.renewed();
    expect(ahead.next(room)).toEqual([5, 900]);
    ahead.renewed();
    expect(ahead.isIdle).toBe(true);
  });

  test('is bounded however many pages are missed', () => {
    const ahead = new PageAhead();
    for (let extent = 0; extent < 200_000; extent += 2) ahead.missed(pageNo(extentOf(extent)));
    expect(asked(ahead, { ...room, lastPage: 100_000_000 })).toHaveLength(aheadLimits.wanted);
  });
});
