/** What a drill tells while it runs, and keeps for its report: the timeline, the phases, and the lag of every region. */
import type { DrillState } from '../core/drill-phases.ts';
import type { LagSample, PhaseRecord } from '../core/drill-report.ts';
import type { StatusSight } from '../core/status-sight.ts';
import { drillClock } from '../load/machine-clock.ts';

const sampleMs = 250;

export class DrillLog {
  readonly beganAtMs = drillClock.now();
  readonly timeline: { readonly atMs: number; readonly phase: string; readonly event: string }[] = [];
  readonly phases: PhaseRecord[] = [];
  readonly lag: LagSample[] = [];
  readonly #onProgress: (line: string) => void;
  #phase: DrillState = 'preflight';
  #sampler: NodeJS.Timeout | undefined;

  constructor(onProgress: (line: string) => void) {
    this.#onProgress = onProgress;
  }

  /** The events that follow belong to this phase. */
  enter(phase: DrillState): void {
    this.#phase = phase;
  }

  ended(phase: PhaseRecord): void {
    this.phases.push(phase);
  }

  /** One thing that happened, now or at a moment that is past. */
  say(event: string, atMs: number = drillClock.now()): void {
    this.timeline.push({ atMs, phase: this.#phase, event });
    const seconds = ((atMs - this.beganAtMs) / 1_000).toFixed(1).padStart(6);
    this.#onProgress(`${seconds} s  ${this.#phase.padEnd(12)}  ${event}`);
  }

  /** Notes every region's lag a few times a second until `stopSampling`. */
  sample(status: () => Promise<StatusSight | null>): void {
    let asking = false;
    this.#sampler = setInterval(() => {
      if (asking) return;
      asking = true;
      void status()
        .then((seen) => this.#note(seen))
        .catch(() => undefined)
        .finally(() => {
          asking = false;
        });
    }, sampleMs);
  }

  stopSampling(): void {
    clearInterval(this.#sampler);
  }

  #note(status: StatusSight | null): void {
    const atMs = drillClock.now();
    for (const { name, role, lagMs, lagBytes } of status?.regions ?? []) {
      // A primary is behind nobody: the line of a region that becomes one ends there, and goes on when it follows again.
      const lag = role === 'primary' ? {} : { lagMs, lagBytes };
      this.lag.push({ atMs, region: name, lagMs: lag.lagMs ?? null, lagBytes: lag.lagBytes ?? null });
    }
  }
}
