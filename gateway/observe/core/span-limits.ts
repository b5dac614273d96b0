/** Bounds of what is kept for spans that are not complete yet. Units last. */

export interface SpanLimits {
  /** An `append` span waits this long for a late acknowledgement after the commit is durable. */
  readonly spanWaitMs: number;
  /** Commits whose spans wait; beyond it they are recorded as they are. */
  readonly spansWaiting: number;
}

export const defaultSpanLimits: SpanLimits = { spanWaitMs: 1_000, spansWaiting: 50_000 };
