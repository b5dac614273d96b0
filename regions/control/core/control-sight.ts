/** What one process knows of the control record and since when: the record it saw last, how old that is, and what is wrong. */
import type { ControlReading, ControlView } from './control-port.ts';
import type { LastSeen } from './record-claims.ts';

/** Why the last look brought no record. */
export type ControlProblem = Exclude<ControlReading, { kind: 'record' }>;

export class ControlSight {
  /** A store that looks says nothing of looks that bring what is known; a failed one is told within this time, in ms. */
  private readonly lookMs: number;
  private viewNow: ControlView | null = null;
  private seenAtMs = Number.NEGATIVE_INFINITY;
  private problemNow: ControlProblem | null = null;
  private lostSinceMs: number | null = null;

  constructor(lookMs: number) {
    this.lookMs = lookMs;
  }

  /** Takes in what a look at the store brought. @returns whether it is a newer record than all before. */
  saw(reading: ControlReading, nowMs: number): boolean {
    if (reading.kind !== 'record') {
      // Until this failure every look had brought what was known.
      if (this.problemNow === null && this.viewNow !== null)
        this.seenAtMs = Math.max(this.seenAtMs, nowMs - this.lookMs);
      this.problemNow = reading;
      if (reading.kind !== 'unavailable') this.lostSinceMs ??= nowMs;
      return false;
    }
    this.problemNow = null;
    this.lostSinceMs = null;
    this.seenAtMs = nowMs;
    if (this.viewNow !== null && reading.view.seq <= this.viewNow.seq) return false;
    this.viewNow = reading.view;
    return true;
  }

  /** The newest record seen, however old it is. */
  get view(): ControlView | null {
    return this.viewNow;
  }

  /** Why the last look brought no record; null when it did. */
  get problem(): ControlProblem | null {
    return this.problemNow;
  }

  /** The record seen last and how long ago it was known to be the newest; 0 ms while looks succeed. */
  lastSeen(nowMs: number): LastSeen | null {
    if (this.viewNow === null) return null;
    return { view: this.viewNow, ageMs: this.problemNow === null ? 0 : Math.max(0, nowMs - this.seenAtMs) };
  }

  /** How long the record has been absent or unusable without a break; silence in between proves nothing. 0 when it is not. */
  lostForMs(nowMs: number): number {
    return this.lostSinceMs === null ? 0 : nowMs - this.lostSinceMs;
  }
}
