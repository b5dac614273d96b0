/** The three charts of the overview. */
import { duration, figure } from '../core/format.ts';
import { chart } from '../view/chart.ts';
import { h } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

/** Curves are drawn this often at most: they move by less than a pixel between two events. */
const drawEveryMs = 450;

export function curveCharts(): View {
  const lag = chart('Replication lag', duration, 20);
  const writes = chart('Committed writes', (value) => (value === null ? '–' : `${figure(value)}/s`), 5);
  const latency = chart('Write latency', duration, 5);
  const element = h('div', { class: 'charts' }, lag.element, writes.element, latency.element);
  let drawnAtMs = Number.NEGATIVE_INFINITY;
  return {
    element,
    update({ curves, event }: PageState) {
      if (event === null || Math.abs(event.atMs - drawnAtMs) < drawEveryMs) return;
      drawnAtMs = event.atMs;
      const { seconds } = curves;
      lag.show(
        seconds,
        [...curves.lag].map(([name, values]) => ({ name, values })),
      );
      writes.show(seconds, [{ name: 'durable', values: curves.commits }]);
      latency.show(seconds, [
        { name: 'median', values: curves.p50Ms },
        { name: 'p99', values: curves.p99Ms },
      ]);
    },
  };
}
