/**
 * The pages that a transaction has written: in memory while they are few, else in a file. They are nobody else's until they are
 * published.
 */
import { type PageNo, redoLimits } from '../../../storage/redo.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { PageLayer } from './core/page-layers.ts';
import { PageFile } from './page-file.ts';
import type { ScratchSpace } from './scratch-space.ts';

const { pageBytes } = redoLimits;

/** Where buffers of pages come from and go back to. */
export interface PageBuffers {
  takeBuffer(): Uint8Array;
  returnBuffer(bytes: Uint8Array): void;
}

/** The pages that a transaction has written, as its commit needs them. */
export interface ChangedPages {
  readonly size: number;
  /** The pages while they are in memory; null when they are in a file. */
  readonly inMemory: ReadonlyMap<PageNo, Uint8Array> | null;
  /** A page: its bytes, good until the next call; null when it was not written. @throws ScratchError when the disk fails. */
  read(page: PageNo): Uint8Array | null;
  /** Numbers of the pages, ascending. */
  sorted(): Uint32Array;
  /** They were published: what is in memory is somebody else's now. @returns the file, which is, too; null when there is none. */
  handOver(): PageLayer | null;
  /** They come to nothing. */
  clear(): void;
}

export class TransactionPages implements ChangedPages {
  private readonly space: ScratchSpace;
  private readonly memoryBytesMax: number;
  private readonly buffers: PageBuffers;
  /** Until there is a file. */
  private memory = new Map<PageNo, Uint8Array>();
  private file: PageFile | null = null;
  private highest = 0;
  private readonly scratch = new Uint8Array(pageBytes);

  /** @param memoryBytesMax pages beyond it go to a file, and those before with them. */
  constructor(space: ScratchSpace, memoryBytesMax: number, buffers: PageBuffers) {
    this.space = space;
    this.memoryBytesMax = memoryBytesMax;
    this.buffers = buffers;
  }

  get size(): number {
    return this.file?.size ?? this.memory.size;
  }

  get bytes(): number {
    return this.size * pageBytes;
  }

  /** The highest page there is; 0 for none. */
  get lastPage(): number {
    return this.highest;
  }

  get inMemory(): ReadonlyMap<PageNo, Uint8Array> | null {
    return this.file === null ? this.memory : null;
  }

  read(page: PageNo): Uint8Array | null {
    if (this.file === null) return this.memory.get(page) ?? null;
    return this.file.readInto(page, this.scratch) ? this.scratch : null;
  }

  /** Copies a page. @throws ScratchError when there is no room: what was written before stays. */
  write(page: PageNo, bytes: Uint8Array): void {
    if (
      this.file === null &&
      (this.memory.size + 1) * pageBytes > this.memoryBytesMax &&
      !this.memory.has(page)
    )
      this.spill();
    if (this.file !== null) this.file.write(page, bytes);
    else {
      let copy = this.memory.get(page);
      if (copy === undefined) {
        copy = this.buffers.takeBuffer();
        this.memory.set(page, copy);
      }
      copy.set(bytes);
    }
    if (page > this.highest) this.highest = page;
  }

  /** Forgets the pages behind `last`. */
  cutBehind(last: number): void {
    if (this.highest <= last) return;
    this.highest = 0;
    for (const page of this.pages()) {
      if (page <= last) {
        if (page > this.highest) this.highest = page;
        continue;
      }
      if (this.file !== null) this.file.delete(page);
      else {
        const bytes = this.memory.get(page);
        if (bytes !== undefined) this.buffers.returnBuffer(bytes);
        this.memory.delete(page);
      }
    }
  }

  sorted(): Uint32Array {
    return Uint32Array.from(this.pages()).sort();
  }

  pages(): MapIterator<PageNo> {
    return this.file?.pages() ?? this.memory.keys();
  }

  handOver(): PageFile | null {
    const { file } = this;
    this.file = null;
    this.forget();
    return file;
  }

  clear(): void {
    if (this.size > 0) for (const bytes of this.memory.values()) this.buffers.returnBuffer(bytes);
    this.file?.close();
    this.file = null;
    this.forget();
  }

  private forget(): void {
    if (this.memory.size > 0) this.memory.clear();
    this.highest = 0;
  }

  private spill(): void {
    const file = new PageFile(this.space);
    try {
      for (const [page, bytes] of this.memory) file.write(page, bytes);
    } catch (error) {
      file.close();
      throw error;
    }
    for (const bytes of this.memory.values()) this.buffers.returnBuffer(bytes);
    this.memory.clear();
    this.file = file;
  }
}

/** Pages in memory as a commit needs them. @param buffers whose they are when they come to nothing. */
export function pagesInMemory(pages: ReadonlyMap<PageNo, Uint8Array>, buffers: PageBuffers): ChangedPages {
  return {
    size: pages.size,
    inMemory: pages,
    read: (page) => pages.get(page) ?? null,
    sorted: () => Uint32Array.from(pages.keys()).sort(),
    handOver: () => null,
    clear: () => {
      for (const bytes of pages.values()) buffers.returnBuffer(bytes);
    },
  };
}

/** What a transaction is told that changes more pages than a limit allows. */
export function tooManyPages(
  pages: number,
  limits: { readonly transactionPageBytes: number; readonly memoryPageBytes: number },
  limit: keyof typeof limits,
): SqlError {
  const detail = `The transaction changes ${pages} pages, more than ${limit} = ${limits[limit]} holds`;
  return adviseError('SEXTANT_TRANSACTION_TOO_LARGE', detail);
}
