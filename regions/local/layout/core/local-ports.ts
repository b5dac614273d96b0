/** The ports of a local deployment, all counted from its base port. The first belongs to no process. */
import { quorumLimits } from '../../../../storage/core.ts';
import { endpointOffsets } from '../../../deploy/core/deployment-plan.ts';
import { regionsMax } from '../../../membership/core/membership-rules.ts';
import { gatewayOffsets, localGatewaysMax } from './gateway-places.ts';

/** Of the nine that a storage node may have, and of every other process of a region. */
export const portsPerRegion = 20;
/** PostgreSQL clients have ports behind those of all regions, of the witness and of Jaeger. */
const postgresOffset = portsPerRegion * (regionsMax + 2);
/** Two of each region behind those. */
const postgresEndpointOffset = postgresOffset + localGatewaysMax * (regionsMax + 1);
/** One of each region behind those. */
const endpointOffset = postgresEndpointOffset + 2 * (regionsMax + 1);
export type RegionPorts = {
  readonly nodes: readonly number[];
  readonly agent: number;
  readonly nats: number;
  readonly natsRoute: number;
  /** As many as a region may have gateways, in their order. */
  readonly gateways: readonly number[];
  readonly writer: number;
  readonly reader: number;
  /** Where each gateway takes PostgreSQL clients, when they keep such databases. */
  readonly postgres: readonly number[];
  /** Where its endpoints take them. */
  readonly postgresWriter: number;
  readonly postgresReader: number;
  /** Where its endpoints tell how they are. */
  readonly endpoint: number;
};

/** Ports of the region with this index. */
export function portsOf(basePort: number, regionIndex: number): RegionPorts {
  const first = basePort + portsPerRegion * regionIndex;
  return {
    nodes: Array.from({ length: quorumLimits.copies }, (_, index) => first + 1 + index),
    agent: first + 10,
    nats: first + 12,
    natsRoute: first + 13,
    gateways: gatewayOffsets.map((offset) => first + offset),
    writer: first + endpointOffsets.writer,
    reader: first + endpointOffsets.reader,
    postgres: gatewayOffsets.map(
      (_, nth) => basePort + postgresOffset + localGatewaysMax * regionIndex + nth,
    ),
    postgresWriter: basePort + postgresEndpointOffset + 2 * regionIndex,
    postgresReader: basePort + postgresEndpointOffset + 2 * regionIndex + 1,
    endpoint: basePort + endpointOffset + regionIndex,
  };
}

/** Where the supervisor tells Prometheus what it knows: no process has this port. */
export const supervisorPort = (basePort: number): number => basePort;

/** Highest base port with which the last region's ports, and the witness's, still are ports. */
export const basePortMax = 65_535 - endpointOffset - (regionsMax + 1);
