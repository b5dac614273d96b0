/** Where the map puts regions, their names and the links between them, in pixels. Pure. */
import { placeOf } from './places.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What the map shows of the world. Nobody runs a region nearer to a pole. */
export const mapBounds = { west: -170, east: 180, north: 76, south: -54 } as const;
/** Degrees of latitude are drawn longer than those of longitude, as on most maps of the world. */
const stretch = 1.22;

/** The height that belongs to a width. */
export function mapHeight(width: number): number {
  const { west, east, north, south } = mapBounds;
  return Math.round((width * (north - south) * stretch) / (east - west));
}

export function project(longitude: number, latitude: number, { width, height }: Size): Point {
  const { west, east, north, south } = mapBounds;
  return {
    x: ((longitude - west) / (east - west)) * width,
    y: ((north - latitude) / (north - south)) * height,
  };
}

export type MapLayout =
  | { readonly kind: 'world'; readonly at: ReadonlyMap<string, Point> }
  /** At least one region has a name of no known place: they stand in a circle, and no land is drawn. */
  | { readonly kind: 'circle'; readonly at: ReadonlyMap<string, Point> };

/** Regions at one place are drawn this far apart. */
const apart = 14;

export function layOut(regions: readonly string[], size: Size): MapLayout {
  const places = regions.map(placeOf);
  if (places.some((place) => place === null)) return { kind: 'circle', at: circle(regions, size) };
  const at = new Map<string, Point>();
  regions.forEach((region, index) => {
    const place = places[index];
    if (place === undefined || place === null) return;
    let point = project(place.longitude, place.latitude, size);
    while ([...at.values()].some((other) => Math.hypot(other.x - point.x, other.y - point.y) < apart))
      point = { x: point.x + apart, y: point.y + apart / 2 };
    at.set(region, point);
  });
  return { kind: 'world', at };
}

function circle(regions: readonly string[], { width, height }: Size): ReadonlyMap<string, Point> {
  const radius = { x: width * 0.3, y: height * 0.34 };
  return new Map(
    regions.map((region, at) => {
      const angle = (at / regions.length) * 2 * Math.PI - Math.PI / 2;
      return [
        region,
        { x: width / 2 + radius.x * Math.cos(angle), y: height / 2 + radius.y * Math.sin(angle) },
      ];
    }),
  );
}

/** A link as an arc that bends upwards, and its middle. */
export function arc(from: Point, to: Point): { readonly path: string; readonly middle: Point } {
  const distance = Math.hypot(to.x - from.x, to.y - from.y);
  const bend = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - Math.min(distance * 0.28, 90) };
  const round = (value: number): number => Math.round(value * 10) / 10;
  return {
    path: `M${round(from.x)} ${round(from.y)}Q${round(bend.x)} ${round(bend.y)} ${round(to.x)} ${round(to.y)}`,
    middle: { x: from.x / 4 + bend.x / 2 + to.x / 4, y: from.y / 4 + bend.y / 2 + to.y / 4 },
  };
}

export interface Label {
  readonly name: string;
  readonly at: Point;
  readonly width: number;
}
export interface PlacedLabel {
  /** Its upper left corner. */
  readonly x: number;
  readonly y: number;
}

/** Around a region: right of it, left, below, above, and the two last once more as far aside as the edge of the map wants. */
const sides = ({ at, width }: Label, height: number, size: Size): readonly PlacedLabel[] => {
  const gap = 15;
  const within = (x: number): number => Math.max(0, Math.min(x, size.width - width));
  const below = at.y + gap - 3;
  const above = at.y - gap + 3 - height;
  const middle = at.x - width / 2;
  return [
    { x: at.x + gap, y: at.y - height / 2 },
    { x: at.x - gap - width, y: at.y - height / 2 },
    { x: middle, y: below },
    { x: middle, y: above },
    { x: within(middle), y: below },
    { x: within(middle), y: above },
    { x: within(at.x), y: below },
    { x: within(at.x - width), y: above },
  ];
};

/** Puts names where they cover neither each other nor a region, and stay on the map; where nothing is free, on the right side. */
export function placeLabels(
  labels: readonly Label[],
  height: number,
  size: Size,
): ReadonlyMap<string, PlacedLabel> {
  const placed = new Map<string, PlacedLabel & { readonly width: number }>();
  const isFree = (label: Label, { x, y }: PlacedLabel): boolean => {
    if (x < 0 || y < 0 || x + label.width > size.width || y + height > size.height) return false;
    for (const other of placed.values())
      if (
        x < other.x + other.width &&
        other.x < x + label.width &&
        y < other.y + height &&
        other.y < y + height
      )
        return false;
    const margin = 6;
    return labels.every(
      ({ name, at }) =>
        name === label.name ||
        at.x < x - margin ||
        at.x > x + label.width + margin ||
        at.y < y - margin ||
        at.y > y + height + margin,
    );
  };
  for (const label of labels) {
    const choices = sides(label, height, size);
    const free = choices.find((choice) => isFree(label, choice)) ?? choices[0] ?? { x: 0, y: 0 };
    const x = Math.max(0, Math.min(free.x, size.width - label.width));
    placed.set(label.name, { x, y: Math.max(0, Math.min(free.y, size.height - height)), width: label.width });
  }
  return placed;
}
