/** Where the gateways of a deployment are, for clients that choose for themselves. */
import { z } from 'zod';
import type { ClusterStatus } from './cluster-view.ts';

const gatewaySchema = z.object({
  region: z.string(),
  gateway: z.string(),
  address: z.string().describe('host:port, or the origin of a proxy.'),
  ready: z.boolean(),
});

export const endpointsSchema = z.object({
  epoch: z.int(),
  primary: z.string().nullable(),
  writer: gatewaySchema.nullable().describe('The gateway that writes; null while none says so.'),
  gateways: z.array(gatewaySchema).describe('Every gateway that was heard within 3 s, by region and name.'),
});
export type Endpoints = z.output<typeof endpointsSchema>;

/** What a status says of gateways. */
export function endpointsIn({ epoch, primary, regions }: ClusterStatus): Endpoints {
  const all = regions.flatMap(({ name: region, gateways }) =>
    gateways.map(({ name: gateway, address, ready, phase }) => ({
      phase,
      place: { region, gateway, address, ready },
    })),
  );
  const writer = all.find(({ phase, place }) => phase === 'writing' && place.region === primary);
  return { epoch, primary, writer: writer?.place ?? null, gateways: all.map(({ place }) => place) };
}
