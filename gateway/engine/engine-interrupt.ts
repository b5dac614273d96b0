/** Stops statements of an engine from the main thread: those that are late, and those that nobody wants any more. */
import type { Interruptible } from './core/engine-protocol.ts';
import { InterruptCell } from './core/interrupt-cell.ts';
import { sharedClockMs } from './shared-clock.ts';

/** A statement runs on for so long after its time is up. */
const lookEveryMs = 20;

export class EngineInterrupt {
  private readonly cell: InterruptCell;
  private readonly interruptible: Interruptible;
  private readonly timer: NodeJS.Timeout;

  /** @param inTime called often while a statement runs that can be stopped and has time left: its thread is not stuck. */
  constructor(interruptible: Interruptible, inTime: () => void) {
    this.interruptible = interruptible;
    this.cell = new InterruptCell(interruptible.cell);
    this.timer = setInterval(() => {
      const nowMs = sharedClockMs();
      this.cell.stopLate(nowMs, interruptible.flags);
      if (this.cell.isInTime(nowMs)) inTime();
    }, lookEveryMs);
    this.timer.unref();
  }

  /** @param operation null for whatever runs */
  stop(operation: number | null): void {
    this.cell.stop(operation, this.interruptible.flags);
  }

  end(): void {
    clearInterval(this.timer);
  }
}
