/** Configuration of a gateway. Parsing: `storage/process/config.ts`. */
import { z } from 'zod';
import { gatewayStop } from '../../regions/core.ts';
import {
  advertiseSchema,
  engineKinds,
  natsSchema,
  refineNats,
  refineRegion,
  regionsSchema,
} from '../../regions/index.ts';
import {
  addressSchema,
  clusterSchema,
  identityFilesSchema,
  isOffLoopback,
  listenSchema,
  nodeSchema,
  nodesSchema,
  pgBytesSchema,
  refineIdentity,
  refineSecret,
  regionSchema,
  secretSchema,
  strictShape,
} from '../../storage/index.ts';
import { defaultLimits, type GatewayLimits } from '../hrana/core/protocol-limits.ts';
import { type DatabaseLimits, databaseLimitNames } from '../session/core/service-limits.ts';

/** What `insecure` may name. */
export const insecurities = ['no-auth', 'no-tls'] as const;

const limitNames = new Set([...Object.keys(defaultLimits), ...databaseLimitNames]);

/** Any of the protocol layer's bounds, and of databases, by name; those left out keep their defaults. */
const limitsSchema = z
  .record(z.string(), z.int().min(1, 'a whole number from 1'))
  .superRefine((limits, context) => {
    for (const key of Object.keys(limits)) {
      if (limitNames.has(key)) continue;
      const message = `unknown limit; allowed here: ${[...limitNames].join(', ')}`;
      context.addIssue({ code: 'custom', path: [key], message });
    }
    const { clientsMsMax } = gatewayStop;
    if ((limits.shutdownMs ?? 0) > clientsMsMax) {
      const message = `at most ${clientsMsMax}: whoever stops a gateway kills it some seconds later, before it has given the lease back`;
      context.addIssue({ code: 'custom', path: ['shutdownMs'], message });
    }
  })
  .transform((limits): Partial<GatewayLimits & DatabaseLimits> => limits);

/** How far the clocks of who issues tokens and of this machine may be apart, in milliseconds. */
const clockToleranceMs = { default: 5_000, max: 300_000 };

const authSchema = strictShape({
  /** Public key that client tokens (JWT) are verified with: PEM (SPKI; Ed25519 or P-256) or base64url of an Ed25519 key's 32 bytes. */
  jwtPublicKey: z.string().min(1, 'a public key').optional(),
  /** A JWKS file with more such keys. It is read again when it changes. */
  jwksFile: z.string().min(1, 'a file').optional(),
  /** Tokens have to be meant for this service (claim `aud`). */
  audience: z.string().min(1).optional(),
  /** Tokens have to be issued by this one (claim `iss`). */
  issuer: z.string().min(1).optional(),
  /** Whether tokens that never expire are refused. */
  expiry: z.enum(['required', 'optional']).default('required'),
  clockToleranceMs: z.int().min(0).max(clockToleranceMs.max).default(clockToleranceMs.default),
}).refine(
  ({ jwtPublicKey, jwksFile }) => jwtPublicKey !== undefined || jwksFile !== undefined,
  'jwtPublicKey, jwksFile or both are needed',
);

const tlsSchema = strictShape({
  /** The certificate, and after it those that lead to an authority which clients know, in PEM. */
  certFile: z.string().min(1, 'a file'),
  /** Its private key, in PEM. Both files are read again when they change. */
  keyFile: z.string().min(1, 'a file'),
});
export type TlsConfig = z.output<typeof tlsSchema>;

/** A user of PostgreSQL clients. */
const postgresUserSchema = strictShape({
  name: z.string().min(1).max(63),
  /** What `sextant postgres-verifier` makes of a password: nobody learns the password from it. */
  verifier: z
    .string()
    .regex(
      /^SCRAM-SHA-256\$\d{4,7}:[A-Za-z0-9+/]+=*\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/,
      'a verifier, as `sextant postgres-verifier` makes it',
    ),
  /** `read`: what the user sends can change nothing. */
  access: z.enum(['full', 'read']).default('full'),
});

const postgresSchema = strictShape({
  listen: listenSchema,
  /** Where others reach it, when that is not where it listens: `host:port`, for no proxy of HTTP speaks for it. */
  advertise: addressSchema.optional(),
  /** Who may connect, with a password. Without this key: whoever reaches it, which is for loopback only. */
  users: z.array(postgresUserSchema).min(1).max(1_024).optional(),
});

/** An origin as browsers write it. */
const originSchema = z
  .string()
  .regex(
    /^https?:\/\/(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?$/,
    'an origin in lower case without path, such as https://app.example',
  );

export const gatewayConfigSchema = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  gateway: nodeSchema,
  listen: listenSchema,
  /** Where others reach it, when that is not where it listens. */
  advertise: advertiseSchema.optional(),
  /** This region's agent. */
  agent: addressSchema,
  /** This region's storage nodes. */
  nodes: nodesSchema,
  nats: natsSchema,
  regions: regionsSchema,
  /** What keeps the databases, for good. Without this key: SQLite. */
  engine: z.enum(engineKinds).optional(),
  /** Where PostgreSQL clients connect, with `engine: postgres`. */
  postgres: postgresSchema.optional(),
  /** Span of a protection group of a volume that this gateway makes; one that is there has its own. */
  pgBytes: pgBytesSchema.optional(),
  auth: authSchema.optional(),
  /** What it proves itself with to storage nodes and NATS. */
  identity: identityFilesSchema.optional(),
  /** HTTPS and WSS instead of plain text. */
  tls: tlsSchema.optional(),
  /** Web pages that may use this gateway; others may not. */
  origins: z.array(originSchema).max(64).optional(),
  /** What is left out on purpose although other machines reach this gateway. */
  insecure: z.array(z.enum(insecurities)).optional(),
  /** Control socket of the supervisor that runs this process, where one does: drills are asked of it. */
  supervisor: z.string().min(1).optional(),
  /** Where what a transaction needs beyond memory lies while it runs; the system's folder for temporary files without this key. */
  temporaryFolder: z.string().min(1, 'a folder').optional(),
  /** Where a person looks at traces: the address of Jaeger's page, which consoles link to. */
  jaegerUrl: z.url({ protocol: /^https?$/ }).optional(),
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
  .superRefine(({ listen, insecure = [], auth, tls }, context) => {
    if (!isOffLoopback(listen)) return;
    const refuse = (path: string, word: (typeof insecurities)[number], danger: string) => {
      if (insecure.includes(word)) return;
      const message = `needed to listen on ${listen}, which other machines can reach: ${danger}; \`insecure: [${word}]\` does without`;
      context.addIssue({ code: 'custom', path: [path], message });
    };
    if (auth === undefined) refuse('auth', 'no-auth', 'anybody could read, write and move the primary');
    if (tls === undefined) refuse('tls', 'no-tls', 'tokens and SQL could be read on their way');
  })
  .superRefine(({ engine = 'sqlite', postgres, insecure = [], auth, tls }, context) => {
    const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (engine === 'postgres' && postgres === undefined)
      issue(['postgres'], 'needed with `engine: postgres`: where PostgreSQL clients connect (`listen`)');
    if (engine === 'sqlite' && postgres !== undefined)
      issue(['postgres'], 'only with `engine: postgres`: SQLite is not reached by PostgreSQL clients');
    if (postgres === undefined) return;
    if (auth !== undefined && postgres.users === undefined)
      issue(
        ['postgres', 'users'],
        'needed with `auth`: without users nobody gets in by a password where others show tokens',
      );
    if (!isOffLoopback(postgres.listen)) return;
    const on = `needed to listen on ${postgres.listen}, which other machines can reach`;
    if (auth === undefined && postgres.users === undefined && !insecure.includes('no-auth'))
      issue(
        ['postgres', 'users'],
        `${on}: anybody could read and write; \`insecure: [no-auth]\` does without`,
      );
    if (tls === undefined && !insecure.includes('no-tls'))
      issue(['tls'], `${on}: SQL could be read on its way; \`insecure: [no-tls]\` does without`);
  });

/** Configuration of one gateway. */
export type GatewayConfig = z.output<typeof gatewayConfigSchema>;
