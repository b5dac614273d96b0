/** What an endpoint is told, and how it reads its region's file. */
import { z } from 'zod';
import {
  addressSchema,
  clusterSchema,
  type Derivation,
  listenSchema,
  nodeSchema,
  originOf,
  type RegionPart,
  regionSchema,
  secretSchema,
  sharedConfig,
  strictShape,
} from '../../storage/index.ts';
import { agentName, type RegionFile, regionFileSchema } from '../deploy/region-file.ts';

export const endpointConfigSchema = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  writer: listenSchema,
  reader: listenSchema,
  /** The same two for PostgreSQL clients, where PostgreSQL keeps the databases. */
  postgres: strictShape({ writer: listenSchema, reader: listenSchema }).optional(),
  /** The gateways of this region, of which the others are heard. */
  gateways: z
    .array(strictShape({ gateway: nodeSchema, address: addressSchema, postgres: addressSchema.optional() }))
    .min(1, 'at least one gateway'),
  /** Whether clients' ports speak TLS. What passes here is not opened. */
  tls: z.boolean(),
  /** The authority of the deployment, which its gateways may be certified by. */
  caFile: z.string().optional(),
});
export type EndpointConfig = z.output<typeof endpointConfigSchema>;

export const endpointPart: RegionPart<RegionFile> = {
  schema: regionFileSchema,
  derive(region, file): Derivation {
    const { endpoint } = region;
    if (endpoint === undefined) {
      const message =
        'missing: where the endpoints of this region listen, `writer` and `reader`, each host:port';
      return { kind: 'invalid', problems: [{ path: ['endpoint'], message }] };
    }
    const common = sharedConfig(region, file, { role: 'agent', name: agentName });
    if (common.kind === 'invalid') return common;
    const { cluster, region: name } = region;
    const { identity, ...shared } = z
      .looseObject({ identity: z.object({ caFile: z.string() }).optional() })
      .parse(common.shared);
    const config = {
      ...shared,
      cluster,
      region: name,
      writer: endpoint.writer,
      reader: endpoint.reader,
      ...(endpoint.postgres !== undefined && { postgres: endpoint.postgres }),
      gateways: region.gateways.map(({ gateway, address, ...own }) => ({
        gateway,
        address,
        ...postgresOf(own),
      })),
      tls: region.certificatesDir !== undefined || region.gateways.some((gateway) => 'tls' in gateway),
      ...(identity !== undefined && { caFile: identity.caFile }),
    };
    return {
      kind: 'ok',
      config,
      origin: originOf([
        [['writer'], ['endpoint', 'writer']],
        [['reader'], ['endpoint', 'reader']],
        [['postgres'], ['endpoint', 'postgres']],
        [['caFile'], ['certificatesDir']],
      ]),
    };
  },
};

/** Where a gateway takes PostgreSQL clients, of keys that are its own: what else they may be is the gateway's to say. */
function postgresOf(own: Readonly<Record<string, unknown>>): { readonly postgres?: string } {
  const { data } = z.looseObject({ postgres: z.looseObject({ listen: z.string() }) }).safeParse(own);
  return data === undefined ? {} : { postgres: data.postgres.listen };
}
