/** What an endpoint is told, and how it reads its region's file. */
import { z } from 'zod';
import {
  addressSchema,
  clusterSchema,
  type Derivation,
  identityFilesSchema,
  listenSchema,
  nodeSchema,
  originOf,
  type RegionPart,
  refineIdentity,
  regionSchema,
  secretSchema,
  sharedConfig,
  strictShape,
} from '../../storage/index.ts';
import { agentName, endpointName, type RegionFile, regionFileSchema } from './region-file.ts';

const shape = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  writer: listenSchema,
  reader: listenSchema,
  /** The same two for PostgreSQL clients, where PostgreSQL keeps the databases. */
  postgres: strictShape({ writer: listenSchema, reader: listenSchema }).optional(),
  /** Where it tells how it is and what it counts; left out: nowhere. */
  listen: listenSchema.optional(),
  /** The gateways of this region, of which the others are heard. */
  gateways: z
    .array(strictShape({ gateway: nodeSchema, address: addressSchema, postgres: addressSchema.optional() }))
    .min(1, 'at least one gateway'),
  /** Whether clients' ports speak TLS. What passes here is not opened. */
  tls: z.boolean(),
  /** Its certificate for `listen`, and the authority that gateways may be certified by. */
  identity: identityFilesSchema.optional(),
});

export const endpointConfigSchema = shape.superRefine(({ identity, listen }, context) =>
  refineIdentity(identity, listen === undefined ? [] : [listen], context),
);
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
    // One that an older version deployed has no certificate of its own, and trusts whom the agent trusts.
    const own =
      endpoint.address === undefined
        ? ({ role: 'agent', name: agentName } as const)
        : ({ role: 'endpoint', name: endpointName } as const);
    const common = sharedConfig(region, file, own);
    if (common.kind === 'invalid') return common;
    const { cluster, region: name } = region;
    const config = {
      ...common.shared,
      cluster,
      region: name,
      writer: endpoint.writer,
      reader: endpoint.reader,
      ...(endpoint.postgres !== undefined && { postgres: endpoint.postgres }),
      ...(endpoint.address !== undefined && { listen: endpoint.address }),
      gateways: region.gateways.map(({ gateway, address, ...own }) => ({
        gateway,
        address,
        ...postgresOf(own),
      })),
      tls: region.certificatesDir !== undefined || region.gateways.some((gateway) => 'tls' in gateway),
    };
    return {
      kind: 'ok',
      config,
      origin: originOf([
        [['writer'], ['endpoint', 'writer']],
        [['reader'], ['endpoint', 'reader']],
        [['postgres'], ['endpoint', 'postgres']],
        [['listen'], ['endpoint', 'address']],
      ]),
    };
  },
};

/** Where a gateway takes PostgreSQL clients, of keys that are its own: what else they may be is the gateway's to say. */
function postgresOf(own: Readonly<Record<string, unknown>>): { readonly postgres?: string } {
  const { data } = z.looseObject({ postgres: z.looseObject({ listen: z.string() }) }).safeParse(own);
  return data === undefined ? {} : { postgres: data.postgres.listen };
}
