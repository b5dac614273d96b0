/**
 * telemetry/METRICS.md, made of the table of metrics: `npx node telemetry/metrics/metrics-page.ts` writes it anew, and a test
 * holds the file to it (T14).
 */
import { writeFileSync } from 'node:fs';
import type { MetricDefinition } from './definitions/definition.ts';
import { metricSections } from './metric-definitions.ts';

const introduction = `# Metrics

\`GET /metrics\` of every gateway, agent, storage node and endpoint, and of the supervisor of a local deployment: Prometheus text format. This page is made of the
definitions in \`metrics/\`: \`npx node telemetry/metrics/metrics-page.ts\` writes it anew, and a test compares the two.

Every series carries \`region\` and \`process\` (\`gateway/g1\`, \`agent\`, \`storage/n1\`), a storage node's also \`zone\`. A label whose values are fixed has them
below; such a series is there from the start, at 0. Other labels take names of regions, nodes, servers or SQL verbs. What is unknown has no sample: a number
would be taken for the truth. Nothing is reset by a scrape, so that two scrapers see the same.

- **Who writes:** \`sum(sextant_is_primary)\` is 1 in health. One process tells it, the gateway that may acknowledge writes at this moment, because that is what
  nobody else knows for certain: an agent knows the record, which names a writer that may have died or whose lease may be suspended. 0 means that nobody
  may acknowledge. Scrapes of two gateways are moments apart, so that a move shows 0 or 2 for up to one scrape interval.
- **Lag** is told by the agent of the primary region alone, by \`target\`. While it is dead nobody tells it: alert on its absence, too.
- **Stalls** (\`sextant_write_stall_duration_seconds\`): \`recovery\` and \`lease\` are told by the gateway that writes afterwards, \`switchover\` and \`failover\` by the
  agent of the region moved to. A failover's counts from the last write that is part of history, not from the command.
- **Per node, as the writer sees it:** \`sextant_append_*\` with \`node\`. Joined with the node's own figures the two tell a slow disk from a slow link.
- **The log** is collected from its beginning; \`held\` tells what of it is in page images already, and \`sextant_retention_*\` of the agent for whom the rest is kept.

Alert rules are in \`prometheus/alerts.yml\`, a scrape configuration in \`prometheus/prometheus.yml\`, and a dashboard in \`grafana/sextant.json\`.
`;

function row({ name, kind, unit, description, worry, labels, words = {} }: MetricDefinition): string {
  const labelled = labels.map((label) => {
    const known = words[label];
    return known === undefined ? `\`${label}\`` : `\`${label}\`: ${known.join(', ')}`;
  });
  const shown = labelled.length === 0 ? '' : ` (${labelled.join('; ')})`;
  return `| \`${name}\`${shown} | ${kind}${unit === '1' ? '' : `, ${unit}`} | ${description} | ${worry} |`;
}

/** The page as it should be. */
export function metricsPage(): string {
  const sections = metricSections.map(
    ({ title, metrics }) =>
      `\n## ${title}\n\n| metric | kind, unit | meaning | worry when |\n|---|---|---|---|\n${Object.values(metrics).map(row).join('\n')}\n`,
  );
  return introduction + sections.join('');
}

if (import.meta.main) writeFileSync(new URL('../METRICS.md', import.meta.url), metricsPage());
