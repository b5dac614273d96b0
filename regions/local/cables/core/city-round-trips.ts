/**
 * About how long a message and its answer take between cities, for `sextant up --wan`. Light in fibre covers 200 km in a
 * millisecond, and cables follow coasts and landing points, not great circles: so the way is the shortest one over the cables
 * below, and a detour is added. Checked against published measurements in the test.
 */
import assert from 'node:assert/strict';

/** A place on Earth, in degrees. */
interface Place {
  readonly latitude: number;
  readonly longitude: number;
}

/** Where the data centres behind the names that clouds give their regions stand; `suez` is on the way between two of them. */
const places: Readonly<Record<string, Place>> = {
  'us-east-1': { latitude: 39.04, longitude: -77.49 },
  'us-east-2': { latitude: 40.0, longitude: -83.0 },
  'us-west-1': { latitude: 37.35, longitude: -121.96 },
  'us-west-2': { latitude: 45.84, longitude: -119.7 },
  'ca-central-1': { latitude: 45.5, longitude: -73.57 },
  'sa-east-1': { latitude: -23.55, longitude: -46.63 },
  'eu-west-1': { latitude: 53.35, longitude: -6.26 },
  'eu-west-2': { latitude: 51.51, longitude: -0.13 },
  'eu-west-3': { latitude: 48.86, longitude: 2.35 },
  'eu-central-1': { latitude: 50.11, longitude: 8.68 },
  'eu-north-1': { latitude: 59.33, longitude: 18.07 },
  'eu-south-1': { latitude: 45.46, longitude: 9.19 },
  'ap-south-1': { latitude: 19.08, longitude: 72.88 },
  'ap-southeast-1': { latitude: 1.35, longitude: 103.82 },
  'ap-southeast-2': { latitude: -33.87, longitude: 151.21 },
  'ap-northeast-1': { latitude: 35.68, longitude: 139.69 },
  'ap-northeast-2': { latitude: 37.57, longitude: 126.98 },
  'ap-east-1': { latitude: 22.32, longitude: 114.17 },
  suez: { latitude: 29.97, longitude: 32.55 },
};

/** Which of them are joined directly. */
const cables: readonly (readonly [string, string])[] = [
  ['us-east-1', 'us-east-2'],
  ['us-east-1', 'us-west-1'],
  ['us-east-1', 'us-west-2'],
  ['us-east-1', 'ca-central-1'],
  ['us-east-1', 'sa-east-1'],
  ['us-east-1', 'eu-west-1'],
  ['us-east-1', 'eu-west-2'],
  ['us-east-2', 'us-west-1'],
  ['us-east-2', 'us-west-2'],
  ['us-east-2', 'ca-central-1'],
  ['us-west-1', 'us-west-2'],
  ['us-west-1', 'ap-northeast-1'],
  ['us-west-1', 'ap-southeast-2'],
  ['us-west-2', 'ap-northeast-1'],
  ['ca-central-1', 'eu-west-1'],
  ['eu-west-1', 'eu-west-2'],
  ['eu-west-2', 'eu-west-3'],
  ['eu-west-2', 'eu-central-1'],
  ['eu-west-3', 'eu-central-1'],
  ['eu-west-3', 'suez'],
  ['eu-central-1', 'eu-north-1'],
  ['eu-central-1', 'eu-south-1'],
  ['eu-south-1', 'suez'],
  ['suez', 'ap-south-1'],
  ['ap-south-1', 'ap-southeast-1'],
  ['ap-southeast-1', 'ap-southeast-2'],
  ['ap-southeast-1', 'ap-east-1'],
  ['ap-east-1', 'ap-northeast-1'],
  ['ap-east-1', 'ap-northeast-2'],
  ['ap-northeast-1', 'ap-northeast-2'],
  ['ap-northeast-1', 'ap-southeast-2'],
];

const earthRadiusKm = 6_371;
const fibreKmPerMs = 200;
/** How much longer a cable is than the great circle between its ends. */
const detour = 1.35;
/** What switches and the ways at both ends add. */
const endsMs = 2;

/** The names that have a place. */
export const knownCities: readonly string[] = Object.keys(places).filter((name) => name !== 'suez');

const radians = (degrees: number): number => (degrees * Math.PI) / 180;

function greatCircleKm(a: Place, b: Place): number {
  const north = radians(b.latitude - a.latitude);
  const east = radians(b.longitude - a.longitude);
  const half =
    Math.sin(north / 2) ** 2 +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(east / 2) ** 2;
  return 2 * earthRadiusKm * Math.asin(Math.sqrt(half));
}

function cableKm(from: string, to: string): number {
  const [a, b] = [places[from], places[to]];
  assert(a !== undefined && b !== undefined, 'both ends of a cable have a place');
  return greatCircleKm(a, b);
}

function neighboursOf(place: string): readonly { readonly to: string; readonly km: number }[] {
  return cables.flatMap(([one, other]) => {
    if (one !== place && other !== place) return [];
    return [{ to: one === place ? other : one, km: cableKm(one, other) }];
  });
}

/** Length of the shortest way over the cables; null when a name has no place. */
function wayKm(from: string, to: string): number | null {
  if (places[from] === undefined || places[to] === undefined) return null;
  const reached = new Map([[from, 0]]);
  // Whenever a place is reached by a shorter way, its neighbours are looked at again.
  const toLookAt = [from];
  for (let here = toLookAt.pop(); here !== undefined; here = toLookAt.pop()) {
    for (const { to: there, km } of neighboursOf(here)) {
      const way = (reached.get(here) ?? 0) + km;
      if (way >= (reached.get(there) ?? Number.POSITIVE_INFINITY)) continue;
      reached.set(there, way);
      toLookAt.push(there);
    }
  }
  return reached.get(to) ?? null;
}

/** Round trip in milliseconds between two cities; 0 within one. Null when a name has no place. */
export function cityRoundTripMs(from: string, to: string): number | null {
  if (from === to) return places[from] === undefined ? null : 0;
  const km = wayKm(from, to);
  return km === null ? null : Math.round((2 * detour * km) / fibreKmPerMs + endsMs);
}
