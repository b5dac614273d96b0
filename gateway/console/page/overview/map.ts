/** The regions on a map of the world, with their roles, and what each lacks on the way from the primary. */
import type { RegionStatus } from '../core/api-types.ts';
import { duration } from '../core/format.ts';
import { landDots } from '../core/land.ts';
import {
  arc,
  layOut,
  mapBounds,
  mapHeight,
  type Point,
  placeLabels,
  project,
  type Size,
} from '../core/map-layout.ts';
import { attribute, h, Keyed, panel, s, text } from '../view/dom.ts';
import type { PageState, View } from '../view/page-state.ts';

const labelHeight = 30;
/** One dash of a link and the gap behind it. */
const dashPixels = 8;
/** About what a character of each line of a label takes. */
const nameWidth = 7;
const noteWidth = 6.1;

interface Drawn {
  readonly region: RegionStatus;
  readonly at: Point;
  readonly label: { readonly x: number; readonly y: number };
  readonly note: string;
}

/** What stands below a region's name. */
function noteOf(region: RegionStatus, isPrimary: boolean): string {
  if (region.role === 'offline')
    return region.ageMs === null ? 'never heard' : `lost, heard ${duration(region.ageMs)} ago`;
  if (isPrimary) return region.writer === null ? 'primary, nobody writes' : 'primary';
  if (region.stalledMs > 0) return `stands still for ${duration(region.stalledMs)}`;
  return region.lagMs === null ? 'lag unknown' : `${duration(region.lagMs)} behind`;
}

function marker(): SVGGElement {
  return s(
    'g',
    { class: 'region-mark' },
    s('circle', { class: 'halo', r: 11 }),
    s('circle', { class: 'ring', r: 6.5 }),
    s('circle', { class: 'core', r: 3 }),
    s('path', { class: 'cross', d: 'M-5-5L5 5M5-5L-5 5' }),
  );
}

export function map(): View {
  const dots = s('path', { class: 'land' });
  const links = s('g');
  const marks = s('g');
  const names = s('g');
  // Land lies on a layer of its own: links that move do not make a browser draw its thousands of dots again.
  const ground = s('svg', { class: 'map ground', 'aria-hidden': 'true' }, dots);
  const drawing = s('svg', { class: 'map', role: 'img' }, links, marks, names);
  const frame = h('div', { class: 'map-frame' }, ground, drawing);
  const caption = h(
    'p',
    { class: 'note', hidden: true },
    'Some regions are not named as a cloud names places: no land is drawn.',
  );
  const key = h(
    'p',
    { class: 'key', 'aria-hidden': 'true' },
    h('span', {}, '◉ primary'),
    h('span', {}, '○ secondary'),
    h('span', {}, '✕ not heard'),
  );
  const element = panel('Regions', frame, key, caption);
  let size: Size = { width: 0, height: 0 };
  let shown: PageState | null = null;
  // Links move with each event: what stands still has heard nothing, and no browser draws between two events.
  let phase = 0;
  const isStill = window.matchMedia('(prefers-reduced-motion: reduce)');

  const arcs = new Keyed<Drawn & { readonly from: Point; readonly isLive: boolean }, SVGPathElement>(
    links,
    () => s('path', { class: 'ship' }),
    (path, { from, at, isLive }) => {
      attribute(path, 'd', arc(from, at).path);
      attribute(path, 'data-live', isLive);
      attribute(path, 'stroke-dashoffset', isLive ? -phase : null);
    },
  );
  const points = new Keyed<Drawn, SVGGElement>(marks, marker, (mark, { region, at }) => {
    attribute(mark, 'transform', `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`);
    attribute(mark, 'data-role', region.role);
    attribute(mark, 'data-ready', region.ready);
  });
  const labels = new Keyed<Drawn, SVGTextElement>(
    names,
    () => s('text', {}, s('tspan', { class: 'name' }), s('tspan', { class: 'under' })),
    (label, { region, label: { x, y }, note }) => {
      const [name, under] = label.children;
      if (name === undefined || under === undefined) return;
      for (const line of [name, under]) attribute(line, 'x', x.toFixed(1));
      attribute(name, 'y', (y + 12).toFixed(1));
      attribute(under, 'y', (y + 26).toFixed(1));
      text(name, region.name);
      text(under, note);
      attribute(label, 'data-role', region.role);
    },
  );

  const draw = (state: PageState): void => {
    const { event } = state;
    if (event === null || size.width === 0) return;
    const { regions, primary } = event.status;
    const layout = layOut(
      regions.map(({ name }) => name),
      size,
    );
    attribute(dots, 'hidden', layout.kind === 'circle');
    attribute(caption, 'hidden', layout.kind === 'world');
    const notes = new Map(regions.map((region) => [region.name, noteOf(region, region.name === primary)]));
    const wanted = regions.map(({ name }) => ({
      name,
      at: layout.at.get(name) ?? { x: 0, y: 0 },
      // As wide as the longest note usually is: a name that moves with each lag cannot be read.
      width: Math.max(name.length * nameWidth, Math.max(14, notes.get(name)?.length ?? 0) * noteWidth),
    }));
    const placed = placeLabels(wanted, labelHeight, size);
    const drawn = regions.map((region): Drawn => {
      const at = layout.at.get(region.name) ?? { x: 0, y: 0 };
      return { region, at, label: placed.get(region.name) ?? at, note: notes.get(region.name) ?? '' };
    });
    const from = primary === null ? undefined : layout.at.get(primary);
    const secondaries = from === undefined ? [] : drawn.filter(({ region }) => region.name !== primary);
    const isFresh = state.staleForMs === null;
    arcs.show(
      secondaries.map((one) => ({
        ...one,
        from: from ?? one.at,
        isLive: isFresh && one.region.role !== 'offline' && one.region.stalledMs === 0,
      })),
      ({ region }) => region.name,
    );
    points.show(drawn, ({ region }) => region.name);
    labels.show(drawn, ({ region }) => region.name);
    attribute(drawing, 'aria-label', drawn.map(({ region, note }) => `${region.name}: ${note}`).join('; '));
  };

  new ResizeObserver(() => {
    const width = Math.floor(frame.clientWidth);
    if (width === size.width || width === 0) return;
    size = { width, height: mapHeight(width) };
    for (const layer of [ground, drawing]) {
      attribute(layer, 'viewBox', `0 0 ${size.width} ${size.height}`);
      attribute(layer, 'height', size.height);
    }
    drawLand(dots, size);
    if (shown !== null) draw(shown);
  }).observe(frame);
  return {
    element,
    update(state) {
      if (state.event !== shown?.event && !isStill.matches) phase = (phase + 2) % dashPixels;
      shown = state;
      draw(state);
    },
  };
}

/** One path of dots: a line of no length with round ends is one. */
function drawLand(path: SVGPathElement, size: Size): void {
  const step = size.width < 560 ? 3.5 : 2.5;
  const points = landDots(step, mapBounds.north, mapBounds.south).map(({ longitude, latitude }) => {
    const { x, y } = project(longitude, latitude, size);
    return `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
  });
  attribute(path, 'd', points.join(''));
  const { west, east } = mapBounds;
  attribute(path, 'stroke-width', ((step * size.width) / (east - west) / 1.9).toFixed(2));
}
