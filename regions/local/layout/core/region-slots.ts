/**
 * Which regions a local deployment has, and the slot of ports that each keeps. A region that goes leaves the slots of the others
 * as they are, and its own to a server that only votes, if it kept a copy of the control record (R57). Pure.
 */
import { natsTopology, voteOnly, votersToName, witness } from '../../../deploy/core/nats-topology.ts';
import { regionsMax } from '../../../membership/core/membership-rules.ts';
import { type GatewayPlaces, gatewayCount, localGatewaysMax } from './gateway-places.ts';

/** The part of `deployment.json` that changes when regions come and go. */
export interface Placed extends GatewayPlaces {
  readonly regions: readonly string[];
  /** Servers that keep the control record, where that does not follow from `regions`. */
  readonly voters?: readonly string[] | undefined;
  /** Slot of each server, once regions have come or gone; before, it is the place in `regions`. */
  readonly slots?: Readonly<Record<string, number>> | undefined;
}

export type Placing<P> =
  | { readonly kind: 'placed'; readonly placed: P }
  | { readonly kind: 'refused'; readonly reason: string };

/** Directories that a deployment has beside those of its regions, and what for. */
export const ownDirectories = { supervisor: 'supervisor', telemetry: 'telemetry', temporary: 'tmp' } as const;

/** Why no region here can have this name; null when one can. */
export function takenName(region: string): string | null {
  if (region === witness) return `${witness} is the name of the third vote of two regions`;
  const isOwn = Object.values(ownDirectories).some((name) => name === region);
  return isOwn
    ? `${region} is a directory of the deployment's own, so that no region can be called so`
    : null;
}

/** The witness of two regions takes this slot, one past the last possible region. */
const witnessSlot = regionsMax;

/** The slot of a region, or of a server that only votes. */
export function slotOf({ regions, slots }: Placed, server: string): number {
  return slots?.[server] ?? (server === witness ? witnessSlot : regions.indexOf(server));
}

const slotsNow = (placed: Placed): Record<string, number> =>
  Object.fromEntries(
    natsTopology(placed.regions, placed.voters).servers.map((server) => [server, slotOf(placed, server)]),
  );

/**
 * With one region more, in the lowest slot that is free; its own if a server of its name still votes there.
 * @param ownServers false where the NATS servers are somebody else's: then nothing votes here.
 */
export function withRegion<P extends Placed>(
  placed: P,
  region: string,
  { headless, ownServers }: { readonly headless: boolean; readonly ownServers: boolean },
): Placing<P> {
  const { voters, servers } = natsTopology(placed.regions, placed.voters);
  const refused = (reason: string) => ({ kind: 'refused', reason }) as const;
  if (placed.regions.includes(region)) return { kind: 'placed', placed };
  const taken = takenName(region);
  if (taken !== null) return refused(taken);
  if (placed.regions.length >= regionsMax)
    return refused(
      `there are ${regionsMax} regions already, which is the most there may be: remove one first`,
    );
  if (ownServers && servers.length === 1)
    return refused(
      `the control record of this deployment lies on the one NATS server of ${placed.regions[0]}, which no other can join while it ` +
        'runs: bring up a deployment of two or more regions, `sextant export` this one and `sextant import` it there',
    );
  const slots = slotsNow(placed);
  const used = new Set(Object.values(slots));
  const free = Array.from({ length: regionsMax }, (_, slot) => slot).find((slot) => !used.has(slot));
  const slot = slots[region] ?? free;
  if (slot === undefined)
    return refused(
      `no ports are left: ${voteOnly(placed.regions, placed.voters).join(', ')} still vote in slots of their own`,
    );
  const regions = [...placed.regions, region];
  const named = ownServers ? votersToName(regions, voters) : undefined;
  const { voters: _, ...rest } = placed;
  return {
    kind: 'placed',
    placed: {
      ...(rest as P),
      regions,
      slots: { ...slots, [region]: slot },
      ...(named !== undefined && { voters: named }),
      ...(headless && { gateways: { ...placed.gateways, [region]: 0 } }),
    },
  };
}

/** Without a region. A server of its name stays where it kept a copy of the control record. */
export function withoutRegion<P extends Placed>(
  placed: P,
  region: string,
  { ownServers }: { readonly ownServers: boolean },
): P {
  const { voters } = natsTopology(placed.regions, placed.voters);
  const regions = placed.regions.filter((name) => name !== region);
  const named = ownServers ? votersToName(regions, voters) : undefined;
  const stays = new Set(natsTopology(regions, named).servers);
  const { voters: _, ...rest } = placed;
  return {
    ...(rest as P),
    regions,
    slots: Object.fromEntries(Object.entries(slotsNow(placed)).filter(([name]) => stays.has(name))),
    ...(named !== undefined && { voters: named }),
    ...withoutGateways(placed, region),
  };
}

/** With one gateway more in a region. */
export function withGateway<P extends Placed>(placed: P, region: string): Placing<P> {
  const count = gatewayCount(placed, region);
  if (count >= localGatewaysMax)
    return {
      kind: 'refused',
      reason: `${region} has ${count} gateways already, which is the most that a region of a local deployment has ports for`,
    };
  const rest = { ...placed, ...withoutGateways(placed, region) };
  return { kind: 'placed', placed: { ...rest, gateways: { ...rest.gateways, [region]: count + 1 } } };
}

/** What is left of the counts when those of a region are forgotten. */
function withoutGateways({ gateways, headless }: GatewayPlaces, region: string): GatewayPlaces {
  return {
    ...(gateways !== undefined && {
      gateways: Object.fromEntries(Object.entries(gateways).filter(([name]) => name !== region)),
    }),
    ...(headless !== undefined && { headless: headless.filter((name) => name !== region) }),
  };
}
