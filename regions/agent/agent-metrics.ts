/** The agent's metrics: who reigns as far as it knows, and how far behind each secondary is. */
import { type MetricRegistry, metrics } from '../../telemetry/index.ts';
import { watchReadiness } from '../readiness/readiness-metrics.ts';
import type { Agent } from './agent.ts';

/**
 * Keeps them; they are read from the agent at each scrape. Lag is the primary's to tell: elsewhere there is none. Age is what a
 * secondary knows by itself.
 */
export function watchAgent(registry: MetricRegistry, agent: Agent): void {
  watchReadiness(registry, () => agent.readiness);
  const epoch = registry.gauge(metrics.epoch).with({});
  const isPrimary = registry.gauge(metrics.isPrimary).with({});
  const vdl = registry.gauge(metrics.volumeDurableLsn).with({});
  const lagSeconds = registry.gauge(metrics.replicationLagSeconds);
  const lagBytes = registry.gauge(metrics.replicationLagBytes);
  const age = registry.gauge(metrics.replicaAge);
  const stalledSeconds = registry.gauge(metrics.replicationStalledSeconds);
  const stalls = registry.counter(metrics.replicationStalls);
  const counted = new Map<string, number>();
  registry.onScrape(() => {
    const { standing } = agent;
    epoch.set(standing.epoch);
    isPrimary.set(agent.isPrimary ? 1 : 0);
    if (standing.vdl !== null) vdl.set(standing.vdl);
    age.clear();
    if (agent.replicaAgeMs !== null) age.with({}).set(agent.replicaAgeMs / 1_000);
    lagSeconds.clear();
    lagBytes.clear();
    stalledSeconds.clear();
    for (const [region, count] of agent.stalls) {
      stalls.with({ target: region }).add(count - (counted.get(region) ?? 0));
      counted.set(region, count);
    }
    for (const { region, lagMs, lagBytes: bytes, stalledMs } of standing.lag) {
      stalledSeconds.with({ target: region }).set((stalledMs ?? 0) / 1_000);
      // No sample while it is unknown: a number would be taken for the truth.
      if (lagMs !== null) lagSeconds.with({ target: region }).set(lagMs / 1_000);
      lagBytes.with({ target: region }).set(bytes);
    }
  });
}
