/** When the durable points of all branches are saved: now and then, so that a survey after a restart lists seconds of frames, not all. */
import { nodeLimits } from '../../redo/limits.ts';
import type { DurablePoint } from '../../wire/core/messages.ts';

export class DurableHint {
  private savedAtMs = 0;
  private saved: readonly DurablePoint[];

  constructor(saved: readonly DurablePoint[]) {
    this.saved = saved;
  }

  /** Whether to save them now; taken as done when it is. @param points the same objects as long as nothing changes. */
  due(points: () => readonly DurablePoint[], nowMs: number): boolean {
    if (nowMs - this.savedAtMs < nodeLimits.hintSaveMs) return false;
    this.savedAtMs = nowMs;
    const now = points();
    const isSame = now.length === this.saved.length && now.every((point, at) => point === this.saved[at]);
    this.saved = now;
    return !isSame;
  }
}
