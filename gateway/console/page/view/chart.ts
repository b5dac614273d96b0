/** One chart of curves that move with time, drawn by uPlot, with the values of the moment or of the pointer in words. */
import uPlot from 'uplot';
import { windowSeconds } from '../core/curves.ts';
import { clock } from '../core/format.ts';
import { attribute, children, h, panel, text } from './dom.ts';

export interface Curve {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly element: HTMLElement;
  show(seconds: readonly number[], curves: readonly Curve[]): void;
}

const heightPx = 128;
/** Curves differ by their dashes too, for those who cannot tell colours apart. */
const dashes: readonly number[][] = [[], [6, 3], [2, 3], [8, 3, 2, 3], [4, 2], [1, 2]];
const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const curveColour = (at: number): string => colour(`--curve-${(at % dashes.length) + 1}`);
/** A minute at least, and the whole window once there is so much. */
const span = (_: uPlot, low: number, high: number): [number, number] => [
  Math.max(high - windowSeconds, Math.min(low, high - 60)),
  high,
];

/** @param inWords a value of an axis, or of a curve. @param floor what the axis reaches at least. */
export function chart(title: string, inWords: (value: number | null) => string, floor: number): Chart {
  const legend = h('ul', { class: 'legend' });
  const canvas = h('div', { class: 'canvas', role: 'img' });
  const element = panel(title, legend, canvas);
  element.classList.add('chart');
  let plot: uPlot | null = null;
  let names = '';
  let values: HTMLElement[] = [];
  let last: { readonly seconds: readonly number[]; readonly curves: readonly Curve[] } | null = null;

  const showValues = (): void => {
    if (last === null) return;
    const at = plot?.cursor.idx ?? null;
    const index = at ?? last.seconds.length - 1;
    const when = at === null ? '' : ` at ${clock((last.seconds[at] ?? 0) * 1_000)}`;
    last.curves.forEach((curve, number) => {
      const value = values[number];
      const item = legend.children[number];
      if (item !== undefined)
        attribute(
          item,
          'hidden',
          curve.values.every((one) => one === null),
        );
      if (value !== undefined) text(value, `${inWords(curve.values[index] ?? null)}${when}`);
    });
    const now = last.curves.map(({ name, values: all }) => `${name} ${inWords(all.at(-1) ?? null)}`);
    attribute(canvas, 'aria-label', `${title}, now: ${now.join(', ')}`);
  };

  const build = (curves: readonly Curve[]): void => {
    plot?.destroy();
    values = curves.map(() => h('b'));
    children(
      legend,
      curves.map((curve, at) => h('li', {}, swatch(at), h('span', {}, curve.name), values[at] ?? null)),
    );
    const axis = {
      stroke: colour('--muted'),
      font: '11px system-ui, sans-serif',
      ticks: { show: false },
      grid: { stroke: colour('--line'), width: 1 },
    };
    plot = new uPlot(
      {
        width: Math.max(canvas.clientWidth, 120),
        height: heightPx,
        legend: { show: false },
        padding: [6, 26, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { time: true, range: span },
          y: { range: (_, __, high) => [0, Math.max(floor, (high ?? 0) * 1.15)] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            space: 80,
            size: 24,
            values: (_, ticks) => ticks.map((tick) => clock(tick * 1_000)),
          },
          { ...axis, size: 58, space: 34, values: (_, ticks) => ticks.map((tick) => inWords(tick)) },
        ],
        series: [
          {},
          ...curves.map((curve, at) => ({
            label: curve.name,
            stroke: curveColour(at),
            width: 1.5,
            dash: dashes[at % dashes.length] ?? [],
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [showValues] },
      },
      [[], ...curves.map(() => [])],
      canvas,
    );
  };

  const redraw = (): void => {
    if (last === null) return;
    plot?.setData([last.seconds as number[], ...last.curves.map((curve) => curve.values as number[])]);
    showValues();
  };

  new ResizeObserver(() => {
    if (canvas.clientWidth > 0) plot?.setSize({ width: canvas.clientWidth, height: heightPx });
  }).observe(canvas);
  // The canvas does not hear of a style sheet that changes.
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    names = '';
    if (last !== null) show(last.seconds, last.curves);
  });

  const show = (seconds: readonly number[], curves: readonly Curve[]): void => {
    last = { seconds, curves };
    if (canvas.clientWidth === 0) return;
    const wanted = JSON.stringify(curves.map(({ name }) => name));
    if (wanted !== names) {
      names = wanted;
      build(curves);
    }
    redraw();
  };
  return { element, show };
}

/** A piece of the curve, beside its name. */
function swatch(at: number): HTMLElement {
  return h('span', { class: 'swatch', 'data-curve': (at % dashes.length) + 1, 'aria-hidden': 'true' });
}
