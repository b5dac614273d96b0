/**
 * Which pages a start of PostgreSQL and its first statements will read. A start reads a few hundred pages one after another, and
 * recovery one or two for each record of WAL; asked for one by one they cost a round trip each.
 */
import { type PageNo, redoLimits } from '../../../../../storage/core.ts';
import { controlPath } from '../../core/system-identifier.ts';
import type { KnownFiles } from './known-files.ts';
import { type WalBlock, type WalBytes, walkWal, walPageBytes } from './wal-blocks.ts';

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
const wholePages = 32;
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

/** `pg_control` of PostgreSQL 18: where recovery begins to read. */
const redoAt = 40;
const tablespaces = { default: 1663, global: 1664 } as const;
const forks = ['', '_fsm', '_vm', '_init'] as const;
const blocksPerFile = 131_072;

/** Pages of the catalogs and small files, as far as it can be told from what is known. */
export function catalogPages(files: KnownFiles): Set<PageNo> {
  const found = new Set<PageNo>();
  files.needTables();
  addSmall(files, found, '');
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
function addFile(files: KnownFiles, found: Set<PageNo>, path: string, pages: number, whole = false): void {
  const ino = files.find(path);
  if (ino === null) return;
  const length = files.pagesOf(ino);
  const isWhole = whole || length <= pages;
  for (let index = 0; index < length; index++)
    if (isWhole || index < perBlock || index >= length - perBlock) addPage(files, found, ino, index);
}

function addPage(files: KnownFiles, found: Set<PageNo>, ino: number, index: number): void {
  const page = files.place(ino, index);
  if (page !== null) found.add(page);
}

/** Where in the WAL it was read up to: what is before needs no second look, while recovery begins where it did. */
export interface WalRead {
  readonly redo: number;
  readonly until: number;
}

export interface RecoveryPages {
  readonly pages: Set<PageNo>;
  /** Null while WAL is missing. */
  readonly read: WalRead | null;
}

/** Pages that recovery reads: the WAL from the last checkpoint on, and what its records change, in that order. */
export function recoveryPages(files: KnownFiles, before: WalRead | null): RecoveryPages {
  const pages = new Set<PageNo>();
  const control = files.find(controlPath);
  const head = control === null ? null : files.read(control, 1);
  if (head === null) return { pages, read: null };
  const redo = Number(new DataView(head.buffer).getBigUint64(redoAt, true));
  const from = before !== null && before.redo === redo ? before.until : redo;
  const wal = walFrom(files, from, pages);
  if (wal === null) return { pages, read: null };
  const seen = new BlockPlaces(files, pages);
  const until = walkWal(wal, from, (block) => seen.add(block));
  return { pages, read: { redo, until } };
}

/** Reads the files of WAL that hold `from` and what follows. @returns null when a page is not known */
function walFrom(files: KnownFiles, from: number, pages: Set<PageNo>): WalBytes | null {
  const names = files.list('pg_wal').filter((name) => /^[0-9A-F]{24}$/.test(name));
  const [first] = names;
  const sized = first === undefined ? null : files.find(`pg_wal/${first}`);
  const segmentBytes = sized === null ? 0 : files.pagesOf(sized) * pageBytes;
  if (segmentBytes === 0) return null;
  const perId = 0x1_0000_0000 / segmentBytes;
  const start = from - (from % segmentBytes);
  const parts: Uint8Array[] = [];
  const byStart = new Map(names.map((name) => [startOf(name, perId, segmentBytes), name]));
  let isKnown = true;
  for (let at = start; byStart.has(at); at += segmentBytes) {
    const ino = files.find(`pg_wal/${byStart.get(at)}`);
    if (ino === null) return null;
    const length = files.pagesOf(ino);
    for (let index = 0; index < length; index++) addPage(files, pages, ino, index);
    const part = files.read(ino, length);
    if (part === null || part.length !== segmentBytes) isKnown = false;
    else parts.push(part);
  }
  return isKnown ? { start, bytes: Buffer.concat(parts), segmentBytes } : null;
}

/** The name of a segment: timeline, and its number in two halves. */
function startOf(name: string, perId: number, segmentBytes: number): number {
  const high = Number.parseInt(name.slice(8, 16), 16);
  const low = Number.parseInt(name.slice(16), 16);
  return (high * perId + low) * segmentBytes;
}

/** Finds the pages of blocks, each once. */
class BlockPlaces {
  private readonly files: KnownFiles;
  private readonly pages: Set<PageNo>;
  private readonly inodes = new Map<string, number | null>();
  private readonly seen = new Map<number, Set<number>>();

  constructor(files: KnownFiles, pages: Set<PageNo>) {
    this.files = files;
    this.pages = pages;
  }

  add({ tablespace, database: of, relation, fork, block }: WalBlock): void {
    const key = relation * forks.length + fork;
    let blocks = this.seen.get(key);
    if (blocks === undefined) {
      blocks = new Set();
      this.seen.set(key, blocks);
    }
    if (blocks.has(block)) return;
    const folder =
      tablespace === tablespaces.global ? 'global' : tablespace === tablespaces.default ? `base/${of}` : null;
    const suffix = forks[fork];
    if (folder === null || suffix === undefined) return;
    // Which blocks have room is in no record, and is looked up by who changes them.
    if (blocks.size === 0)
      for (const other of ['_fsm', '_vm']) this.addSmall(`${folder}/${relation}${other}`);
    blocks.add(block);
    const part = Math.floor(block / blocksPerFile);
    const ino = this.find(`${folder}/${relation}${suffix}${part === 0 ? '' : `.${part}`}`);
    if (ino === null) return;
    const first = (block % blocksPerFile) * perBlock;
    for (let index = first; index < first + perBlock; index++) addPage(this.files, this.pages, ino, index);
  }

  private addSmall(path: string): void {
    addFile(this.files, this.pages, path, wholePages);
  }

  private find(path: string): number | null {
    const known = this.inodes.get(path);
    if (known !== undefined) return known;
    const ino = this.files.find(path);
    this.inodes.set(path, ino);
    return ino;
  }
}
