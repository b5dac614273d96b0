/** How far a transfer is, how fast, and how long it will take. */

export interface ProgressSight {
  readonly bytes: number;
  readonly ofBytes: number;
  readonly elapsedMs: number;
}

export interface ProgressFigures {
  /** From 0 to 1. */
  readonly share: number;
  readonly bytesPerSecond: number;
  /** Null before there is anything to judge by. */
  readonly remainingMs: number | null;
}

export function progressFigures({ bytes, ofBytes, elapsedMs }: ProgressSight): ProgressFigures {
  const share = ofBytes === 0 ? 1 : Math.min(1, bytes / ofBytes);
  const perMs = elapsedMs > 0 ? bytes / elapsedMs : 0;
  return {
    share,
    bytesPerSecond: Math.round(perMs * 1_000),
    remainingMs: perMs > 0 ? Math.round(Math.max(0, ofBytes - bytes) / perMs) : null,
  };
}
