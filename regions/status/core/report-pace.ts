/**
 * When a report leaves. One that says something new leaves at once; one that repeats the last is a sign of life, leaves less often,
 * and is the same text to the letter, so that whoever hears it need not read it again (`report-reader.ts`).
 */
import type { Report } from './report.ts';
import { reportLimits } from './report-limits.ts';

export class ReportPace {
  private said: { readonly content: string; readonly text: string; readonly atMs: number } | null = null;
  private wanted = false;

  /** Somebody has come who has heard nothing yet: the next report leaves, whatever it says. */
  greet(): void {
    this.wanted = true;
  }

  /** @returns what to send now; null while everybody knows it. To be asked every `reportMs`, and when something has changed. */
  next(report: Report, nowMs: number): string | null {
    const content = contentOf(report);
    const isNew = content !== this.said?.content;
    const text = isNew || this.said === null ? JSON.stringify(report) : this.said.text;
    // A look that comes a little early must not put a sign of life off until the next one.
    const restMs = reportLimits.restingMs[report.kind] - reportLimits.reportMs / 2;
    if (!isNew && !this.wanted && this.said !== null && nowMs - this.said.atMs < restMs) return null;
    this.said = { content, text, atMs: nowMs };
    this.wanted = false;
    return text;
  }
}

/** What a report says but for when it was made. */
const contentOf = (report: Report): string =>
  JSON.stringify(report.kind === 'region' ? { ...report, sentAtMs: 0 } : report);

/**
 * How long ago a region was level with its primary, as a report says it. It never says less than is true. While a primary is heard it
 * is a fraction of a second, which changes from moment to moment and would make each report a new one: then it says the next step
 * above. From a second on, when it may bound what a failover loses, it is exact.
 */
export function toldLevelMs(levelMsAgo: number): number {
  const { levelStepMs, exactLevelMs } = reportLimits;
  return levelMsAgo > exactLevelMs
    ? Math.round(levelMsAgo)
    : Math.max(1, Math.ceil(levelMsAgo / levelStepMs)) * levelStepMs;
}
