/**
 * Jaeger's Monitor tab asks for every rate over ten minutes, in steps of one: a region that stands still is no more than a
 * fortieth of what such a rate has seen after 15 s, and stays in it for ten minutes after it has recovered. A rate over the
 * last seconds is asked for instead, in steps short enough that nothing falls between two of them.
 */
import { lagServiceName } from '../../trace/names.ts';

/** A range query of Prometheus's HTTP API. Times are Unix seconds. */
export interface RangeQuery {
  readonly query: string;
  readonly start: number;
  readonly end: number;
  readonly stepSeconds: number;
}

/** Points of a graph, at most: its width on a large screen, and far below Prometheus's 11,000. */
const pointsMax = 720;
/** Heartbeats come every second, so a few seconds hold enough of them. */
const lagWindow = { windowSeconds: 10, stepSeconds: 5 };
/** What clients do comes less evenly; a minute of it is still news. */
const otherWindow = { windowSeconds: 60, stepSeconds: 15 };

const rangeSelector = /\}\[(\d+)(ms|s|m|h|d)\]/g;
const secondsOf: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600, d: 86_400 };

/** The same question about less time at more moments; never about more time, or at fewer moments, than was asked. */
export function recentOnly(asked: RangeQuery): RangeQuery {
  const { windowSeconds, stepSeconds } = asked.query.includes(`"${lagServiceName}"`)
    ? lagWindow
    : otherWindow;
  const fewest = Math.round((asked.end - asked.start) / pointsMax);
  const step = Math.min(asked.stepSeconds, Math.max(stepSeconds, fewest));
  const window = Math.max(windowSeconds, step);
  const query = asked.query.replaceAll(rangeSelector, (selector, count: string, unit: string) =>
    Number(count) * (secondsOf[unit] ?? 1) <= window ? selector : `}[${window}s]`,
  );
  return { ...asked, query, stepSeconds: step };
}
