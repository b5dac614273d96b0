/** Configuration of an agent, and the parts of it that a gateway's configuration shares. Parsing: `storage/process/config.ts`. */
import { z } from 'zod';
import {
  addressSchema,
  clusterSchema,
  dataDirSchema,
  type IdentityFiles,
  identityFilesSchema,
  listenSchema,
  nodesSchema,
  refineIdentity,
  refineSecret,
  regionSchema,
  secretSchema,
  strictShape,
} from '../../storage/index.ts';
import { backupSchema } from '../backup/core/backup-config.ts';
import { regionsMax } from '../membership/core/membership-rules.ts';
import { retentionSchema } from '../retention/core/retention-limits.ts';

export const natsSchema = strictShape({
  /** Client URLs, own region's server first. */
  servers: z
    .array(z.string().regex(/^(nats|tls|ws|wss):\/\/\S+$/, 'a NATS URL, such as nats://127.0.0.1:7012'))
    .min(1, 'at least one NATS URL'),
  /** Left out where the servers know this process by its certificate. */
  token: z.string().min(1, 'the NATS token is not empty').optional(),
  /** Copies of the control record's bucket. Left out: one for a single region, three for more. */
  replicas: z.union([z.literal(1), z.literal(3), z.literal(5)], '1, 3 or 5').optional(),
});
export type NatsConfig = z.output<typeof natsSchema>;

/** Refuses a process that has nothing to show to NATS. */
export function refineNats(
  { identity, nats }: { readonly identity?: IdentityFiles | undefined; readonly nats: NatsConfig },
  context: z.RefinementCtx,
): void {
  if (identity !== undefined || nats.token !== undefined) return;
  const message = 'missing; needed by a process without `identity`';
  context.addIssue({ code: 'custom', path: ['nats', 'token'], message });
}

/** Every region of the deployment; the first is the primary of a new deployment. */
export const regionsSchema = z
  .array(regionSchema)
  .min(1, 'at least one region')
  .max(regionsMax, `at most ${regionsMax} regions`)
  .refine((regions) => new Set(regions).size === regions.length, 'every region is named once');

/** Refuses a process whose own region is not one of the deployment's. */
export function refineRegion(
  config: { region: string; regions: readonly string[] },
  context: z.RefinementCtx,
): void {
  if (!config.regions.includes(config.region)) {
    context.addIssue({ code: 'custom', path: ['region'], message: `one of ${config.regions.join(', ')}` });
  }
}

/**
 * Where others reach a gateway that listens elsewhere, behind a proxy or a NAT: `host:port`, or the origin of a proxy that speaks
 * TLS for it.
 */
export const advertiseSchema = z
  .string()
  .refine(
    (text) => addressSchema.safeParse(text).success || /^https?:\/\/[^/?#@\s]+$/.test(text),
    'host:port with a port from 1 to 65535 as others reach the gateway, or an origin such as https://db.example',
  );

export const agentConfigSchema = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  listen: listenSchema,
  dataDir: dataDirSchema,
  /** Where others reach this region's gateways. Only told to others: an agent connects to none. */
  gateways: z.array(advertiseSchema),
  /** This region's storage nodes. */
  nodes: nodesSchema,
  nats: natsSchema,
  regions: regionsSchema,
  /** How much of the log the nodes keep. */
  retention: retentionSchema.optional(),
  /** Where the region is backed up to; left out: nowhere. */
  backup: backupSchema.optional(),
  identity: identityFilesSchema.optional(),
})
  .superRefine(refineSecret)
  .superRefine(refineRegion)
  .superRefine(refineNats)
  .superRefine(({ identity, listen, nodes, nats }, context) =>
    refineIdentity(identity, [listen, ...nodes.map(({ address }) => address), ...nats.servers], context),
  );

/** Configuration of one region's agent. */
export type AgentConfig = z.output<typeof agentConfigSchema>;
