/** What the files of a deployment on machines of its own become when a region comes or goes. Pure: nothing is read or written. */
import { type DeploymentRequest, planDeployment, zonesOf } from './deployment-plan.ts';
import { natsTopology, votersToName } from './nats-topology.ts';
import { clashes, listenersOf, type NatsPart, type RegionShape, type ServerFile } from './region-rules.ts';
import type { RegionPlan, WitnessPlan } from './region-text.ts';

/** One of the files there are. */
export interface ExistingFile {
  readonly file: string;
  readonly server: ServerFile;
  /** Undefined for a server that only votes. */
  readonly region: RegionShape | undefined;
}

/** What changes in a file that stays: `regions` and `voters` always, its routes where they are given. */
export interface FileEdit {
  readonly file: string;
  readonly regions: readonly string[];
  readonly voters: readonly string[] | undefined;
  readonly routes?: NonNullable<NatsPart['routes']>;
}

export type AdditionPlan =
  | { readonly kind: 'planned'; readonly plan: RegionPlan; readonly edits: readonly FileEdit[] }
  | { readonly kind: 'refused'; readonly reason: string };

export type AdditionRequest = Omit<DeploymentRequest, 'cluster' | 'regions'> & { readonly region: string };

const refused = (reason: string) => ({ kind: 'refused', reason }) as const;
/** The files of a deployment agree (`config check`); the first speaks for all. */
const agreed = (files: readonly ExistingFile[]) => files[0]?.server;

const portsPerRegion = 20;
const regionsMax = 6;

/** The host and the port after it, where the route of a server is by `init`. */
const nextPort = (address: string): string =>
  address.replace(/:(\d+)$/, (_, port: string) => `:${Number(port) + 1}`);

/** The file of a region that comes, and what changes in the others. It dials every server there is: they need not know it. */
export function planAddition(files: readonly ExistingFile[], request: AdditionRequest): AdditionPlan {
  const first = agreed(files);
  if (first === undefined) return refused('there is no file of a deployment yet: `sextant init` makes them');
  const { region, basePort } = request;
  const { cluster, regions } = first;
  if (regions.includes(region))
    return refused(`${region} is one of the regions already: ${regions.join(', ')}`);
  if (regions.length >= regionsMax)
    return refused(`there are ${regionsMax} regions already, which is the most there may be`);
  const topology = natsTopology(regions, first.voters);
  const isOwn = first.nats.servers === undefined;
  if (isOwn && topology.servers.length === 1)
    return refused(
      `the control record lies on the one NATS server of ${regions.join()}, which no other can join while it runs: make a deployment of ` +
        'two or more regions, `sextant export` this one and `sextant import` it there',
    );
  const absent = topology.servers.filter((name) => !files.some(({ server }) => server.name === name));
  if (isOwn && absent.length > 0)
    return refused(
      `the file of ${absent.join(', ')} is needed, for the address that its NATS server takes routes at`,
    );
  const taken = files.flatMap(({ region: other, server }) =>
    other === undefined
      ? [server.nats.address, server.nats.routeAddress].flatMap((address) =>
          address === undefined ? [] : [{ address, path: ['nats'] }],
        )
      : listenersOf(other),
  );
  const allRegions = [...regions, region];
  const voters = isOwn ? votersToName(allRegions, topology.voters) : undefined;
  for (let base = basePort; ; base += portsPerRegion) {
    const alone = planDeployment({ ...request, cluster, regions: [region], basePort: base });
    if (alone.kind === 'refused') return alone;
    const [planned] = alone.regions;
    if (planned === undefined) return refused(`${region} could not be planned`);
    const routeAddress = nextPort(planned.nats.address ?? '');
    const routes = files.flatMap(({ server }) =>
      server.nats.routeAddress === undefined
        ? []
        : [{ region: server.name, address: server.nats.routeAddress }],
    );
    const nats = isOwn ? { address: planned.nats.address, routeAddress, routes } : first.nats;
    const plan = { ...planned, regions: allRegions, voters, nats };
    // Regions that share a machine have ports of their own there.
    if (clashes([...taken, ...listenersOf({ ...plan, name: region })]).length > 0) continue;
    return {
      kind: 'planned',
      plan,
      edits: files.map(({ file }) => ({ file, regions: allRegions, voters })),
    };
  }
}

export type RemovalPlan =
  | {
      readonly kind: 'planned';
      readonly edits: readonly FileEdit[];
      /** The file of the region that goes. */
      readonly file: string;
      /** What its machine, or `voteAt`, runs from now on: null where its server kept no copy of the control record. */
      readonly voter: WitnessPlan | null;
    }
  | { readonly kind: 'refused'; readonly reason: string };

export interface RemovalRequest {
  readonly region: string;
  /** Host that the vote of the region moves to; where it is by default. */
  readonly voteAt: string | undefined;
  readonly dataDir: string;
  readonly secrets: RegionPlan['secrets'];
  readonly certificatesDir: string | undefined;
}

/** The same port on another machine. */
const moved = (address: string | undefined, host: string | undefined): string | undefined =>
  address === undefined || host === undefined
    ? address
    : `${host.includes(':') ? `[${host}]` : host}:${address.slice(address.lastIndexOf(':') + 1)}`;

/** What changes in the other files when a region goes, and the file of the server that goes on voting for it (R57). */
export function planRemoval(files: readonly ExistingFile[], request: RemovalRequest): RemovalPlan {
  const first = agreed(files);
  const leaving = files.find(({ server, region }) => region !== undefined && server.name === request.region);
  if (first === undefined || leaving === undefined)
    return refused(
      `there is no file of a region ${request.region}; there are ${files.map(({ server }) => server.name).join(', ') || 'none'}`,
    );
  const { cluster } = first;
  const regions = first.regions.filter((name) => name !== request.region);
  if (regions.length === 0) return refused(`${request.region} is the only region`);
  const isOwn = first.nats.servers === undefined;
  const { voters: all } = natsTopology(first.regions, first.voters);
  const voters = isOwn ? votersToName(regions, all) : undefined;
  const { servers } = natsTopology(regions, voters);
  const votes = isOwn && servers.includes(request.region);
  if (!votes && request.voteAt !== undefined)
    return refused(`${request.region} keeps no copy of the control record, so that there is no vote to move`);
  const { nats } = leaving.server;
  const address = moved(nats.address, request.voteAt);
  const routeAddress = moved(nats.routeAddress, request.voteAt);
  const edits = files
    .filter((one) => one !== leaving)
    .map(({ file, server }): FileEdit => {
      const routes = (server.nats.routes ?? [])
        .filter(({ region }) => servers.includes(region))
        .map((route) =>
          route.region === request.region && route.proxied !== true && routeAddress !== undefined
            ? { ...route, address: routeAddress }
            : route,
        );
      return { file, regions, voters, ...(server.nats.routes !== undefined && { routes }) };
    });
  const { dataDir, secrets, certificatesDir } = request;
  const others = files.filter((one) => one !== leaving && servers.includes(one.server.name));
  const voter = {
    cluster,
    witness: request.region,
    regions,
    voters,
    dataDir,
    secrets,
    certificatesDir,
    nats: {
      address,
      routeAddress,
      routes: others.flatMap(({ server }) =>
        server.nats.routeAddress === undefined
          ? []
          : [{ region: server.name, address: server.nats.routeAddress }],
      ),
    },
  };
  return { kind: 'planned', edits, file: leaving.file, voter: votes ? voter : null };
}

/** Names under which hosts of a region are given. */
export const hostNamesOf = (region: string): readonly string[] => [region, ...zonesOf(region)];
