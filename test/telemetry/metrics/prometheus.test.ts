import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { portsOf, supervisorPort } from '../../../regions/local/layout/core/local-ports.ts';
import { definitionOf } from './exposition.ts';
import { namesIn } from './promql.ts';
import { promtool, runPromtool } from './promtool.ts';

const folder = fileURLToPath(new URL('../../../telemetry', import.meta.url));
const prometheus = join(folder, 'prometheus');
const read = (path: string): string => readFileSync(join(folder, path), 'utf8');

const alertSchema = z.strictObject({
  alert: z.string().regex(/^Sextant[A-Z]\w+$/),
  expr: z.string(),
  for: z.string().regex(/^\d+[smh]$/),
  labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
  annotations: z.strictObject({ summary: z.string().min(10), runbook: z.string().min(10) }),
});
const alertsSchema = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(alertSchema) })),
});
const alerts = alertsSchema.parse(parse(read('prometheus/alerts.yml'))).groups.flatMap(({ rules }) => rules);

const targetSchema = z.object({ expr: z.string(), legendFormat: z.string(), refId: z.string() });
const panelSchema = z.object({
  id: z.int(),
  type: z.enum(['row', 'stat', 'timeseries']),
  title: z.string().min(3),
  description: z.string().min(3).optional(),
  gridPos: z.object({ x: z.int().min(0), y: z.int().min(0), w: z.int().min(1).max(24), h: z.int().min(1) }),
  targets: z.array(targetSchema).default([]),
});
const dashboard = z
  .object({
    uid: z.literal('sextant'),
    panels: z.array(panelSchema),
    annotations: z.object({ list: z.array(z.object({ expr: z.string(), titleFormat: z.string() })) }),
  })
  .parse(JSON.parse(read('grafana/sextant.json')));

/** Grafana puts an interval and a choice of regions where these stand. */
const asPromql = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '5m').replaceAll('$region', '.*');
const shown = [
  ...dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr, legendFormat }) => ({ where: title, expr: asPromql(expr), text: legendFormat })),
  ),
  ...dashboard.annotations.list.map(({ expr, titleFormat }) => ({
    where: 'annotations',
    expr: asPromql(expr),
    text: titleFormat,
  })),
];

/** What Prometheus itself adds. */
const added = { metrics: ['up'], labels: ['job', 'instance', 'region', 'process', 'zone', 'le'] };
const labelsOf = (metric: string): readonly string[] => [
  ...(definitionOf(metric)?.labels ?? []),
  ...added.labels,
];

/** What an expression, and a text beside it, name and the table of metrics does not have. */
function unknownIn(expr: string, texts: readonly string[]): readonly string[] {
  const { metrics, matchers, groupedBy } = namesIn(expr);
  const problems = metrics.flatMap((name) =>
    definitionOf(name) !== undefined || added.metrics.includes(name) ? [] : [`there is no ${name}`],
  );
  const known = new Set(metrics.flatMap(labelsOf));
  const mentioned = [...texts.join(' ').matchAll(/\{\{\s*(?:\$labels\.)?([a-z_]\w*)\s*\}\}/g)].map(
    ([, label = '']) => label,
  );
  for (const label of [...groupedBy, ...mentioned])
    if (!known.has(label)) problems.push(`nothing in it has the label ${label}`);
  for (const { metric, label, operator, value } of matchers) {
    if (!labelsOf(metric).includes(label)) problems.push(`${metric} has no label ${label}`);
    const words = definitionOf(metric)?.words?.[label];
    const isWord = operator === '=' || operator === '!=';
    if (words !== undefined && isWord && !words.includes(value))
      problems.push(`${value} is no ${label} of ${metric}`);
  }
  return problems;
}

describe('names in PromQL', () => {
  it('are metrics, matchers and labels, and no functions, keywords, durations or texts', () => {
    expect(
      namesIn(
        'sum by (a, le) (rate(m_total{x="1",y!~"o.*"}[5m])) > on () group_left () (max(n) or vector(1e3)) offset 5m',
      ),
    ).toEqual({
      metrics: ['m_total', 'n'],
      matchers: [
        { metric: 'm_total', label: 'x', operator: '=', value: '1' },
        { metric: 'm_total', label: 'y', operator: '!~', value: 'o.*' },
      ],
      groupedBy: ['a', 'le'],
    });
    expect(() => namesIn('sum(rate(m[5m])')).toThrow('brackets');
  });

  it.each([
    ['a metric that is not in the table', 'sextant_nothing', ['there is no sextant_nothing']],
    ['a bucket of what is no histogram', 'sextant_epoch_bucket', ['there is no sextant_epoch_bucket']],
    ['a label of another metric', 'max by (target) (sextant_epoch)', ['nothing in it has the label target']],
    [
      'a word that is none',
      'sextant_commits_total{outcome="refused"}',
      ['refused is no outcome of sextant_commits_total'],
    ],
    ['a matcher of another metric', 'sextant_epoch{pg="0"}', ['sextant_epoch has no label pg']],
  ])('that are unknown are found: %s', (_name, expr, problems) => {
    expect(unknownIn(expr, [])).toEqual(problems);
  });
});

describe('alert rules', () => {
  it('name only metrics, labels and words that exist (T14)', () => {
    const problems = alerts.flatMap(({ alert, expr, annotations }) =>
      unknownIn(expr, Object.values(annotations)).map((problem) => `${alert}: ${problem}`),
    );
    expect(problems).toEqual([]);
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });

  it('each have a test by which they fire', () => {
    const schema = z.object({
      tests: z.array(
        z.object({
          alert_rule_test: z.array(z.object({ alertname: z.string(), exp_alerts: z.array(z.unknown()) })),
        }),
      ),
    });
    const tests = schema
      .parse(parse(read('prometheus/alerts.test.yml')))
      .tests.flatMap((one) => one.alert_rule_test);
    const fired = new Set(tests.flatMap((one) => (one.exp_alerts.length > 0 ? [one.alertname] : [])));
    expect(alerts.map(({ alert }) => alert).filter((name) => !fired.has(name))).toEqual([]);
  });

  it('tell what to look at in words that commands and metrics have', () => {
    const named = alerts.flatMap(({ annotations }) => [...annotations.runbook.matchAll(/\bsextant_\w+/g)]);
    const isKnown = (name: string): boolean =>
      name.endsWith('_') || definitionOf(name) !== undefined || definitionOf(`${name}_bucket`) !== undefined;
    expect(named.map(([name]) => name).filter((name) => !isKnown(name))).toEqual([]);
  });

  it.skipIf(promtool === null)('pass their tests in promtool (skipped where there is none)', () => {
    expect(runPromtool(['test', 'rules', 'alerts.test.yml'], { cwd: prometheus })).toMatchObject({ code: 0 });
  });
});

describe('the scrape configuration', () => {
  it('has every process of a local deployment among its targets', () => {
    const schema = z.array(z.strictObject({ targets: z.array(z.string()) }));
    const targets = schema.parse(parse(read('prometheus/targets/local.yml'))).flatMap((one) => one.targets);
    const basePort = 7_000;
    const ports = [0, 1, 2].flatMap((index) => {
      const { nodes, agent, gateways } = portsOf(basePort, index);
      return [...nodes, agent, gateways[0]];
    });
    expect(targets).toEqual([supervisorPort(basePort), ...ports].map((port) => `127.0.0.1:${port}`));
  });

  it('names the rules, the targets, and the job that the rules ask for', () => {
    const schema = z.object({
      rule_files: z.array(z.string()),
      scrape_configs: z.array(
        z.object({
          job_name: z.string(),
          file_sd_configs: z.array(z.object({ files: z.array(z.string()) })),
        }),
      ),
    });
    const { rule_files, scrape_configs } = schema.parse(parse(read('prometheus/prometheus.yml')));
    expect(rule_files).toEqual(['alerts.yml']);
    expect(scrape_configs.map((one) => [one.job_name, one.file_sd_configs])).toEqual([
      ['sextant', [{ files: ['targets/*.yml'] }]],
    ]);
  });

  it.skipIf(promtool === null)('is valid to promtool (skipped where there is none)', () => {
    expect(runPromtool(['check', 'config', 'prometheus.yml'], { cwd: prometheus })).toMatchObject({
      code: 0,
    });
  });
});

describe('the dashboard', () => {
  it('names only metrics, labels and words that exist (T14)', () => {
    expect(shown.length).toBeGreaterThan(30);
    const problems = shown.flatMap(({ where, expr, text }) =>
      unknownIn(expr, [text]).map((problem) => `${where}: ${problem}`),
    );
    expect(problems).toEqual([]);
  });

  it('has panels with a place of their own, and says of each what it shows', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const taken = new Set<string>();
    const twice: string[] = [];
    for (const { title, gridPos } of panels) {
      if (gridPos.x + gridPos.w > 24) twice.push(`${title} is too wide`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          if (taken.has(`${x},${y}`)) twice.push(`${title} at ${x},${y}`);
          taken.add(`${x},${y}`);
        }
    }
    expect(twice).toEqual([]);
    const silent = panels.filter(({ type, description }) => type !== 'row' && description === undefined);
    expect(silent.map(({ title }) => title)).toEqual([]);
  });

  it.skipIf(promtool === null)('asks in PromQL that promtool can parse (skipped where there is none)', () => {
    const dir = mkdtempSync(join(tmpdir(), 'sx-promql-'));
    try {
      const rules = shown.map(({ expr }, index) => ({ record: `panel_${index}`, expr }));
      writeFileSync(join(dir, 'rules.yml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
      expect(runPromtool(['check', 'rules', 'rules.yml'], { cwd: dir })).toMatchObject({ code: 0 });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
