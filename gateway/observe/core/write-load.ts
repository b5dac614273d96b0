/** What a writer has committed since its process started: totals that only rise, small enough for each report. */
import type { WriteTotals } from '../../../regions/core.ts';

/** Upper bounds of the times from an engine's commit to durable, in milliseconds: each half as long again as the one before. */
export const latencyBoundsMs: readonly number[] = Array.from(
  { length: 28 },
  (_, at) => Math.round(500 * 1.5 ** at) / 1_000,
);

export class WriteLoad {
  private commits = 0;
  private unknownCommits = 0;
  private redoBytes = 0;
  private readonly counts = latencyBoundsMs.map(() => 0).concat(0);

  committed(bytes: number): void {
    this.redoBytes += bytes;
  }

  /** @param tookMs from the engine's commit to durable. */
  durable(tookMs: number): void {
    let at = 0;
    while (at < latencyBoundsMs.length && tookMs > (latencyBoundsMs[at] ?? Infinity)) at += 1;
    this.commits += 1;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
  }

  unknown(commits: number): void {
    this.unknownCommits += commits;
  }

  get totals(): WriteTotals {
    const { commits, unknownCommits: unknown, redoBytes } = this;
    return { commits, unknown, redoBytes, latency: [...this.counts] };
  }
}
