/** Readiness as metrics: of every secondary, as the process that tells them sees it. */
import { type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { Readiness } from './core/readiness.ts';

/** Keeps them; readiness is judged anew at each scrape. What is unknown has no sample: a number would be taken for the truth. */
export function watchReadiness(registry: MetricRegistry, read: () => Readiness): void {
  const ready = registry.gauge(metrics.takeoverReady);
  const seconds = registry.gauge(metrics.takeoverSeconds);
  const lossCommits = registry.gauge(metrics.takeoverLossCommits);
  const lossBytes = registry.gauge(metrics.takeoverLossBytes);
  const lossSeconds = registry.gauge(metrics.takeoverLossSeconds);
  registry.onScrape(() => {
    for (const gauge of [ready, seconds, lossCommits, lossBytes, lossSeconds]) gauge.clear();
    for (const region of read().regions) {
      const target = region.region;
      ready.with({ target }).set(region.ready ? 1 : 0);
      for (const move of ['switchover', 'failover'] as const) {
        const { aboutMs } = region[move];
        if (aboutMs !== null) seconds.with({ target, move }).set(aboutMs / 1_000);
      }
      const { commits, bytes, ms } = region.failover.wouldLose;
      if (commits !== null) lossCommits.with({ target }).set(commits);
      if (bytes !== null) lossBytes.with({ target }).set(bytes);
      if (ms !== null) lossSeconds.with({ target }).set(ms / 1_000);
    }
  });
}
