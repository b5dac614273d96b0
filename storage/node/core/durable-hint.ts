/** When the durable point is saved: now and then, so that a survey after a restart lists seconds of frames, not all. */
import { nodeLimits } from '../../redo/limits.ts';
import type { DurablePoint } from '../../wire/core/messages.ts';

export class DurableHint {
  private savedAtMs = 0;
  private saved: DurablePoint;

  constructor(saved: DurablePoint) {
    this.saved = saved;
  }

  /** Whether to save it now; taken as done when it is. */
  due(durable: DurablePoint, nowMs: number): boolean {
    if (nowMs - this.savedAtMs < nodeLimits.hintSaveMs) return false;
    this.savedAtMs = nowMs;
    if (this.saved === durable) return false;
    this.saved = durable;
    return true;
  }
}
