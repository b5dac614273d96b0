/** The agent's metrics: who reigns as far as it knows, and how far behind each secondary is. */
import { type MetricRegistry, metrics } from '../../telemetry/index.ts';
import type { Agent } from './agent.ts';

/** Keeps them; they are read from the agent at each scrape. Lag is the primary's to tell: elsewhere there is none. */
export function watchAgent(registry: MetricRegistry, agent: Agent): void {
  const epoch = registry.gauge(metrics.epoch).with({});
  const isPrimary = registry.gauge(metrics.isPrimary).with({});
  const vdl = registry.gauge(metrics.volumeDurableLsn).with({});
  const lagSeconds = registry.gauge(metrics.replicationLagSeconds);
  const lagBytes = registry.gauge(metrics.replicationLagBytes);
  registry.onScrape(() => {
    const { standing } = agent;
    epoch.set(standing.epoch);
    isPrimary.set(agent.isPrimary ? 1 : 0);
    if (standing.vdl !== null) vdl.set(standing.vdl);
    lagSeconds.clear();
    lagBytes.clear();
    for (const { region, lagMs, lagBytes: bytes } of standing.lag) {
      // No sample while it is unknown: a number would be taken for the truth.
      if (lagMs !== null) lagSeconds.with({ target: region }).set(lagMs / 1_000);
      lagBytes.with({ target: region }).set(bytes);
    }
  });
}
