/**
 * Checks every page of the image runs, and what each file says of itself. A rotten page is fetched from a peer, as one that a
 * reader found; of a rotten index the run in memory is right, and it is written anew.
 */
import { pageBytes } from '../images/core/run-format.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { RunFile } from '../images/run-file.ts';
import type { ScrubBounds, ScrubPass } from './scrubber.ts';

export interface ImagePassOptions {
  readonly images: Pick<ImageStore, 'runAfter'>;
  readonly bounds: Pick<ScrubBounds, 'pieceBytes'>;
}

export class ImagePass implements ScrubPass {
  private readonly options: ImagePassOptions;
  private run: RunFile | null = null;
  private slot = 0;
  private file = 0;

  constructor(options: ImagePassOptions) {
    this.options = options;
  }

  async next(): Promise<number | null> {
    const { images, bounds } = this.options;
    // Runs are replaced meanwhile: what has taken their place has a higher number and is yet to come.
    if (this.run === null || this.run.isRetired) {
      this.run = images.runAfter(this.file);
      this.file = this.run?.entry.file ?? 0;
      this.slot = 0;
      if (this.run === null) return null;
      return this.run.checkIndex();
    }
    const { run, slot } = this;
    const count = Math.min(Math.max(1, Math.floor(bounds.pieceBytes / pageBytes)), run.entry.pages - slot);
    await run.read(Array.from({ length: count }, (_, index) => slot + index));
    this.slot += count;
    if (this.slot >= run.entry.pages) this.run = null;
    return count * pageBytes;
  }
}
