/**
 * Which pages PostgreSQL's recovery will read: the WAL since the last checkpoint, and the blocks that its records change. Those are
 * in the volume as the checkpoint left them, so recovery reads each of them once, in the order of the WAL.
 */
import { type PageNo, redoLimits } from '../../../../../storage/redo.ts';
import { controlPath } from '../../core/system-identifier.ts';
import type { KnownFiles } from './known-files.ts';
import { addFile, addPage, wholePages } from './start-pages.ts';
import { type WalBlock, type WalBytes, walkWal, walPageBytes } from './wal-blocks.ts';

const { pageBytes } = redoLimits;
const perBlock = walPageBytes / pageBytes;
/** `pg_control` of PostgreSQL 18: where recovery begins to read. */
const redoAt = 40;
const tablespaces = { default: 1663, global: 1664 } as const;
const forks = ['', '_fsm', '_vm', '_init'] as const;
const blocksPerFile = 131_072;

/** A block that was named, by the file that it lies in and its first page there. */
interface NamedBlock {
  readonly path: string;
  readonly index: number;
}

export interface RecoveryPages {
  /** WAL: what it names is not known before these are. */
  readonly wal: ReadonlySet<PageNo>;
  /** What it names, in the order of the WAL; each page is told once. */
  readonly blocks: ReadonlySet<PageNo>;
}

/** Follows the WAL of a database from one look at its files to the next: what was walked, and told, is not again. */
export class RecoveryAhead {
  private redo = 0;
  private walked = 0;
  /** Blocks whose pages are not known yet. */
  private unplaced: NamedBlock[] = [];
  private named = new Map<string, Set<number>>();

  /** Notes in `files` what is missing to tell more. */
  look(files: KnownFiles): RecoveryPages {
    const wal = new Set<PageNo>();
    const blocks = new Set<PageNo>();
    const control = files.find(controlPath);
    const head = control === null ? null : files.read(control, 1);
    if (head === null) return { wal, blocks };
    const redo = Number(new DataView(head.buffer).getBigUint64(redoAt, true));
    if (redo !== this.redo) this.begin(redo);
    const bytes = walFrom(files, this.walked, wal);
    if (bytes !== null) this.walked = walkWal(bytes, this.walked, (block) => this.name(block));
    this.place(files, blocks);
    return { wal, blocks };
  }

  /** There was a checkpoint since. */
  private begin(redo: number): void {
    this.redo = redo;
    this.walked = redo;
    this.unplaced = [];
    this.named = new Map();
  }

  private name({ tablespace, database: of, relation, fork, block }: WalBlock): void {
    const folder =
      tablespace === tablespaces.global ? 'global' : tablespace === tablespaces.default ? `base/${of}` : null;
    const suffix = forks[fork];
    if (folder === null || suffix === undefined) return;
    const part = Math.floor(block / blocksPerFile);
    const path = `${folder}/${relation}${suffix}${part === 0 ? '' : `.${part}`}`;
    let known = this.named.get(path);
    if (known === undefined) {
      known = new Set();
      this.named.set(path, known);
    }
    const index = (block % blocksPerFile) * perBlock;
    if (known.has(index)) return;
    known.add(index);
    this.unplaced.push({ path, index });
  }

  private place(files: KnownFiles, blocks: Set<PageNo>): void {
    const inodes = new Map<string, number | null>();
    const inodeOf = (path: string): number | null => {
      const known = inodes.get(path);
      if (known !== undefined) return known;
      const ino = files.find(path);
      inodes.set(path, ino);
      // Which blocks have room is in no record, and is looked up by who changes them.
      for (const other of ['_fsm', '_vm']) addFile(files, blocks, `${path}${other}`, wholePages);
      return ino;
    };
    this.unplaced = this.unplaced.filter(({ path, index }) => {
      const ino = inodeOf(path);
      if (ino === null) return true;
      let placed = false;
      for (let at = index; at < index + perBlock; at++) placed = addPage(files, blocks, ino, at) || placed;
      return !placed;
    });
  }
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
