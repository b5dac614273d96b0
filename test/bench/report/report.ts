/** What scenarios hand back, and its text: tables for people, JSON for programs. */
import { barChart, type ChartPanel } from './svg-chart.ts';

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What one scenario found. */
export interface Section {
  readonly name: string;
  readonly title: string;
  /** Facts a reader needs to judge the tables. */
  readonly notes: readonly string[];
  /** All of it, for a terminal and for programs. */
  readonly tables: readonly Table[];
  /** What RESULTS.md shows of it: one table for each question, which is the table's title. Left out: `tables` are that. */
  readonly answers?: readonly Table[];
  readonly panels: readonly ChartPanel[];
  /** For `--json`, under the scenario's name. */
  readonly data: unknown;
}

/** One of the promises in figures: a value, its bound, and whether it holds; null when it could not be measured. */
export interface Goal {
  readonly text: string;
  readonly value: number | null;
  readonly bound: number;
  readonly better: 'atLeast' | 'atMost';
}

export interface Provenance {
  readonly date: string;
  readonly commit: string;
  readonly command: string;
  readonly machine: string;
  readonly node: string;
}

export interface Report {
  readonly provenance: Provenance;
  readonly systems: readonly {
    readonly title: string;
    readonly version: string;
    readonly durability: string;
  }[];
  /** Systems and scenarios that could not be measured, and why. */
  readonly missing: readonly string[];
  readonly sections: readonly Section[];
  readonly ratios: Readonly<Record<string, number>>;
  readonly goals: readonly Goal[];
}

export function goalHolds(goal: Goal): boolean | null {
  if (goal.value === null) return null;
  return goal.better === 'atLeast' ? goal.value >= goal.bound : goal.value <= goal.bound;
}

const round = (value: number): number => Number(value.toPrecision(3));

export function goalTable(goals: readonly Goal[]): Table {
  const verdict = (goal: Goal): string => {
    const holds = goalHolds(goal);
    return holds === null ? 'not measured' : holds ? 'yes' : 'no';
  };
  return {
    title: 'Goals',
    head: ['goal', 'measured', 'wanted', 'met'],
    rows: goals.map((goal) => [
      goal.text,
      goal.value === null ? '–' : String(round(goal.value)),
      `${goal.better === 'atLeast' ? '≥' : '≤'} ${goal.bound}`,
      verdict(goal),
    ]),
  };
}

/** A table of GitHub's Markdown; every column but the first is set right. */
export function markdownTable(table: Table): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  const rule = table.head.map((_, at) => (at === 0 ? '---' : '---:'));
  return [`**${table.title}**`, '', line(table.head), line(rule), ...table.rows.map(line)].join('\n');
}

/** The same for a terminal. */
export function plainTable(table: Table): string {
  const lines = [table.head, ...table.rows];
  const widths = table.head.map((_, at) => Math.max(...lines.map((line) => [...(line[at] ?? '')].length)));
  const pad = (text: string, at: number): string => {
    const space = ' '.repeat(Math.max(0, (widths[at] ?? 0) - [...text].length));
    return at === 0 ? text + space : space + text;
  };
  return [table.title, ...lines.map((line) => `  ${line.map(pad).join('  ')}`.trimEnd())].join('\n');
}

export function asText(report: Report): string {
  const tables = report.sections.flatMap((section) => section.tables);
  const goals = report.goals.length > 0 ? [goalTable(report.goals)] : [];
  const missing = report.missing.map((line) => `not measured: ${line}`);
  return [...tables, ...goals].map(plainTable).concat(missing).join('\n\n');
}

/** What a page is made of: everything but what only programs read. */
export type Page = Omit<Report, 'sections'> & { readonly sections: readonly Omit<Section, 'data'>[] };

/** RESULTS.md: short, one table for each question. */
export function asMarkdown(report: Page, chartFile: string): string {
  const { provenance, systems, missing, sections, goals } = report;
  const parts: string[] = [
    '# Results',
    [
      `- date: ${provenance.date}`,
      `- commit: ${provenance.commit}`,
      `- command: \`${provenance.command}\``,
      `- machine: ${provenance.machine}`,
      `- Node.js: ${provenance.node}`,
    ].join('\n'),
    'What is measured and how: [README.md](README.md). Earlier runs and what was tried: [HISTORY.md](HISTORY.md). The load generator runs on the same machine and takes its share.',
    markdownTable({
      title: 'Systems',
      head: ['system', 'version', 'durable before the answer'],
      rows: systems.map(({ title, version, durability }) => [title, version, durability]),
    }).replaceAll('---:', '---'),
  ];
  if (missing.length > 0) parts.push(missing.map((line) => `- not measured: ${line}`).join('\n'));
  if (goals.length > 0) parts.push(markdownTable(goalTable(goals)));
  if (sections.some(({ panels }) => panels.length > 0)) parts.push(`![chart](${chartFile})`);
  for (const section of sections) {
    parts.push(`## ${section.title}`);
    if (section.notes.length > 0) parts.push(section.notes.map((note) => `- ${note}`).join('\n'));
    parts.push(...(section.answers ?? section.tables).map(markdownTable));
  }
  return `${parts.join('\n\n')}\n`;
}

/** Everything: figures of each scenario by its name, and in `page` what RESULTS.md is written from. */
export function asJson(report: Report): string {
  const { sections, goals, ...rest } = report;
  const page: Page = { ...rest, goals, sections: sections.map(({ data: _, ...section }) => section) };
  const scenarios = Object.fromEntries(sections.map(({ name, data }) => [name, data]));
  const judged = goals.map((goal) => ({ ...goal, met: goalHolds(goal) }));
  return `${JSON.stringify({ ...rest, goals: judged, scenarios, page }, null, 2)}\n`;
}

export function asSvg(report: Page): string {
  return barChart(report.sections.flatMap(({ panels }) => panels));
}
