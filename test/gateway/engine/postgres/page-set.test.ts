import { expect, test } from 'vitest';
import { PageSet } from '../../../../gateway/engine/postgres/core/page-set.ts';
import { type PageNo, pageNo } from '../../../../storage/redo/ids.ts';

const withPages = (count: number): Uint8Array => {
  const page1 = new Uint8Array(4096);
  new DataView(page1.buffer).setUint32(28, count);
  return page1;
};

function over(pages: ReadonlyMap<PageNo, Uint8Array>): { set: PageSet; asked: PageNo[] } {
  const asked: PageNo[] = [];
  const readPage = (page: PageNo): Uint8Array | null => {
    if (page !== 1) asked.push(page);
    return pages.get(page) ?? null;
  };
  return { set: new PageSet({ readPage, takeBuffer: () => new Uint8Array(4096).fill(99) }), asked };
}

const [one, two, three] = [pageNo(1), pageNo(2), pageNo(3)];

test('a page is copied on its first change, and what it was before stays as it is', () => {
  const before = new Uint8Array(4096).fill(5);
  const { set } = over(
    new Map([
      [one, withPages(2)],
      [two, before],
    ]),
  );
  expect(set.read(two)).toBe(before);
  set.change(two)[0] = 6;
  set.change(two)[1] = 7;
  expect([...(set.read(two) ?? []).slice(0, 3)]).toEqual([6, 7, 5]);
  expect(before.every((byte) => byte === 5)).toBe(true);
  expect([...set.take().keys()]).toEqual([two]);
  expect(set.read(two)).toBe(before);
});

test('a page beyond the end is absent, zero when it is changed, and not asked for, whatever the source still holds (S23)', () => {
  const { set, asked } = over(
    new Map([
      [one, withPages(2)],
      [three, new Uint8Array(4096).fill(5)],
    ]),
  );
  expect(set.read(three)).toBe(null);
  expect(set.change(three).every((byte) => byte === 0)).toBe(true);
  expect(set.replace(two).every((byte) => byte === 0)).toBe(true);
  expect(asked).toEqual([]);
});

test('a page that lies beyond the end when the set is taken is none of its pages (S23)', () => {
  const { set } = over(new Map([[one, withPages(3)]]));
  set.change(three)[0] = 1;
  set.change(two)[0] = 1;
  set.change(one).set(withPages(2));
  expect([...set.take().keys()].sort()).toEqual([one, two]);
  expect(set.size).toBe(0);
});
