/**
 * What is known of statements' texts: which come often enough to be looked at, which are proven quick, and which are not, or have
 * turned out not to be. Pure.
 */

export interface QuickTextsLimits {
  /** Texts that are remembered; the one not seen for the longest time is forgotten. */
  readonly texts: number;
  /** A text is worth a proof when it has come so often. */
  readonly proveAt: number;
  /** A text that has run into a bound so often, in so many runs each, is not tried again. */
  readonly failures: number;
  readonly runsPerFailure: number;
  /** One that is not quick is looked at again after so many: an index may have come. */
  readonly lookAgainAt: number;
}

export const quickTextsLimits: QuickTextsLimits = {
  texts: 256,
  proveAt: 4,
  failures: 3,
  runsPerFailure: 1_000,
  lookAgainAt: 10_000,
};

export type QuickTextAdvice =
  /** It may run at once. */
  | 'run'
  /** It should be found out whether it may, now: nobody else has been told so. */
  | 'prove'
  | 'no';

interface Known {
  state: 'seen' | 'asked' | 'quick' | 'slow';
  seen: number;
  failures: number;
}

export class QuickTexts {
  private readonly limits: QuickTextsLimits;
  private known = new Map<string, Known>();

  constructor(limits: QuickTextsLimits = quickTextsLimits) {
    this.limits = limits;
  }

  /** A statement of this text has come. */
  next(sql: string): QuickTextAdvice {
    const known = this.touch(sql);
    known.seen += 1;
    if (known.state === 'quick') return 'run';
    const isDue =
      known.state === 'seen'
        ? known.seen >= this.limits.proveAt
        : known.state === 'slow' && known.seen >= this.limits.lookAgainAt;
    if (!isDue) return 'no';
    known.state = 'asked';
    return 'prove';
  }

  /** What the proof that was advised has come to; null: it could not be made, and is worth another try later. */
  proved(sql: string, quick: boolean | null): void {
    const known = this.known.get(sql);
    if (known?.state !== 'asked') return;
    known.state = quick === null ? 'seen' : quick ? 'quick' : 'slow';
    known.seen = 0;
  }

  /** It is not what it was proven to be. */
  refute(sql: string): void {
    const known = this.known.get(sql);
    if (known === undefined) return;
    known.state = 'slow';
    known.seen = 0;
  }

  /** It ran into a bound. */
  failed(sql: string): void {
    const known = this.known.get(sql);
    if (known === undefined) return;
    known.failures += 1;
    const { failures, runsPerFailure } = this.limits;
    if (known.failures <= failures + Math.floor(known.seen / runsPerFailure)) return;
    known.failures = 0;
    this.refute(sql);
  }

  /** The schema is another one, and so may be every program. */
  forget(): void {
    this.known = new Map();
  }

  private touch(sql: string): Known {
    const found = this.known.get(sql);
    const known = found ?? { state: 'seen', seen: 0, failures: 0 };
    if (found !== undefined) this.known.delete(sql);
    this.known.set(sql, known);
    if (this.known.size > this.limits.texts)
      for (const oldest of this.known.keys()) {
        this.known.delete(oldest);
        break;
      }
    return known;
  }
}
