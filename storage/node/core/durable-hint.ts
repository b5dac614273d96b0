/** Decides when the durable point is saved again: now and then, so that a survey after a restart lists seconds of frames, not all. */
import { nodeLimits } from '../../redo/limits.ts';
import type { DurablePoint } from '../../wire/core/messages.ts';

export class DurableHint {
  private saved: DurablePoint;
  private savedAtMs = 0;

  constructor(saved: DurablePoint) {
    this.saved = saved;
  }

  /** Looks, many times a second. @returns whether to save the state now. */
  isDue(point: DurablePoint, nowMs: number): boolean {
    if (nowMs - this.savedAtMs < nodeLimits.hintSaveMs) return false;
    this.savedAtMs = nowMs;
    const isNews = this.saved !== point;
    this.saved = point;
    return isNews;
  }
}
