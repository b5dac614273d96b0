/** The files of a local deployment's regions, as `sextant init` would write them for this machine. */
import { resolve } from 'node:path';
import { voteOnly, witness } from '../../deploy/core/nats-topology.ts';
import type { NatsPart } from '../../deploy/core/region-rules.ts';
import type { RegionPlan, WitnessPlan } from '../../deploy/core/region-text.ts';
import { secretNames } from '../../deploy/write-files.ts';
import type { RouteEnds } from '../cables/route-proxy.ts';
import { certificatesDir, identityFilesOf } from '../secure/local-certificates.ts';
import { gatewayNamesIn } from './core/gateway-places.ts';
import {
  addressAt,
  controlSocket,
  type Deployment,
  hasEndpoint,
  isPostgres,
  nodePortOf,
  nodesOfRegion,
  portsIn,
  temporaryDir,
  topologyOf,
} from './local-layout.ts';

/** The six as they are once the replacement under way has ended well. */
function nodesAfter(deployment: Deployment, region: string): readonly string[] {
  const replacing = deployment.replacing?.[region];
  const names = nodesOfRegion(deployment, region);
  return replacing === undefined
    ? names
    : names.map((name) => (name === replacing.out ? replacing.in : name));
}

/** Availability zone of node `index` (from 0): two nodes in each of three. */
const azOf = (region: string, index: number): string => `${region}${'abc'[Math.floor(index / 2)] ?? ''}`;

/** A route as it is dialled this time. */
export type DialledRoute = { readonly ends: RouteEnds; readonly port: number };

function natsPlanOf(deployment: Deployment, server: string, dialled: readonly DialledRoute[]): NatsPart {
  if (deployment.nats !== null) {
    const { servers, replicas } = deployment.nats;
    return { servers, ...(replicas !== undefined && { replicas }) };
  }
  const ports = portsIn(deployment, server);
  const routes = dialled
    .filter(({ ends }) => ends.from === server)
    .map(({ ends, port }) => ({ region: ends.to, address: addressAt(port), proxied: true }));
  const clustered = topologyOf(deployment).servers.length > 1;
  return {
    address: addressAt(ports.nats),
    ...(clustered && { routeAddress: addressAt(ports.natsRoute), routes }),
  };
}

/** What a region's file says about secrets and certificates. */
const privacyOf = ({ secure }: Deployment, dataDir: string) => ({
  secrets: secretNames(secure === true),
  ...(secure === true && { certificatesDir: resolve(certificatesDir(dataDir)) }),
});

/** Clients are shown the certificate that other processes are shown. */
function clientTlsOf(dataDir: string, region: string, name: string) {
  const { certFile, keyFile } = identityFilesOf(dataDir, { region, role: 'gateway', name });
  return { certFile, keyFile };
}

/** The files of the regions, as `sextant init` would write them for this machine. `dialled` is where each route leads. */
export function regionPlans(
  deployment: Deployment,
  dataDir: string,
  dialled: readonly DialledRoute[],
  jaegerUrl?: string,
): readonly RegionPlan[] {
  const { cluster, regions, voters } = deployment;
  return regions.map((region, index) => {
    const ports = portsIn(deployment, region);
    return {
      cluster,
      region,
      regions,
      voters,
      dataDir: '.',
      ...privacyOf(deployment, dataDir),
      nodes: placed(deployment, region, nodesOfRegion(deployment, region)),
      ...(deployment.retention !== undefined && { retention: deployment.retention }),
      ...(index === 0 && deployment.backup !== undefined && { backup: deployment.backup }),
      agent: { address: addressAt(ports.agent) },
      gateways: gatewayNamesIn(deployment, region).map((gateway, nth) => ({
        gateway,
        address: addressAt(ports.gateways[nth] ?? 0),
        ...(isPostgres(deployment) && {
          engine: 'postgres',
          postgres: { listen: addressAt(ports.postgres[nth] ?? 0) },
        }),
        ...(deployment.secure === true && { tls: clientTlsOf(dataDir, region, gateway) }),
        supervisor: resolve(controlSocket(dataDir)),
        // Not the system's, which may be memory.
        temporaryFolder: temporaryDir(dataDir),
        ...(jaegerUrl !== undefined && { jaegerUrl }),
      })),
      ...(hasEndpoint(deployment, region) && {
        endpoint: {
          address: addressAt(ports.endpoint),
          writer: addressAt(ports.writer),
          reader: addressAt(ports.reader),
          ...(isPostgres(deployment) && {
            postgres: {
              writer: addressAt(ports.postgresWriter),
              reader: addressAt(ports.postgresReader),
            },
          }),
        },
      }),
      nats: natsPlanOf(deployment, region, dialled),
    };
  });
}

/** Nodes where they stand, by their names in order. */
const placed = (deployment: Deployment, region: string, names: readonly string[]): RegionPlan['nodes'] =>
  names.map((node, index) => ({
    node,
    az: azOf(region, index),
    address: addressAt(nodePortOf(deployment, region, node)),
  }));

/** The file that a node which joins `region` runs from; undefined while none does. */
export function joiningPlan(deployment: Deployment, plan: RegionPlan): RegionPlan | undefined {
  if (deployment.replacing?.[plan.region] === undefined) return undefined;
  return { ...plan, nodes: placed(deployment, plan.region, nodesAfter(deployment, plan.region)) };
}

/** Files of the servers that only vote. */
export function voterPlans(
  deployment: Deployment,
  dataDir: string,
  dialled: readonly DialledRoute[],
): readonly WitnessPlan[] {
  const { cluster, regions, voters, nats } = deployment;
  if (nats !== null) return [];
  return voteOnly(regions, voters).map((name) => ({
    cluster,
    witness: name,
    regions,
    voters,
    // One whose region has left keeps what it has where it was.
    dataDir: name === witness ? '.' : 'nats',
    ...privacyOf(deployment, dataDir),
    nats: natsPlanOf(deployment, name, dialled),
  }));
}
