/** A volume in memory with PostgreSQL's files, and hands to break it with. */
import { baseImage, writeBaseImage } from '../../../../../gateway/engine/postgres/base-image.ts';
import type { FilePages } from '../../../../../gateway/engine/postgres/core/file-pages.ts';
import { PageSet } from '../../../../../gateway/engine/postgres/core/page-set.ts';
import { VolumeFiles } from '../../../../../gateway/engine/postgres/core/volume-files.ts';
import type { PageNo } from '../../../../../storage/core.ts';

export class PagesInMemory implements FilePages {
  readonly pages = new Map<PageNo, Uint8Array>();
  /** Called before each change. */
  onChange: (() => void) | null = null;
  private set = this.newSet();

  /** A new database. */
  static async create(): Promise<PagesInMemory> {
    const volume = new PagesInMemory();
    writeBaseImage(VolumeFiles.format(volume), await baseImage());
    volume.publish();
    return volume;
  }

  /** The files as of now. */
  open(): VolumeFiles {
    return new VolumeFiles(this);
  }

  /** @returns pages that were changed since the last time. */
  publish(): number {
    const taken = this.set.take();
    for (const [page, bytes] of taken) this.pages.set(page, bytes);
    return taken.size;
  }

  /** Gives up what was changed since the last `publish`. */
  drop(): void {
    this.set = this.newSet();
  }

  read(page: PageNo): Uint8Array | null {
    return this.set.read(page);
  }

  change(page: PageNo): Uint8Array {
    this.onChange?.();
    return this.set.change(page);
  }

  replace(page: PageNo): Uint8Array {
    this.onChange?.();
    return this.set.replace(page);
  }

  private newSet(): PageSet {
    return new PageSet({ readPage: (page) => this.pages.get(page) ?? null });
  }
}
