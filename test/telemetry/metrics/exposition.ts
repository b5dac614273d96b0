/** What a process tells Prometheus, read and held to the table of metrics. */
import { type MetricDefinition, metrics } from '../../../telemetry/index.ts';

/** One line of an exposition. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const linePattern = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/;
const labelPattern = /([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"/g;

/** @throws Error naming a line that is none. */
export function samplesOf(text: string): readonly Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = linePattern.exec(line);
      if (match === null) throw new Error(`not a sample: ${line}`);
      const [, name = '', labels = '', value = ''] = match;
      const pairs = [...labels.matchAll(labelPattern)].map(([, key = '', text = '']) => [key, text] as const);
      return { name, labels: Object.fromEntries(pairs), value: Number(value) };
    });
}

/** The sum of a metric over all series with these labels; 0 when there is none. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const wanted = Object.entries(labels);
  return samples
    .filter((one) => one.name === name && wanted.every(([key, value]) => one.labels[key] === value))
    .reduce((sum, { value }) => sum + value, 0);
}

const byName = new Map<string, MetricDefinition>(Object.values(metrics).map((one) => [one.name, one]));
/** Every process puts these on each series. */
const processLabels = new Set(['region', 'process', 'zone']);

/** The definition behind a sample's name, of whose histogram it may be a part. */
export function definitionOf(name: string): MetricDefinition | undefined {
  const whole = byName.get(name);
  if (whole !== undefined) return whole;
  const part = byName.get(name.replace(/_(bucket|sum|count)$/, ''));
  return part?.kind === 'histogram' ? part : undefined;
}

/** Where samples are not what the table says (T14): metrics that it lacks, other labels, other words. */
export function besideTheTable(samples: readonly Sample[]): readonly string[] {
  return samples.flatMap(({ name, labels }) => {
    const definition = definitionOf(name);
    if (definition === undefined) return [`${name} is not in the table`];
    const own = Object.keys(labels).filter((label) => !processLabels.has(label) && label !== 'le');
    const problems: string[] = [];
    const isSame =
      own.length === definition.labels.length && own.every((label) => definition.labels.includes(label));
    if (!isSame)
      problems.push(`${name} has the labels ${own.join(', ')}, not ${definition.labels.join(', ')}`);
    for (const [label, words] of Object.entries(definition.words ?? {}))
      if (!words.includes(labels[label] ?? '')) problems.push(`${name}: ${labels[label]} is no ${label}`);
    return problems;
  });
}
