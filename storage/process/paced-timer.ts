/** A timer that runs again and again, and changes its pace: quick while there is something to do, slow at rest. */
import type { Runtime, Timer } from './runtime.ts';

export class PacedTimer {
  private readonly runtime: Runtime;
  private readonly run: () => void;
  private everyMs: number;
  private timer: Timer | null;

  /** Runs `run` every `everyMs` from now on. */
  constructor(runtime: Runtime, everyMs: number, run: () => void) {
    this.runtime = runtime;
    this.run = run;
    this.everyMs = everyMs;
    this.timer = runtime.every(everyMs, run);
  }

  /** From now on at this pace. The pace that it has costs nothing. */
  pace(everyMs: number): void {
    if (everyMs === this.everyMs || this.timer === null) return;
    this.everyMs = everyMs;
    this.timer.stop();
    this.timer = this.runtime.every(everyMs, this.run);
  }

  stop(): void {
    this.timer?.stop();
    this.timer = null;
  }
}
