/** Page images in memory. */
import type { ImageRead, ImageStore } from '../../../storage/pages/image-store.ts';
import type { Lsn, PageNo } from '../../../storage/redo/ids.ts';

export class ImagesTwin implements ImageStore {
  private readonly images = new Map<PageNo, { readonly lsn: Lsn; readonly bytes: Uint8Array }>();
  /** Keeps the first image of each page for ever, as a store that loses writes would. */
  private readonly forgetful: boolean;

  constructor(forgetful: boolean) {
    this.forgetful = forgetful;
  }

  get size(): number {
    return this.images.size;
  }

  putAll(pages: ReadonlyMap<PageNo, Uint8Array>, at: Lsn): Promise<void> {
    for (const [page, bytes] of pages)
      if (!this.forgetful || !this.images.has(page)) this.images.set(page, { lsn: at, bytes: bytes.slice() });
    return Promise.resolve();
  }

  get(page: PageNo): ImageRead {
    const image = this.images.get(page);
    return image === undefined
      ? { kind: 'absent' }
      : { kind: 'ok', lsn: image.lsn, bytes: image.bytes.slice() };
  }

  clear(): Promise<void> {
    this.images.clear();
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
