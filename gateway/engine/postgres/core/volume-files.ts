/**
 * A file system in the pages of a volume: what PostgreSQL keeps in its data directory.
 *
 * Files are known by inode, and found by name in a directory. Every operation is synchronous. One that fails with a `FileError`
 * has changed nothing; after any other exception the changes are to be thrown away. There are no times of access or change, and
 * no owners: nothing of what PostgreSQL does needs them, and they would cost redo at each write.
 *
 * What is written is redo, so: bytes that are there already are not written again, a hole into which zeros are written stays
 * one (G83), and a write within a file changes only the page that it falls into.
 */
import { pageNo, redoLimits } from '../../../../storage/redo.ts';
import { databasePages } from '../../core/page-store.ts';
import { BlockMap } from './block-map.ts';
import { checkName, Directories } from './directories.ts';
import { FileError } from './file-error.ts';
import type { FilePages } from './file-pages.ts';
import { fileKind, type Ino, InodeTable, rootIno } from './inode-table.ts';
import { isZero, sameBytes } from './page-bytes.ts';
import { PageSpace, volumePagesMax } from './page-space.ts';
import { Superblock, unreadable } from './superblock.ts';

const { pageBytes } = redoLimits;
/** Bytes of the longest file: PostgreSQL begins another one at 1 GiB. */
export const fileBytesMax = 0xffff_ffff;
const permissions = 0o7777;

export interface FileStat {
  /** Kind and permissions, as `st_mode` has them. */
  readonly mode: number;
  /** Bytes of the file; of a directory, bytes that its names take. */
  readonly size: number;
}

export interface VolumeFilesOptions {
  /** Pages that the volume may have; the most that page numbers can count unless a test wants fewer. */
  readonly pagesMax?: number;
}

export class VolumeFiles {
  private readonly pages: FilePages;
  private readonly table: InodeTable;
  private readonly map: BlockMap;
  private readonly directories: Directories;
  /** How often a file is open. */
  private readonly held = new Map<Ino, number>();

  /**
   * Opens the file system. Gives back what was unlinked and open when it was last in use, which changes pages (G84).
   * @throws VolumeFault when the volume holds something else
   */
  constructor(pages: FilePages, { pagesMax = volumePagesMax }: VolumeFilesOptions = {}) {
    this.pages = pages;
    const superblock = new Superblock(pages);
    const space = new PageSpace(pages, superblock, pagesMax);
    this.map = new BlockMap(pages, space);
    this.table = new InodeTable(pages, superblock, this.map);
    this.directories = new Directories(pages, this.table, this.map);
    for (const ino of this.table.orphans()) this.reclaim(ino);
  }

  /** Makes an empty file system. @throws VolumeFault when the volume is not empty */
  static format(pages: FilePages, options: VolumeFilesOptions = {}): VolumeFiles {
    if (databasePages(pages.read(pageNo(1))) > 0)
      throw unreadable('A new PostgreSQL database needs an empty volume, and this one is not');
    Superblock.format(pages);
    const superblock = new Superblock(pages);
    const space = new PageSpace(pages, superblock, options.pagesMax ?? volumePagesMax);
    space.format();
    const table = new InodeTable(pages, superblock, new BlockMap(pages, space));
    table.create(fileKind.directory | 0o700);
    return new VolumeFiles(pages, options);
  }

  stat(ino: Ino): FileStat {
    return { mode: this.modeOf(ino), size: this.table.size(ino) };
  }

  /** @returns the inode of that name, null when there is none. @throws FileError ENOTDIR */
  find(directory: Ino, name: string): Ino | null {
    this.directory(directory);
    return this.directories.find(directory, name);
  }

  /** As `find`. @throws FileError ENOENT, ENOTDIR */
  lookup(directory: Ino, name: string): Ino {
    const ino = this.find(directory, name);
    if (ino === null) throw new FileError('ENOENT', name);
    return ino;
  }

  /** Follows a path from the root, `a/b/c`; `''` is the root. @throws FileError ENOENT, ENOTDIR */
  resolve(path: string): Ino {
    let ino = rootIno;
    for (const name of path.split('/')) if (name !== '') ino = this.lookup(ino, name);
    return ino;
  }

  /** Names in a directory. @throws FileError ENOTDIR */
  list(directory: Ino): readonly string[] {
    this.directory(directory);
    return this.directories.names(directory);
  }

  /** Makes a file or, by the kind in `mode`, a directory. @throws FileError EEXIST, ENOTDIR, ENAMETOOLONG, EINVAL */
  create(directory: Ino, name: string, mode: number): Ino {
    checkName(name);
    if (this.find(directory, name) !== null) throw new FileError('EEXIST', name);
    if (this.table.isOrphan(directory)) throw new FileError('ENOENT', `inode ${directory}`);
    const kind = mode & fileKind.mask;
    if (kind !== fileKind.directory && kind !== fileKind.file && kind !== fileKind.link)
      throw new FileError('EINVAL', `${name} would be a file of an unknown kind`);
    const ino = this.table.create(mode);
    this.directories.add(directory, name, ino);
    return ino;
  }

  /** Makes a symbolic link. @throws FileError as `create` */
  link(directory: Ino, name: string, target: string): Ino {
    const ino = this.create(directory, name, fileKind.link | 0o777);
    const bytes = new TextEncoder().encode(target);
    this.write(ino, bytes, 0, bytes.length, 0);
    return ino;
  }

  /** Where a symbolic link leads. @throws FileError EINVAL when it is none */
  readLink(ino: Ino): string {
    if ((this.modeOf(ino) & fileKind.mask) !== fileKind.link)
      throw new FileError('EINVAL', `inode ${ino} is no symbolic link`);
    const bytes = new Uint8Array(this.table.size(ino));
    this.read(ino, bytes, 0, bytes.length, 0);
    return new TextDecoder().decode(bytes);
  }

  /**
   * Gives a file another name. What had that name is gone, as by `unlink`.
   * @throws FileError ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, ENAMETOOLONG, EINVAL (a directory into itself)
   */
  rename(directory: Ino, name: string, toDirectory: Ino, toName: string): void {
    checkName(toName);
    const ino = this.lookup(directory, name);
    const replaced = this.find(toDirectory, toName);
    if (replaced === ino) return;
    if (this.table.isOrphan(toDirectory)) throw new FileError('ENOENT', `inode ${toDirectory}`);
    const isDirectory = this.isDirectory(ino);
    if (isDirectory && this.contains(ino, toDirectory))
      throw new FileError('EINVAL', `${name} cannot be moved into itself`);
    if (replaced === null) {
      this.directories.add(toDirectory, toName, ino);
    } else {
      if (isDirectory) this.directory(replaced);
      else if (this.isDirectory(replaced)) throw new FileError('EISDIR', toName);
      if (isDirectory && !this.directories.isEmpty(replaced)) throw new FileError('ENOTEMPTY', toName);
      this.directories.point(toDirectory, toName, ino);
      this.abandon(replaced);
    }
    this.directories.remove(directory, name);
  }

  /** Takes the name of a file away; what is open stays until it is released (G84). @throws FileError ENOENT, EISDIR */
  unlink(directory: Ino, name: string): void {
    const ino = this.lookup(directory, name);
    if (this.isDirectory(ino)) throw new FileError('EISDIR', name);
    this.directories.remove(directory, name);
    this.abandon(ino);
  }

  /** Removes an empty directory. @throws FileError ENOENT, ENOTDIR, ENOTEMPTY */
  removeDirectory(directory: Ino, name: string): void {
    const ino = this.lookup(directory, name);
    this.directory(ino);
    if (!this.directories.isEmpty(ino)) throw new FileError('ENOTEMPTY', name);
    this.directories.remove(directory, name);
    this.abandon(ino);
  }

  /** Sets the permissions. @param mode of which the kind does not count */
  setMode(ino: Ino, mode: number): void {
    this.table.setMode(ino, (this.modeOf(ino) & ~permissions) | (mode & permissions));
  }

  /** Notes that a file is open, once more. It keeps its blocks until it is released as often, whatever becomes of its name. */
  hold(ino: Ino): void {
    this.held.set(ino, (this.held.get(ino) ?? 0) + 1);
  }

  /** The other half of `hold`. */
  release(ino: Ino): void {
    const left = (this.held.get(ino) ?? 0) - 1;
    if (left > 0) {
      this.held.set(ino, left);
      return;
    }
    this.held.delete(ino);
    if (this.table.isOrphan(ino)) this.reclaim(ino);
  }

  /** Reads up to `length` bytes from `position` on into `into`, at `at`. @returns how many there were before the end of the file */
  read(ino: Ino, into: Uint8Array, at: number, length: number, position: number): number {
    const end = Math.min(position + length, this.table.size(ino));
    const place = this.table.placeOf(ino);
    for (let from = position; from < end; ) {
      const offset = from % pageBytes;
      const count = Math.min(pageBytes - offset, end - from);
      const target = at + from - position;
      const page = this.map.find(place, Math.floor(from / pageBytes));
      if (page === 0) into.fill(0, target, target + count);
      else into.set(this.block(ino, page).subarray(offset, offset + count), target);
      from += count;
    }
    return Math.max(end - position, 0);
  }

  /** Writes `length` bytes of `from`, at `at`, to `position`. @returns `length`. @throws FileError EFBIG */
  write(ino: Ino, from: Uint8Array, at: number, length: number, position: number): number {
    const end = position + length;
    if (end > fileBytesMax)
      throw new FileError('EFBIG', `a file of ${end} bytes; the limit is ${fileBytesMax}`);
    for (let to = position; to < end; ) {
      const offset = to % pageBytes;
      const count = Math.min(pageBytes - offset, end - to);
      const source = at + to - position;
      this.writeBlock(ino, Math.floor(to / pageBytes), offset, from.subarray(source, source + count));
      to += count;
    }
    if (end > this.table.size(ino) && length > 0) this.table.setSize(ino, end);
    return length;
  }

  /** Cuts a file, or makes it longer by a hole. @throws FileError EFBIG, EISDIR */
  truncate(ino: Ino, size: number): void {
    if (this.isDirectory(ino)) throw new FileError('EISDIR', `inode ${ino}`);
    if (size > fileBytesMax)
      throw new FileError('EFBIG', `a file of ${size} bytes; the limit is ${fileBytesMax}`);
    const before = this.table.size(ino);
    if (size === before) return;
    if (size < before) this.cut(ino, size);
    this.table.setSize(ino, size);
  }

  private cut(ino: Ino, size: number): void {
    const place = this.table.placeOf(ino);
    this.map.cut(place, Math.ceil(size / pageBytes));
    const offset = size % pageBytes;
    const page = offset === 0 ? 0 : this.map.find(place, Math.floor(size / pageBytes));
    // G82: what is beyond the end is zero, for when the file grows again.
    if (page !== 0 && !isZero(this.block(ino, page).subarray(offset)))
      this.pages.change(pageNo(page)).fill(0, offset);
  }

  private writeBlock(ino: Ino, block: number, offset: number, bytes: Uint8Array): void {
    const place = this.table.placeOf(ino);
    const known = this.map.find(place, block);
    if (known === 0) {
      if (isZero(bytes)) return;
      this.pages.change(this.map.fill(place, block)).set(bytes, offset);
      return;
    }
    const before = this.block(ino, known);
    const after = before.subarray(offset, offset + bytes.length);
    if (!sameBytes(after, bytes)) this.pages.change(pageNo(known)).set(bytes, offset);
  }

  private block(ino: Ino, page: number): Uint8Array {
    const bytes = this.pages.read(pageNo(page));
    if (bytes === null)
      throw unreadable(`Page ${page} of the volume, which belongs to inode ${ino}, is gone`);
    return bytes;
  }

  private modeOf(ino: Ino): number {
    const mode = this.table.mode(ino);
    if (mode === 0) throw new FileError('ENOENT', `inode ${ino}`);
    return mode;
  }

  private isDirectory(ino: Ino): boolean {
    return (this.modeOf(ino) & fileKind.mask) === fileKind.directory;
  }

  private directory(ino: Ino): void {
    if (!this.isDirectory(ino)) throw new FileError('ENOTDIR', `inode ${ino}`);
  }

  /** Whether `ino` is `outer` or lies below it. */
  private contains(outer: Ino, ino: Ino): boolean {
    if (outer === ino) return true;
    return this.directories.names(outer).some((name) => {
      const below = this.lookup(outer, name);
      return this.isDirectory(below) && this.contains(below, ino);
    });
  }

  /** What has lost its name: gone, or gone as soon as nobody has it open. */
  private abandon(ino: Ino): void {
    if (this.held.has(ino)) this.table.orphan(ino);
    else this.destroy(ino);
  }

  private reclaim(ino: Ino): void {
    this.table.forgetOrphan(ino);
    this.destroy(ino);
  }

  private destroy(ino: Ino): void {
    this.directories.drop(ino);
    this.map.cut(this.table.placeOf(ino), 0);
    this.table.release(ino);
  }
}
