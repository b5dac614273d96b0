/**
 * Redo that waits until a statement is answered where it arrives. Folding it takes time on that thread: little of it is folded when it is
 * needed; where much is written, such statements go to other threads, which cost nothing here. Pure.
 */

export const quickRedoLimits = {
  /** Folded before a statement at the most, bytes. */
  foldBytes: 32 * 1024,
  /** Nobody has read meanwhile: beyond this it is not worth keeping, bytes. */
  keptBytes: 256 * 1024,
  /** Pages are gathered anew only where no more than this was written in the last second, bytes. */
  calmBytes: 256 * 1024,
} as const;

const calmMs = 1_000;

export class QuickRedo {
  private frames: Uint8Array[] = [];
  private bytes = 0;
  private windowMs = Number.NEGATIVE_INFINITY;
  private windowBytes = 0;
  private beforeBytes = 0;

  /** @returns false when there is too much of it to be kept. */
  offer(frames: Uint8Array, nowMs: number): boolean {
    this.roll(nowMs);
    this.windowBytes += frames.length;
    this.frames.push(frames);
    this.bytes += frames.length;
    return this.bytes <= quickRedoLimits.keptBytes;
  }

  /** As `offer`, where nothing is kept. */
  pass(bytes: number, nowMs: number): void {
    this.roll(nowMs);
    this.windowBytes += bytes;
  }

  get isEmpty(): boolean {
    return this.bytes === 0;
  }

  /** @returns all of it, back to back; null when it is too much to be folded. */
  take(): Uint8Array | null {
    if (this.bytes > quickRedoLimits.foldBytes) return null;
    const only = this.frames.length === 1 ? this.frames[0] : undefined;
    const all = only ?? Buffer.concat(this.frames);
    this.clear();
    return all;
  }

  clear(): void {
    this.frames = [];
    this.bytes = 0;
  }

  /** Whether little is written. */
  isCalm(nowMs: number): boolean {
    this.roll(nowMs);
    return this.windowBytes + this.beforeBytes <= quickRedoLimits.calmBytes;
  }

  private roll(nowMs: number): void {
    const since = nowMs - this.windowMs;
    if (since < calmMs) return;
    this.beforeBytes = since < 2 * calmMs ? this.windowBytes : 0;
    this.windowMs = nowMs;
    this.windowBytes = 0;
  }
}
