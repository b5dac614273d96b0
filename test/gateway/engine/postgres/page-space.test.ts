import { expect, test } from 'vitest';
import type { FilePages } from '../../../../gateway/engine/postgres/core/file-pages.ts';
import { bitmapOf, PageSpace, volumePagesMax } from '../../../../gateway/engine/postgres/core/page-space.ts';
import { Superblock } from '../../../../gateway/engine/postgres/core/superblock.ts';
import type { PageNo } from '../../../../storage/redo/ids.ts';

const groupPages = 32_768;

/** Pages of which only the first and the maps of free pages are kept. */
function mapsOnly(): FilePages {
  const kept = new Map<PageNo, Uint8Array>();
  const scratch = new Uint8Array(4096);
  const isMap = (page: PageNo): boolean => page <= 2 || page % groupPages === 1;
  const change = (page: PageNo): Uint8Array => {
    if (!isMap(page)) return scratch;
    const bytes = kept.get(page) ?? new Uint8Array(4096);
    kept.set(page, bytes);
    return bytes;
  };
  return { read: (page) => kept.get(page) ?? null, change, replace: (page) => change(page).fill(0) };
}

function space(): { superblock: Superblock; pages: PageSpace } {
  const kept = mapsOnly();
  Superblock.format(kept);
  const superblock = new Superblock(kept);
  const pages = new PageSpace(kept, superblock, volumePagesMax);
  pages.format();
  return { superblock, pages };
}

test('pages are taken from the lowest up, past the maps of free pages, and a group goes with its map when it is empty (G80, G81)', () => {
  const { superblock, pages } = space();
  const taken = Array.from({ length: 2 * groupPages }, () => pages.allocate());
  expect(taken[0]).toBe(3);
  expect(taken.every((page, at) => at === 0 || page > (taken[at - 1] ?? 0))).toBe(true);
  expect(new Set(taken).has(bitmapOf(1))).toBe(false);
  expect(superblock.get('pages')).toBe(2 * groupPages + 4); // The superblock, three maps, and what was taken.

  for (const page of taken) if (page > groupPages && page !== 40_000) pages.free(page);
  expect(superblock.get('pages')).toBe(40_000);
  expect(pages.allocate()).toBe(groupPages + 2);
  pages.free((groupPages + 2) as PageNo);
  pages.free(40_000 as PageNo);
  expect(superblock.get('pages')).toBe(groupPages);

  pages.free(100 as PageNo);
  expect(pages.allocate()).toBe(100);
  expect(pages.allocate()).toBe(groupPages + 2);
  expect(superblock.get('pages')).toBe(groupPages + 2);
  expect(pages.isUsed(bitmapOf(1))).toBe(true);
  expect(pages.isUsed(groupPages + 3)).toBe(false);
});

test('a page is not given back twice', () => {
  const { pages } = space();
  const [page] = [pages.allocate(), pages.allocate()];
  pages.free(page);
  expect(() => pages.free(page)).toThrow(/given back twice \(G80\)/);
});
