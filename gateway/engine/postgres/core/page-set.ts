/** The changed pages of one set: what becomes one transaction of redo, or is thrown away. */
import assert from 'node:assert/strict';
import { type PageNo, pageNo, redoLimits } from '../../../../storage/redo.ts';
import { databasePages } from '../../core/page-store.ts';
import type { FilePages } from './file-pages.ts';

/** Where unchanged pages come from. */
export interface PageSource {
  /** The page as of the last set that was published, null where there is none. Owned by the source. May block. @throws PageUnavailable */
  readPage(page: PageNo): Uint8Array | null;
  /** A page to be filled, of any content; without it each changed page is allocated. */
  takeBuffer?(): Uint8Array;
}

const firstPage = pageNo(1);

/**
 * Pages over a source, with the changes in memory until `take`. A page beyond the end of the source is absent and is not
 * asked for (S23): the source may still hold what it was before the volume got shorter.
 */
export class PageSet implements FilePages {
  private readonly source: PageSource;
  private changed = new Map<PageNo, Uint8Array>();
  /** Pages of the source; null until somebody needs it. */
  private sourcePages: number | null = null;

  constructor(source: PageSource) {
    this.source = source;
  }

  /** Pages changed since the last `take`. */
  get size(): number {
    return this.changed.size;
  }

  read(page: PageNo): Uint8Array | null {
    return this.changed.get(page) ?? this.fromSource(page);
  }

  change(page: PageNo): Uint8Array {
    const known = this.changed.get(page);
    if (known !== undefined) return known;
    const before = this.fromSource(page);
    const bytes = this.buffer();
    if (before === null) bytes.fill(0);
    else bytes.set(before);
    this.changed.set(page, bytes);
    return bytes;
  }

  replace(page: PageNo): Uint8Array {
    const bytes = this.changed.get(page) ?? this.buffer();
    bytes.fill(0);
    this.changed.set(page, bytes);
    return bytes;
  }

  /**
   * Ends the set and begins the next. The buffers are the caller's, and the next read takes the source to hold them.
   * Pages that lie beyond the end by now are left out: they are gone (S23).
   */
  take(): ReadonlyMap<PageNo, Uint8Array> {
    const taken = this.changed;
    const page1 = taken.get(firstPage);
    if (page1 !== undefined) {
      const pages = databasePages(page1);
      for (const page of taken.keys()) if (page > pages) taken.delete(page);
    }
    this.changed = new Map();
    this.sourcePages = null;
    return taken;
  }

  private fromSource(page: PageNo): Uint8Array | null {
    if (page === firstPage) return this.source.readPage(page);
    this.sourcePages ??= databasePages(this.source.readPage(firstPage));
    return page > this.sourcePages ? null : this.source.readPage(page);
  }

  private buffer(): Uint8Array {
    const bytes = this.source.takeBuffer?.() ?? new Uint8Array(redoLimits.pageBytes);
    assert.equal(bytes.length, redoLimits.pageBytes, 'a buffer is as long as a page');
    return bytes;
  }
}
