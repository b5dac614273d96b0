/**
 * The gateways of a region of a local deployment: how many there are, what they are called, and which of the region's ports
 * each has. A deployment has one in each region until it is told otherwise. Pure.
 */
import { gatewayPortOffset, gatewaysMax } from '../../../deploy/core/deployment-plan.ts';

/** The part of `deployment.json` that says how many gateways there are. */
export interface GatewayPlaces {
  /** By region; a region that is not named has one. */
  readonly gateways?: Readonly<Record<string, number>> | undefined;
  /** Regions without a gateway, as a version before this one wrote it down. */
  readonly headless?: readonly string[] | undefined;
}

/** As many have ports of their own. */
export const localGatewaysMax = gatewaysMax;

/** How many gateways a region has; 0 for a headless one. */
export function gatewayCount({ gateways, headless = [] }: GatewayPlaces, region: string): number {
  return gateways?.[region] ?? (headless.includes(region) ? 0 : 1);
}

/** Their names, as configurations and certificates have them: `g1`, `g2` and so on. */
export const gatewayNamesIn = (places: GatewayPlaces, region: string): readonly string[] =>
  Array.from({ length: gatewayCount(places, region) }, (_, index) => `g${index + 1}`);

/** The directory of a gateway within its region, which is its process's name too. The first had its name before there were others. */
export const gatewayDirectory = (name: string): string => (name === 'g1' ? 'gateway' : name);

/** Every name that the directory of a gateway may have. */
export const gatewayDirectories: readonly string[] = Array.from({ length: localGatewaysMax }, (_, index) =>
  gatewayDirectory(`g${index + 1}`),
);

/** The ports of the gateways in their order, counted from the first of the region. */
export const gatewayOffsets: readonly number[] = Array.from({ length: localGatewaysMax }, (_, nth) =>
  gatewayPortOffset(nth),
);

/** A process as it is called by whoever calls the first gateway by its own name. */
export const processOf = (target: string): string => target.replace(/\/g1$/, `/${gatewayDirectory('g1')}`);
