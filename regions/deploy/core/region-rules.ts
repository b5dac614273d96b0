/**
 * What has to hold in a region's file beyond the shape of each key, and between the files of one deployment. Every rule says
 * where it is broken, so that the answer can point at the line.
 */
import { natsTopology } from './nats-topology.ts';

/** Keys and positions that lead to a value of the file. */
type Path = readonly (string | number)[];

/** A rule that is broken, and where. */
export interface Broken {
  readonly path: Path;
  readonly message: string;
}

export interface NatsRoute {
  readonly region: string;
  readonly address: string;
  readonly proxied?: boolean | undefined;
}

/** What the file says about NATS: a server of the region's own, or the servers of somebody else. */
export interface NatsPart {
  readonly address?: string | undefined;
  readonly routeAddress?: string | undefined;
  readonly routes?: readonly NatsRoute[] | undefined;
  readonly servers?: readonly string[] | undefined;
  readonly replicas?: 1 | 3 | 5 | undefined;
}

/** A server's part of its file; `name` is the region, or the witness. */
export interface ServerFile {
  readonly name: string;
  readonly cluster: string;
  readonly regions: readonly string[];
  /** Which servers keep the control record, where that does not follow from `regions`. */
  readonly voters?: readonly string[] | undefined;
  readonly nats: NatsPart;
}

/** Where the endpoints of a region listen. */
export interface EndpointPart {
  /** Where it tells how it is. */
  readonly address?: string | undefined;
  readonly writer: string;
  readonly reader: string;
  /** The same two for PostgreSQL clients. */
  readonly postgres?: { readonly writer: string; readonly reader: string } | undefined;
}

/** A region as far as rules ask. */
export interface RegionShape extends ServerFile {
  readonly nodes: readonly { readonly address: string }[];
  readonly agent: { readonly address: string };
  readonly gateways: readonly {
    readonly gateway: string;
    readonly address: string;
    /** Keys of the gateway's own. */
    readonly [key: string]: unknown;
  }[];
  readonly endpoint?: EndpointPart | undefined;
}

/** Where something listens, by what of the file. */
export interface Listener {
  readonly address: string;
  readonly path: Path;
}

const natsListeners = ({ nats }: ServerFile): readonly Listener[] =>
  (['address', 'routeAddress'] as const).flatMap((key) => {
    const address = nats[key];
    return address === undefined ? [] : [{ address, path: ['nats', key] }];
  });

const endpointListeners = ({ endpoint }: RegionShape): readonly Listener[] => {
  const parts = [
    { part: endpoint, path: ['endpoint'] },
    { part: endpoint?.postgres, path: ['endpoint', 'postgres'] },
  ];
  const led = parts.flatMap(({ part, path }) =>
    part === undefined
      ? []
      : (['writer', 'reader'] as const).map((key) => ({ address: part[key], path: [...path, key] })),
  );
  const own = endpoint?.address;
  return own === undefined ? led : [{ address: own, path: ['endpoint', 'address'] }, ...led];
};

/** Where the endpoints of regions take clients, whatever their protocol. */
export const endpointAddresses = (
  regions: readonly { readonly endpoint?: EndpointPart | undefined }[],
): readonly string[] =>
  regions.flatMap(({ endpoint }) =>
    [endpoint, endpoint?.postgres].flatMap((part) => (part === undefined ? [] : [part.writer, part.reader])),
  );

/** Where a gateway takes PostgreSQL clients, of a key of its own, as far as it is there: what it may be is the gateway's to say. */
export function postgresListeners(
  { postgres }: RegionShape['gateways'][number],
  index: number,
): readonly Listener[] {
  const listen =
    typeof postgres === 'object' && postgres !== null && 'listen' in postgres ? postgres.listen : undefined;
  return typeof listen === 'string'
    ? [{ address: listen, path: ['gateways', index, 'postgres', 'listen'] }]
    : [];
}

/** Everything of a region that listens. */
export const listenersOf = (region: RegionShape): readonly Listener[] => [
  ...region.nodes.map(({ address }, index) => ({ address, path: ['nodes', index, 'address'] })),
  { address: region.agent.address, path: ['agent', 'address'] },
  ...region.gateways.map(({ address }, index) => ({ address, path: ['gateways', index, 'address'] })),
  ...region.gateways.flatMap(postgresListeners),
  ...endpointListeners(region),
  ...natsListeners(region),
];

/** One name for one address of this machine. */
const sameHost = (address: string): string =>
  address.toLowerCase().replace(/^(localhost|\[::1\]):/, '127.0.0.1:');

const showPath = (path: Path): string => path.join('.');

/** Two processes cannot listen at one address. */
export function clashes(listeners: readonly Listener[]): readonly Broken[] {
  const first = new Map<string, Listener>();
  return listeners.flatMap((listener) => {
    const key = sameHost(listener.address);
    const other = first.get(key);
    if (other !== undefined)
      return [
        { path: listener.path, message: `${listener.address} is taken by ${showPath(other.path)} already` },
      ];
    first.set(key, listener);
    return [];
  });
}

/** The rules of `nats` in one file. */
export function natsRules({ name, regions, voters, nats }: ServerFile): readonly Broken[] {
  const { servers } = natsTopology(regions, voters);
  const others = servers.filter((server) => server !== name);
  if (nats.servers !== undefined) {
    const own = (['address', 'routeAddress', 'routes'] as const).filter((key) => nats[key] !== undefined);
    return own.map((key) => ({
      path: ['nats', key],
      message:
        'either a server of its own (address, routeAddress, routes) or `servers` that run elsewhere, not both',
    }));
  }
  const miscounted = voters !== undefined && voters.length !== 1 && voters.length !== 3;
  if (miscounted || new Set(voters).size !== (voters?.length ?? 0))
    return [{ path: ['voters'], message: 'one server or three, each named once' }];
  if (nats.address === undefined) {
    const message =
      "address is missing: where this region's NATS server takes clients; or name `servers` that run elsewhere";
    return [{ path: ['nats'], message }];
  }
  const broken: Broken[] = [];
  const issue = (path: Path, message: string) => broken.push({ path: ['nats', ...path], message });
  const routes = nats.routes ?? [];
  if (nats.replicas !== undefined)
    issue(['replicas'], 'follows from `regions` for servers of its own: leave it out');
  if (others.length > 0 && nats.routeAddress === undefined)
    issue([], `routeAddress is missing: where this server takes routes of ${others.join(', ')}`);
  if (others.length > 0 && routes.length === 0)
    issue([], `routes are missing: the servers of ${others.join(', ')}`);
  for (const [index, { region }] of routes.entries()) {
    if (!others.includes(region)) issue(['routes', index, 'region'], `one of ${others.join(', ') || 'none'}`);
    if (routes.findIndex((route) => route.region === region) < index)
      issue(['routes', index, 'region'], `a route to ${region} is here already`);
  }
  return broken;
}

/** Keys of a gateway that stand once for all processes of the region, at the top of the file. */
const sharedKeys = ['cluster', 'secret', 'region', 'listen', 'agent', 'nodes', 'nats', 'regions', 'identity'];

/** The rules of one region's file. */
export function regionRules(region: RegionShape): readonly Broken[] {
  const { name, regions, gateways } = region;
  const own: Broken[] = regions.includes(name)
    ? []
    : [{ path: ['region'], message: `one of ${regions.join(', ')}, as regions says` }];
  const named = gateways.flatMap((gateway, index) => [
    ...(gateways.findIndex((other) => other.gateway === gateway.gateway) < index
      ? [{ path: ['gateways', index, 'gateway'], message: `${gateway.gateway} is named twice` }]
      : []),
    ...Object.keys(gateway)
      .filter((key) => sharedKeys.includes(key))
      .map((key) => ({
        path: ['gateways', index, key],
        message: 'stands once for the region, at the top of this file',
      })),
  ]);
  const isPostgres = gateways.some((gateway, index) => postgresListeners(gateway, index).length > 0);
  if (region.endpoint?.postgres !== undefined && gateways.length > 0 && !isPostgres)
    own.push({
      path: ['endpoint', 'postgres'],
      message:
        'leads to where the gateways of this region take PostgreSQL clients (`postgres.listen`), and none does',
    });
  if (region.endpoint !== undefined && gateways.length === 0)
    own.push({ path: ['endpoint'], message: 'leads to the gateways of this region, and there are none' });
  return [...own, ...named, ...clashes(listenersOf(region)), ...natsRules(region)];
}

/** One of the files of a deployment. */
export interface DeploymentFile {
  readonly file: string;
  readonly server: ServerFile;
  readonly listeners: readonly Listener[];
}

export interface BrokenAcross extends Broken {
  readonly file: string;
}

/** The rules between the files of one deployment. */
export function deploymentRules(files: readonly DeploymentFile[]): readonly BrokenAcross[] {
  const [first, ...rest] = files;
  if (first === undefined) return [];
  const broken: BrokenAcross[] = [];
  const nameKey = ({ server }: DeploymentFile) =>
    server.regions.includes(server.name) ? 'region' : 'witness';
  const votersOf = ({ server }: DeploymentFile) =>
    natsTopology(server.regions, server.voters).voters.join(', ');
  for (const other of rest) {
    const issue = (path: Path, message: string) => broken.push({ file: other.file, path, message });
    if (other.server.cluster !== first.server.cluster)
      issue(
        ['cluster'],
        `is ${first.server.cluster} in ${first.file}: all files of a deployment name one cluster`,
      );
    if (other.server.regions.join() !== first.server.regions.join())
      issue(
        ['regions'],
        `is ${first.server.regions.join(', ')} in ${first.file}: all files name the same, in one order`,
      );
  }
  for (const other of rest)
    if (votersOf(other) !== votersOf(first))
      broken.push({
        file: other.file,
        path: other.server.voters === undefined ? ['regions'] : ['voters'],
        message: `the control record is kept by ${votersOf(other)}, and by ${votersOf(first)} according to ${first.file}`,
      });
  for (const [index, { file, server }] of files.entries()) {
    const earlier = files.findIndex((other) => other.server.name === server.name);
    if (earlier < index)
      broken.push({
        file,
        path: [nameKey(files[index] ?? first)],
        message: `${server.name} is in ${files[earlier]?.file} already`,
      });
  }
  return [...broken, ...clashesAcross(files), ...routeRules(files)];
}

function clashesAcross(files: readonly DeploymentFile[]): readonly BrokenAcross[] {
  return files.flatMap(({ file, listeners }, index) =>
    files.slice(0, index).flatMap((earlier) =>
      listeners.flatMap(({ address, path }) => {
        const other = earlier.listeners.find((listener) => sameHost(listener.address) === sameHost(address));
        const message = `${address} is taken by ${showPath(other?.path ?? [])} of ${earlier.file} already`;
        return other === undefined ? [] : [{ file, path, message }];
      }),
    ),
  );
}

/** Routes lead where the other file says, and of each two servers at least one dials the other. */
function routeRules(files: readonly DeploymentFile[]): readonly BrokenAcross[] {
  const own = files.filter(({ server }) => server.nats.servers === undefined);
  const to = (from: DeploymentFile, name: string) =>
    (from.server.nats.routes ?? []).findIndex(({ region }) => region === name);
  return own.flatMap((from, index) => {
    const wrong = own.flatMap(({ file, server }) => {
      const at = to(from, server.name);
      const route = from.server.nats.routes?.[at];
      const target = server.nats.routeAddress;
      if (route === undefined || route.proxied === true || route.address === target) return [];
      const message = `${server.name} takes routes at ${target} (${file}); \`proxied: true\` says that a proxy is meant`;
      return [{ file: from.file, path: ['nats', 'routes', at, 'address'], message }];
    });
    const missing = own.slice(0, index).flatMap((other) => {
      if (to(from, other.server.name) >= 0 || to(other, from.server.name) >= 0) return [];
      const message = `no route to ${other.server.name}, and none there to ${from.server.name} (${other.file})`;
      return [{ file: from.file, path: ['nats', 'routes'], message }];
    });
    return [...wrong, ...missing];
  });
}
