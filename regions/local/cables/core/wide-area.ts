/** How far apart the regions of a local deployment are made to be. */
import { cityRoundTripMs, knownCities } from './city-round-trips.ts';

/** What `sextant up` was asked: the cities that the regions are named after, or one figure for every pair. */
export type Distances = { readonly kind: 'cities' } | { readonly kind: 'equal'; readonly rttMs: number };

/** Round trip between two regions, in milliseconds. */
export interface PairRoundTrip {
  readonly a: string;
  readonly b: string;
  readonly rttMs: number;
}

export type WideArea =
  | { readonly kind: 'known'; readonly pairs: readonly PairRoundTrip[] }
  | { readonly kind: 'refused'; readonly reason: string };

export const rttMsMax = 10_000;

/**
 * Every pair of regions once; none when nothing was asked. Refused, with the way out, where a region's name is no city that is
 * known, or where the network between regions is not ours.
 */
export function wideAreaOf(
  regions: readonly string[],
  distances: Distances | undefined,
  isOurNetwork: boolean,
): WideArea {
  if (distances === undefined) return { kind: 'known', pairs: [] };
  if (!isOurNetwork)
    return {
      kind: 'refused',
      reason:
        '--wan delays what goes between NATS servers that Sextant started, and this deployment uses others (--nats): leave it out',
    };
  if (regions.length < 2)
    return {
      kind: 'refused',
      reason: 'there is no network between regions: name two or more with --regions',
    };
  if (distances.kind === 'equal' && !(distances.rttMs >= 0 && distances.rttMs <= rttMsMax))
    return { kind: 'refused', reason: `--wan-rtt-ms is a number of milliseconds from 0 to ${rttMsMax}` };
  const pairs: PairRoundTrip[] = [];
  for (const [index, b] of regions.entries()) {
    for (const a of regions.slice(0, index)) {
      const rttMs = distances.kind === 'equal' ? distances.rttMs : cityRoundTripMs(a, b);
      if (rttMs === null) {
        const strangers = regions.filter((name) => !knownCities.includes(name));
        return {
          kind: 'refused',
          reason:
            `--wan knows no place for ${strangers.join(', ')}, only for ${knownCities.join(', ')}. ` +
            'Name the regions so with --regions, or give one round-trip time for every pair: --wan-rtt-ms 80',
        };
      }
      pairs.push({ a, b, rttMs });
    }
  }
  return { kind: 'known', pairs };
}

/**
 * Round trip between two servers of the deployment; 0 while no distances are set. A server that stands in no region, the
 * witness of two, stands halfway between them.
 */
export function roundTripOf(pairs: readonly PairRoundTrip[], from: string, to: string): number {
  const pair = pairs.find(({ a, b }) => (a === from && b === to) || (a === to && b === from));
  if (pair !== undefined) return pair.rttMs;
  const of = (name: string) => pairs.filter(({ a, b }) => a === name || b === name);
  const [only] = [...of(from), ...of(to)];
  return (only?.rttMs ?? 0) / 2;
}
