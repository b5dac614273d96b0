/**
 * Which pages of catalogs and small files a start of PostgreSQL and its first statements will read: some hundred pages, one after
 * another; asked for one by one they cost a round trip each.
 */
import { type PageNo, redoLimits } from '../../../../../storage/redo.ts';
import type { KnownFiles } from './known-files.ts';
import { walPageBytes } from './wal-blocks.ts';

const { pageBytes } = redoLimits;
const perBlock = walPageBytes / pageBytes;

/** Of the database `postgres`, which is the one that is used, since PostgreSQL 15 in every cluster that `initdb` makes. */
const database = 5;
const databasePath = `base/${database}`;
/** OIDs below are those of `initdb`. */
const firstNormalOid = 16_384;
/** Directories whose files are for other purposes; of all others a start looks into each. */
const large: ReadonlySet<string> = new Set(['base', 'global', 'pg_wal']);
/** Of a file that is no catalog. */
const smallPages = 4;
/** Catalogs up to this long are read ahead as a whole, in pages of the volume; of longer ones, a page more costs less than a round trip. */
export const wholePages = 32;
/** Catalogs that a start reads from end to end however long they are: `pg_class`, `pg_attribute`. */
const readWhole: ReadonlySet<string> = new Set(['1259', '1249']);
/** Catalogs that nobody needs before a statement about them: descriptions, search configurations, what depends on what. */
const rarelyRead: ReadonlySet<string> = new Set([
  '2608',
  '2609',
  '2618',
  '2673',
  '2674',
  '2675',
  '2836',
  '2838',
]);

/** Pages of the catalogs and small files, as far as it can be told from what is known. */
export function catalogPages(files: KnownFiles): Set<PageNo> {
  const found = new Set<PageNo>();
  files.needTables();
  addSmall(files, found, '');
  // A start looks through the directory of each database for what it is to remove.
  for (const name of files.list('base')) files.list(`base/${name}`);
  for (const name of files.list('global')) addFile(files, found, `global/${name}`, wholePages);
  for (const name of files.list(databasePath)) {
    const [relation = ''] = name.split(/[_.]/);
    const isCatalog = !(Number(relation) >= firstNormalOid);
    if (!isCatalog || rarelyRead.has(relation)) continue;
    addFile(files, found, `${databasePath}/${name}`, wholePages, readWhole.has(name));
  }
  return found;
}

function addSmall(files: KnownFiles, found: Set<PageNo>, path: string): void {
  for (const name of files.list(path)) {
    const below = path === '' ? name : `${path}/${name}`;
    const ino = large.has(below) ? null : files.find(below);
    if (ino === null) continue;
    if (files.isDirectory(ino)) addSmall(files, found, below);
    else addFile(files, found, below, smallPages);
  }
}

/** Adds a file that is at most `pages` long, or, where it is longer, its first and last block. */
export function addFile(
  files: KnownFiles,
  found: Set<PageNo>,
  path: string,
  pages: number,
  whole = false,
): void {
  const ino = files.find(path);
  if (ino === null) return;
  const length = files.pagesOf(ino);
  const isWhole = whole || length <= pages;
  for (let index = 0; index < length; index++)
    if (isWhole || index < perBlock || index >= length - perBlock) addPage(files, found, ino, index);
}

/** Adds a page of a file, unless it is a hole or not known. @returns whether it was added */
export function addPage(files: KnownFiles, found: Set<PageNo>, ino: number, index: number): boolean {
  const page = files.place(ino, index);
  if (page === null) return false;
  found.add(page);
  return true;
}
