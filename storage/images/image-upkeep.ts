/**
 * Keeps a store of images in shape beside everything else a node does: heals what has rotted, then merges runs. One thing at a
 * time, and after a failure a rest, since a full disk or a peer that is away does not get better by being asked again.
 */
import type { Runtime } from '../process/runtime.ts';
import type { ImageStore } from './image-store.ts';
import type { PageSource } from './image-store-types.ts';

export const imageUpkeepBounds = {
  /** Rest after rotten pages could not be fetched. */
  healRetryMs: 500,
  /** Rest after runs could not be merged, for want of space mostly. */
  mergeRetryMs: 30_000,
} as const;

export class ImageUpkeep {
  private readonly images: ImageStore;
  private readonly source: PageSource;
  private readonly runtime: Runtime;
  private underWay: Promise<void> | null = null;
  private healAfterMs = 0;
  private mergeAfterMs = 0;
  private closed = false;

  constructor(images: ImageStore, source: PageSource, runtime: Runtime) {
    this.images = images;
    this.source = source;
    this.runtime = runtime;
  }

  /** Whether there is nothing to do. */
  get isDone(): boolean {
    return this.underWay === null && !this.images.wantsHealing && !this.images.wantsMerge;
  }

  /** Goes to work, unless it is at it; call now and then. */
  tend(): void {
    if (this.closed || this.underWay !== null || this.isDone) return;
    this.underWay = this.work().finally(() => {
      this.underWay = null;
    });
  }

  /** Waits for what is under way; close the store first, which cuts that short. */
  async close(): Promise<void> {
    this.closed = true;
    await this.underWay;
  }

  private async work(): Promise<void> {
    const { images, runtime } = this;
    if (images.wantsHealing && runtime.nowMs() >= this.healAfterMs && !(await images.heal(this.source)))
      this.healAfterMs = runtime.nowMs() + imageUpkeepBounds.healRetryMs;
    if (!images.wantsMerge || runtime.nowMs() < this.mergeAfterMs || (await images.merge())) return;
    this.mergeAfterMs = runtime.nowMs() + imageUpkeepBounds.mergeRetryMs;
  }
}
