/** A new deployment on machines of its own: out of regions, hosts and ports, the files of all machines. */
import { natsTopology, witness } from './nats-topology.ts';
import type { EndpointPart, NatsPart } from './region-rules.ts';
import type { RegionPlan, WitnessPlan } from './region-text.ts';

/** What `sextant init` is told. Hosts are addresses or names without a port. */
export interface DeploymentRequest {
  readonly cluster: string;
  readonly regions: readonly string[];
  /** The host of a region, or of one of its zones (`us-east-1a`), by name; also that of `witness`. */
  readonly hosts: Readonly<Record<string, string>>;
  readonly dataDir: string;
  readonly secrets: RegionPlan['secrets'];
  readonly certificatesDir: string;
  /** First of the ports that a region uses on its machine; the same on each. */
  readonly basePort: number;
  /** Gateways of each region. */
  readonly gateways: number;
  /** Whether each region has endpoints: one address for all its gateways. */
  readonly endpoints: boolean;
  /** What a gateway is told beside its name and address. */
  readonly gatewayKeys: (gateway: string, region: string) => Readonly<Record<string, unknown>>;
  /** Who may connect where PostgreSQL keeps the databases; left out: SQLite keeps them. */
  readonly postgresUsers?: readonly PostgresUser[] | undefined;
}

/** As a gateway's `postgres.users` has them. */
export interface PostgresUser {
  readonly name: string;
  readonly verifier: string;
}

export type DeploymentPlan =
  | {
      readonly kind: 'planned';
      readonly regions: readonly RegionPlan[];
      readonly witness: WitnessPlan | undefined;
    }
  | { readonly kind: 'refused'; readonly reason: string };

const zoneLetters = ['a', 'b', 'c'] as const;
const nodesPerZone = 2;
/** Offsets from the base port, as those of a local deployment. */
const offsets = {
  endpoint: 0,
  node: 1,
  agent: 10,
  gateway: 11,
  nats: 12,
  natsRoute: 13,
  moreGateways: 14,
  writer: 18,
  reader: 19,
  postgres: 20,
} as const;
export const gatewaysMax = 1 + offsets.writer - offsets.moreGateways;
/** Behind those of the gateways, for PostgreSQL clients. */
const postgresEndpoints = {
  writer: offsets.postgres + gatewaysMax,
  reader: offsets.postgres + gatewaysMax + 1,
};
const portMax = 65_535;
const portsUsed = offsets.reader + 1;
const portsUsedWithPostgres = postgresEndpoints.reader + 1;
export const initBasePortMax = portMax - portsUsed;

/** The port of a region's gateway, by its place among them, counted from the first port of the region. */
export const gatewayPortOffset = (index: number): number =>
  index === 0 ? offsets.gateway : offsets.moreGateways + index - 1;

/** The ports of a region's endpoints, counted in the same way. */
export const endpointOffsets = { writer: offsets.writer, reader: offsets.reader } as const;

const withPort = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** Zones of a region, as they are named. */
export const zonesOf = (region: string): readonly string[] =>
  zoneLetters.map((letter) => `${region}${letter}`);

/** Host of a zone, or else of its region; agents, gateways and NATS are where the region is, or in its first zone. */
const hostOf = ({ hosts }: DeploymentRequest, name: string, region: string): string | undefined =>
  hosts[name] ?? hosts[region];

/** The files of a deployment, or what is missing or in the way. Pure: nothing is looked up. */
export function planDeployment(request: DeploymentRequest): DeploymentPlan {
  const { cluster, regions, hosts, basePort, gateways, endpoints, postgresUsers } = request;
  const ports = postgresUsers === undefined ? portsUsed : portsUsedWithPostgres;
  const { dataDir, secrets, certificatesDir } = request;
  const shared = { cluster, regions, secrets, certificatesDir };
  const { servers } = natsTopology(regions);
  const refused = (reason: string): DeploymentPlan => ({ kind: 'refused', reason });
  const known = new Set([...regions, ...regions.flatMap(zonesOf), ...servers]);
  const stray = Object.keys(hosts).find((name) => !known.has(name));
  if (stray !== undefined)
    return refused(
      `${stray} is no region, zone or witness of this deployment: there are ${[...known].join(', ')}`,
    );
  const mainHost = (region: string) => hosts[region] ?? hosts[zonesOf(region)[0] ?? ''];
  for (const server of servers) {
    const zone = zonesOf(server).find((name) => hostOf(request, name, server) === undefined);
    if (server === witness && hosts[witness] === undefined)
      return refused(
        'two regions need a third vote on a machine elsewhere: name it with --host witness=ADDRESS, or take three regions',
      );
    if (server !== witness && zone !== undefined)
      return refused(
        `no machine for ${zone}: name one with --host ${server}=ADDRESS, or --machine ${zone}=ADDRESS`,
      );
  }
  const clustered = servers.length > 1;
  // Regions that share a machine, on one laptop say, have ports of their own there.
  const sharing = new Map<string, number>();
  const baseOf = new Map<string, number>();
  const machinesOf = (server: string) => [
    ...new Set([mainHost(server), ...zonesOf(server).map((zone) => hostOf(request, zone, server))]),
  ];
  for (const server of servers) {
    const own = machinesOf(server);
    const turn = Math.max(...own.map((host) => sharing.get(host ?? '') ?? 0));
    for (const host of own) sharing.set(host ?? '', turn + 1);
    baseOf.set(server, basePort + turn * ports);
  }
  const base = (server: string): number => baseOf.get(server) ?? basePort;
  // Nor do they keep their data in one place: every region has an `n1`.
  const dataDirOf = (server: string): string => {
    const own = machinesOf(server);
    const isShared = servers.some(
      (other) => other !== server && machinesOf(other).some((machine) => own.includes(machine)),
    );
    return isShared ? `${dataDir.replace(/\/+$/, '')}/${server}` : dataDir;
  };
  if (Math.max(...baseOf.values()) > portMax - ports)
    return refused(`the ports of ${regions.length} regions from ${basePort} on do not fit below ${portMax}`);
  const at = (server: string, offset: number): string =>
    withPort(mainHost(server) ?? '', base(server) + offset);
  const natsOf = (server: string): NatsPart => ({
    address: at(server, offsets.nats),
    ...(clustered && {
      routeAddress: at(server, offsets.natsRoute),
      routes: servers
        .filter((other) => other !== server)
        .map((other) => ({ region: other, address: at(other, offsets.natsRoute) })),
    }),
  });
  const endpointOf = (region: string): EndpointPart => ({
    address: at(region, offsets.endpoint),
    writer: at(region, offsets.writer),
    reader: at(region, offsets.reader),
    ...(postgresUsers !== undefined && {
      postgres: {
        writer: at(region, postgresEndpoints.writer),
        reader: at(region, postgresEndpoints.reader),
      },
    }),
  });
  const planned = regions.map((region): RegionPlan => {
    const nodes = zonesOf(region).flatMap((az, zone) =>
      Array.from({ length: nodesPerZone }, (_, index) => {
        const number = zone * nodesPerZone + index;
        const address = withPort(hostOf(request, az, region) ?? '', base(region) + offsets.node + number);
        return { node: `n${number + 1}`, az, address };
      }),
    );
    const own = Array.from({ length: gateways }, (_, index) => ({
      gateway: `g${index + 1}`,
      address: at(region, gatewayPortOffset(index)),
      ...request.gatewayKeys(`g${index + 1}`, region),
      ...(postgresUsers !== undefined && {
        engine: 'postgres',
        postgres: { listen: at(region, offsets.postgres + index), users: postgresUsers },
      }),
    }));
    const agent = { address: at(region, offsets.agent) };
    return {
      ...shared,
      dataDir: dataDirOf(region),
      region,
      nodes,
      agent,
      gateways: own,
      ...(endpoints && gateways > 0 && { endpoint: endpointOf(region) }),
      nats: natsOf(region),
    };
  });
  const alone = { ...shared, dataDir: dataDirOf(witness), witness, nats: natsOf(witness) };
  return { kind: 'planned', regions: planned, witness: servers.includes(witness) ? alone : undefined };
}
