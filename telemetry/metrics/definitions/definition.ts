/** What is said of a metric once, for everybody who keeps or reads it. */

/** Units a metric may have. The name must end with the unit (before `_total` on a counter), `1` excepted. */
export type MetricUnit = '1' | 'seconds' | 'bytes' | 'lsn';

interface DefinitionBase {
  readonly name: string;
  readonly unit: MetricUnit;
  /** One sentence for the operator, without a full stop. */
  readonly description: string;
  /** What an operator should look out for, in a few words. */
  readonly worry: string;
  readonly labels: readonly string[];
  /** All values of a label that has few and fixed ones. A label that is not here takes names: of regions, nodes, verbs. */
  readonly words?: Readonly<Record<string, readonly string[]>>;
}
export interface CounterDefinition extends DefinitionBase {
  readonly kind: 'counter';
}
export interface GaugeDefinition extends DefinitionBase {
  readonly kind: 'gauge';
}
export interface HistogramDefinition extends DefinitionBase {
  readonly kind: 'histogram';
  /** Upper bounds, ascending, inclusive, in the metric's unit. `+Inf` is implied. */
  readonly buckets: readonly number[];
}
export type MetricDefinition = CounterDefinition | GaugeDefinition | HistogramDefinition;
