/**
 * A small metric registry and its Prometheus text rendering. Prometheus scrapes it from `/metrics`; the OpenTelemetry
 * metric SDK is not used because Jaeger takes traces only and the hot path wants a plain addition.
 *
 * Hot paths resolve a series once (`registry.counter(definition).with({...})`) and then call `add` or `observe` on it:
 * a number addition, or a scan of at most a few dozen bucket bounds.
 */
import assert from 'node:assert/strict';
import type {
  CounterDefinition,
  GaugeDefinition,
  HistogramDefinition,
  MetricDefinition,
} from './definitions/definition.ts';

type Words<D extends MetricDefinition> = D extends { readonly words: infer W } ? W : Record<never, never>;
type Labels<D extends MetricDefinition> = {
  readonly [K in D['labels'][number]]: K extends keyof Words<D>
    ? Words<D>[K] extends readonly (infer Word extends string)[]
      ? Word
      : string
    : string;
};

/** One counter series. */
export interface Counter {
  /** @throws AssertionError when `amount` is negative or not finite (T6). */
  add(amount?: number): void;
}
/** One gauge series. NaN and infinities are rendered as Prometheus writes them. */
export interface Gauge {
  set(value: number): void;
}
/** One histogram series. */
export interface Histogram {
  /** @throws AssertionError when `value` is NaN. */
  observe(value: number): void;
}
/** A metric: its series by labels. */
export interface Metric<D extends MetricDefinition, Series> {
  /** The series with these label values, made when first asked for. Keep it where speed matters. */
  with(labels: Labels<D>): Series;
  /** Forgets every series, so that a node or region that is gone stops being reported. */
  clear(): void;
}

/** Content type of `render()`. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** Series one metric may have; further label values are counted under `other` so that memory stays bounded. */
const seriesMax = 512;
const namePattern = /^[a-z][a-z0-9_]*$/;
const labelPattern = /^[a-z][a-z0-9_]*$/;

class CounterSeries implements Counter {
  value = 0;
  add(amount = 1): void {
    assert(amount >= 0 && amount < Infinity, 'T6: a counter only rises');
    this.value += amount;
  }
  lines(name: string, labels: string): string {
    return `${name}${braced(labels)} ${number(this.value)}\n`;
  }
}

class GaugeSeries implements Gauge {
  value = 0;
  set(value: number): void {
    this.value = value;
  }
  lines(name: string, labels: string): string {
    return `${name}${braced(labels)} ${number(this.value)}\n`;
  }
}

class HistogramSeries implements Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }
  observe(value: number): void {
    assert(!Number.isNaN(value), 'T6: a histogram observes numbers');
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? Infinity)) index++;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }
  lines(name: string, labels: string): string {
    const separator = labels === '' ? '' : ',';
    let cumulative = 0;
    let text = '';
    for (let index = 0; index < this.#counts.length; index++) {
      cumulative += this.#counts[index] ?? 0;
      const bound = number(this.#bounds[index] ?? Infinity);
      text += `${name}_bucket{${labels}${separator}le="${bound}"} ${number(cumulative)}\n`;
    }
    return `${text}${name}_sum${braced(labels)} ${number(this.#sum)}\n${name}_count${braced(labels)} ${number(cumulative)}\n`;
  }
}

interface Rendered {
  lines(name: string, labels: string): string;
}

class Family<Series extends Rendered> {
  readonly definition: MetricDefinition;
  readonly #constantLabels: string;
  readonly #make: () => Series;
  readonly #onRefused: () => void;
  readonly #series = new Map<string, Series>();

  constructor(
    definition: MetricDefinition,
    constantLabels: string,
    make: () => Series,
    onRefused: () => void,
  ) {
    this.definition = definition;
    this.#constantLabels = constantLabels;
    this.#make = make;
    this.#onRefused = onRefused;
  }

  with(labels: Readonly<Record<string, string>>): Series {
    const { labels: names, words = {} } = this.definition;
    for (const [name, known] of Object.entries(words)) {
      const value = labels[name] ?? '';
      if (!known.includes(value)) assert.fail(`T14: ${value} is no ${name} of ${this.definition.name}`);
    }
    let key = this.#key((name) => labels[name]);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= seriesMax && names.length > 0) {
      this.#onRefused();
      key = this.#key(() => 'other');
    }
    const existing = this.#series.get(key);
    if (existing !== undefined) return existing;
    const series = this.#make();
    this.#series.set(key, series);
    return series;
  }

  clear(): void {
    this.#series.clear();
  }

  /** T14: a series whose labels are all known beforehand is there from the start, or its first event would not be seen to happen. */
  begin(): void {
    const { labels, words = {}, kind } = this.definition;
    if (kind === 'gauge') return;
    let combinations: readonly Readonly<Record<string, string>>[] = [{}];
    for (const name of labels)
      combinations = combinations.flatMap((one) =>
        (words[name] ?? []).map((word) => ({ ...one, [name]: word })),
      );
    for (const combination of combinations) this.with(combination);
  }

  render(): string {
    if (this.#series.size === 0) return '';
    const { name, kind, description, unit } = this.definition;
    const help = unit === '1' ? description : `${description} (${unit})`;
    let text = `# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${kind}\n`;
    for (const [labels, series] of this.#series) text += series.lines(name, labels);
    return text;
  }

  #key(labelValue: (label: string) => string | undefined): string {
    let key = this.#constantLabels;
    for (const name of this.definition.labels) {
      const value = labelValue(name);
      assert(value !== undefined, `T6: ${this.definition.name} needs the label ${name}`);
      key += `${key === '' ? '' : ','}${name}="${escapeLabel(value)}"`;
    }
    return key;
  }
}

/** Metrics of one process. Two registries share nothing, so tests and the simulator may have as many as they like. */
export class MetricRegistry {
  /** In order of registration, which is the order of rendering. */
  readonly #families = new Map<string, Family<Rendered>>();
  readonly #counters = new Map<string, Family<CounterSeries>>();
  readonly #gauges = new Map<string, Family<GaugeSeries>>();
  readonly #histograms = new Map<string, Family<HistogramSeries>>();
  readonly #constantLabels: string;
  readonly #beforeRender: (() => void)[] = [];
  readonly #refusedDefinition: CounterDefinition | undefined;

  /**
   * @param constantLabels put on every series, such as the region and the kind of process.
   * @param refused counter, labelled `metric`, of label values beyond the bound of a metric.
   */
  constructor(constantLabels: Readonly<Record<string, string>> = {}, refused?: CounterDefinition) {
    for (const name of Object.keys(constantLabels)) assert(labelPattern.test(name), `T6: bad label ${name}`);
    this.#constantLabels = Object.entries(constantLabels)
      .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
      .join(',');
    this.#refusedDefinition = refused;
  }

  /** The same definition gives the same metric; another definition under a name already taken is a bug and throws. */
  counter<const D extends CounterDefinition>(definition: D): Metric<D, Counter> {
    return this.#family(this.#counters, definition, () => new CounterSeries());
  }
  gauge<const D extends GaugeDefinition>(definition: D): Metric<D, Gauge> {
    return this.#family(this.#gauges, definition, () => new GaugeSeries());
  }
  histogram<const D extends HistogramDefinition>(definition: D): Metric<D, Histogram> {
    const bounds = definition.buckets;
    const ascending = bounds.every((bound, index) => index === 0 || bound > (bounds[index - 1] ?? Infinity));
    assert(ascending, `T6: buckets of ${definition.name} must ascend`);
    return this.#family(this.#histograms, definition, () => new HistogramSeries(bounds));
  }

  /** Runs `update` before each rendering, for values that are read rather than counted. */
  onScrape(update: () => void): void {
    this.#beforeRender.push(update);
  }

  /** Everything in the Prometheus text exposition format 0.0.4. */
  render(): string {
    for (const update of this.#beforeRender) update();
    let text = '';
    for (const family of this.#families.values()) text += family.render();
    return text;
  }

  #family<S extends Rendered>(
    kin: Map<string, Family<S>>,
    definition: MetricDefinition,
    make: () => S,
  ): Family<S> {
    const found = kin.get(definition.name);
    if (found?.definition === definition) return found;
    assert(!this.#families.has(definition.name), `T6: ${definition.name} is defined twice`);
    checkDefinition(definition);
    const family = new Family(definition, this.#constantLabels, make, () => this.#refused(definition));
    kin.set(definition.name, family);
    this.#families.set(definition.name, family);
    family.begin();
    return family;
  }

  #refused(definition: MetricDefinition): void {
    if (this.#refusedDefinition === undefined || definition === this.#refusedDefinition) return;
    this.counter(this.#refusedDefinition).with({ metric: definition.name }).add();
  }
}

function checkDefinition({
  name,
  kind,
  unit,
  description,
  worry,
  labels,
  words = {},
}: MetricDefinition): void {
  assert(namePattern.test(name), `T6: bad metric name ${name}`);
  assert(description !== '' && worry !== '', `T6: ${name} needs a description, and what to worry about`);
  assert(!name.endsWith('_total') || kind === 'counter', `T6: only counters end with _total, not ${name}`);
  assert(kind !== 'counter' || name.endsWith('_total'), `T6: the counter ${name} must end with _total`);
  const base = kind === 'counter' ? name.slice(0, -'_total'.length) : name;
  assert(unit === '1' || base.endsWith(`_${unit}`), `T6: ${name} must end with its unit, ${unit}`);
  for (const label of labels)
    assert(
      labelPattern.test(label) && label !== 'le' && label !== 'quantile',
      `T6: bad label ${label} of ${name}`,
    );
  for (const label of Object.keys(words))
    assert(labels.includes(label), `T14: ${name} has words for ${label}, which is no label of it`);
}

const braced = (labels: string): string => (labels === '' ? '' : `{${labels}}`);

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
