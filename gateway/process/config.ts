/** Configuration of a gateway. Parsing: `storage/process/config.ts`. */
import { z } from 'zod';
import { natsSchema, refineNats, refineRegion, regionsSchema } from '../../regions/index.ts';
import {
  addressSchema,
  clusterSchema,
  identityFilesSchema,
  isOffLoopback,
  listenSchema,
  nodeSchema,
  nodesSchema,
  refineIdentity,
  refineSecret,
  regionSchema,
  secretSchema,
  strictShape,
} from '../../storage/index.ts';
import { defaultLimits, type GatewayLimits } from '../hrana/core/protocol-limits.ts';

const limitNames = new Set(Object.keys(defaultLimits));

/** Any of the protocol layer's bounds, by name; those left out keep their defaults. */
const limitsSchema = z
  .record(z.string(), z.int().min(1, 'a whole number from 1'))
  .superRefine((limits, context) => {
    for (const key of Object.keys(limits)) {
      if (limitNames.has(key)) continue;
      const message = `unknown limit; allowed here: ${[...limitNames].join(', ')}`;
      context.addIssue({ code: 'custom', path: [key], message });
    }
  })
  .transform((limits): Partial<GatewayLimits> => limits);

const authSchema = strictShape({
  /** Ed25519 public key that client tokens (JWT, EdDSA) are verified with: PEM (SPKI) or base64url of the 32 bytes. */
  jwtPublicKey: z.string().min(1, 'an Ed25519 public key'),
});

export const gatewayConfigSchema = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  gateway: nodeSchema,
  listen: listenSchema,
  /** This region's agent. */
  agent: addressSchema,
  /** This region's storage nodes. */
  nodes: nodesSchema,
  nats: natsSchema,
  regions: regionsSchema,
  auth: authSchema.optional(),
  /** What it proves itself with to storage nodes and NATS. */
  identity: identityFilesSchema.optional(),
  /** Control socket of the supervisor that runs this process, where one does: drills are asked of it. */
  supervisor: z.string().min(1).optional(),
  limits: limitsSchema.optional(),
})
  .superRefine(refineRegion)
  .superRefine(refineSecret)
  .superRefine(refineNats)
  .superRefine(({ identity, listen, agent, nodes, nats }, context) =>
    refineIdentity(
      identity,
      [listen, agent, ...nodes.map(({ address }) => address), ...nats.servers],
      context,
    ),
  )
  .superRefine((config, context) => {
    if (isOffLoopback(config.listen) && config.auth === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['auth', 'jwtPublicKey'],
        message: `needed to listen on ${config.listen}, which other machines can reach`,
      });
    }
  });

/** Configuration of one gateway. */
export type GatewayConfig = z.output<typeof gatewayConfigSchema>;
