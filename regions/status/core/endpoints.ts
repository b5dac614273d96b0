/** Where the gateways of a deployment are, for clients that choose for themselves. */
import { z } from 'zod';
import type { ClusterStatus } from './cluster-status.ts';

const gatewaySchema = z.object({
  region: z.string(),
  gateway: z.string(),
  address: z.string().describe('host:port, or the origin of a proxy.'),
  postgres: z
    .string()
    .exactOptional()
    .describe('Where it takes PostgreSQL clients, host:port; left out where SQLite keeps the databases.'),
  ready: z.boolean(),
});

export const endpointsSchema = z.object({
  epoch: z.int(),
  primary: z.string().nullable(),
  writer: gatewaySchema
    .nullable()
    .describe(
      'The gateway that the control record names: it writes, or is about to. Null while it names none.',
    ),
  gateways: z.array(gatewaySchema).describe('Every gateway that was heard within 3 s, by region and name.'),
});
export type Endpoints = z.output<typeof endpointsSchema>;

/** What a status says of gateways. */
export function endpointsIn({ epoch, primary, holder, regions }: ClusterStatus): Endpoints {
  const gateways = regions.flatMap(({ name: region, gateways: here }) =>
    here.map(({ name: gateway, address, postgres, ready }) => ({
      region,
      gateway,
      address,
      ...(postgres !== undefined && { postgres }),
      ready,
    })),
  );
  const writer = gateways.find(({ region, gateway }) => `${region}/${gateway}` === holder);
  return { epoch, primary, writer: writer ?? null, gateways };
}
