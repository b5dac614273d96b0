/**
 * Pages of large transactions that are committed and not durable: storage cannot give them back yet (G1), and they are not in memory.
 * A layer is all pages of one transaction. It is the cache's newest word on them until a newer version is there, and goes as a whole
 * when it is durable. Pure; where the pages are, the layer knows.
 */
import { type Lsn, type PageNo, redoLimits } from '../../../../storage/redo.ts';

/** The pages of one transaction. */
export interface PageLayer {
  has(page: PageNo): boolean;
  /** @returns false when the page is not part of it. */
  readInto(page: PageNo, target: Uint8Array): boolean;
  pages(): Iterable<PageNo>;
  close(): void;
}

export class PageLayers {
  /** Ascending. */
  private layers: { readonly at: Lsn; readonly layer: PageLayer }[] = [];
  private readonly target = new Uint8Array(redoLimits.pageBytes);

  get isEmpty(): boolean {
    return this.layers.length === 0;
  }

  /** A transaction was committed at `at`. */
  add(layer: PageLayer, at: Lsn): void {
    this.layers.push({ at, layer });
  }

  /** Whether a page was changed by one of them at or before a read point. */
  has(page: PageNo, readPoint: Lsn): boolean {
    return this.layers.some(({ at, layer }) => at <= readPoint && layer.has(page));
  }

  /** The page as it was at a read point; its bytes are good until the next call. Undefined when none of them has changed it by then. */
  readAt(page: PageNo, readPoint: Lsn): Uint8Array | undefined {
    for (let index = this.layers.length - 1; index >= 0; index--) {
      const found = this.layers[index];
      if (found !== undefined && found.at <= readPoint && found.layer.readInto(page, this.target))
        return this.target;
    }
    return undefined;
  }

  /** Everything up to `durable` is durable: storage has those pages from now on. */
  settle(durable: Lsn): void {
    while (this.layers[0] !== undefined && this.layers[0].at <= durable) this.layers.shift()?.layer.close();
  }

  /** They come to nothing. */
  close(): void {
    for (const { layer } of this.layers.splice(0)) layer.close();
  }
}
