/** The pages of a large transaction in a file, with where each of them lies in memory: some forty bytes a page. */
import { crc32 } from 'node:zlib';
import { type PageNo, redoLimits } from '../../../storage/redo.ts';
import { PageSlots } from './core/page-slots.ts';
import { ScratchError, type ScratchFile, type ScratchSpace } from './scratch-space.ts';

const { pageBytes } = redoLimits;

export class PageFile {
  private readonly file: ScratchFile;
  private readonly slots = new PageSlots();

  /** @throws ScratchError when the folder takes no file. */
  constructor(space: Pick<ScratchSpace, 'open'>) {
    this.file = space.open();
  }

  get size(): number {
    return this.slots.size;
  }

  has(page: PageNo): boolean {
    return this.slots.slotOf(page) !== undefined;
  }

  /** @param target what the page is read into. @returns false when it is not here. @throws ScratchError when the disk gave something else back. */
  readInto(page: PageNo, target: Uint8Array): boolean {
    const slot = this.slots.slotOf(page);
    if (slot === undefined) return false;
    const read = this.file.read(target, slot * pageBytes);
    if (read !== pageBytes || crc32(target) !== this.slots.crcAt(slot))
      throw new ScratchError(
        `A temporary file does not hold what was written to page ${page}: its disk has failed`,
      );
    return true;
  }

  /** @throws ScratchError with what was there before. */
  write(page: PageNo, bytes: Uint8Array): void {
    const slot = this.slots.slotFor(page);
    this.file.write(bytes, slot * pageBytes);
    this.slots.wrote(page, slot, crc32(bytes));
  }

  delete(page: PageNo): void {
    this.slots.delete(page);
  }

  pages(): MapIterator<PageNo> {
    return this.slots.pages();
  }

  close(): void {
    this.file.close();
  }
}
