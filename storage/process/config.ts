/**
 * Configuration of a storage node, and the schemas of the values that several processes share. Parsed once, strictly
 * (`config-file.ts`): an unknown or missing key is an error that names the file, the key and what is allowed there.
 */
import { z } from 'zod';
import { nodeId, regionId } from '../redo/ids.ts';

/** Host and port of an address such as `127.0.0.1:7001` or `[::1]:7001`. */
export type Address = { readonly host: string; readonly port: number };

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const addressPattern = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;
const portMax = 65_535;

/** Shortest cluster secret accepted once a process listens off loopback, and the fewest different characters in it. */
export const secretLengthMin = 16;
const secretVarietyMin = 8;

/** Host and port of `text`, or undefined when it is not `host:port`. IPv6 hosts stand in brackets and lose them here. */
export function parseAddress(text: string): Address | undefined {
  const match = addressPattern.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || !(port <= portMax) ? undefined : { host, port };
}

/** True when only this machine can reach `host`: `localhost`, 127.0.0.0/8 and `::1`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/** True when a `Host` header, with or without a port, names this machine by a name or address that only it can mean. */
export function isLoopbackHost(header: string): boolean {
  const name = header
    .replace(/:[0-9]*$/, '')
    .replace(/^\[|\]$/g, '')
    .toLowerCase();
  return isLoopback(name) || name.endsWith('.localhost');
}

/** True when a process that listens on `listen` can be reached from another machine. */
export function isOffLoopback(listen: string): boolean {
  const address = parseAddress(listen);
  return address !== undefined && !isLoopback(address.host);
}

/** An object schema that refuses unknown keys and answers with the keys it knows. */
export function strictShape<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const allowed = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? `allowed here: ${allowed}` : undefined),
  });
}

const name = (what: string) =>
  z.string().regex(namePattern, `${what} is 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit`);

/** Schemas of the values that several configuration files hold. */
export const clusterSchema = name('a cluster name');
export const regionSchema = name('a region name').transform(regionId);
export const nodeSchema = name('a node name').transform(nodeId);
export const azSchema = name('an availability zone');
export const secretSchema = z.string().min(1, 'the cluster secret is not empty');
export const dataDirSchema = z.string().min(1, 'a directory');

/** Where to listen; port 0 takes any free port. */
export const listenSchema = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, 'host:port, such as 127.0.0.1:7001 or [::1]:7001');

/** Where another process listens. */
export const addressSchema = z.string().refine((text) => {
  const address = parseAddress(text);
  return address !== undefined && address.port > 0;
}, 'host:port with a port from 1 to 65535, such as 127.0.0.1:7001');

/** One storage node as others reach it. */
export const nodeAddressSchema = strictShape({ node: nodeSchema, az: azSchema, address: addressSchema });
export type NodeAddress = z.output<typeof nodeAddressSchema>;

/** Six distinct nodes, or fewer in a test; the quorum is computed over those named. */
export const nodesSchema = z
  .array(nodeAddressSchema)
  .min(1, 'at least one storage node')
  .refine(
    (nodes) => new Set(nodes.map(({ node }) => node)).size === nodes.length,
    'every node is named once',
  );

/** Where a process finds what it proves itself with, in PEM. The files are read again when they change. */
export const identityFilesSchema = strictShape({
  /** The authorities of the cluster: one, or two while one replaces the other. */
  caFile: z.string().min(1, 'a file'),
  certFile: z.string().min(1, 'a file'),
  keyFile: z.string().min(1, 'a file'),
});
export type IdentityFiles = z.output<typeof identityFilesSchema>;

/** Host of `host:port` or a URL; undefined when it is neither, which is another check's to say. */
function hostOf(address: string): string | undefined {
  const host = URL.canParse(address) && address.includes('://') ? new URL(address).hostname : undefined;
  return host?.replace(/^\[|\]$/g, '') ?? parseAddress(address)?.host;
}

/**
 * Refuses to speak to other machines, or let them speak, without encryption (S60).
 * @param addresses what the process listens on and what it connects to, `host:port` or a URL.
 */
export function refineIdentity(
  identity: IdentityFiles | undefined,
  addresses: readonly string[],
  context: z.RefinementCtx,
): void {
  if (identity !== undefined) return;
  const away = addresses.find((address) => {
    const host = hostOf(address);
    return host !== undefined && !isLoopback(host);
  });
  if (away === undefined) return;
  context.addIssue({
    code: 'custom',
    path: ['identity'],
    message: `needed because ${away} is not on this machine: certificates are made by \`sextant certs\``,
  });
}

/** Refuses a weak cluster secret where other machines can reach the process. */
export function refineSecret(config: { listen: string; secret: string }, context: z.RefinementCtx): void {
  if (!isOffLoopback(config.listen)) return;
  const { length } = config.secret;
  const variety = new Set(config.secret).size;
  if (length >= secretLengthMin && variety >= secretVarietyMin) return;
  const needed = `at least ${secretLengthMin} characters, ${secretVarietyMin} of them different,`;
  const message = `${needed} are needed to listen on ${config.listen}, which other machines can reach`;
  context.addIssue({ code: 'custom', path: ['secret'], message });
}

export const storageConfigSchema = strictShape({
  cluster: clusterSchema,
  secret: secretSchema,
  region: regionSchema,
  node: nodeSchema,
  az: azSchema,
  listen: listenSchema,
  dataDir: dataDirSchema,
  /** The other nodes of the region; the node itself may stand among them. */
  peers: z.array(nodeAddressSchema),
  identity: identityFilesSchema.optional(),
})
  .superRefine(refineSecret)
  .superRefine(({ identity, listen, peers }, context) =>
    refineIdentity(identity, [listen, ...peers.map(({ address }) => address)], context),
  );

/** Configuration of one storage node. `secret` and `address`es are already checked; nothing here needs parsing again. */
export type StorageConfig = z.output<typeof storageConfigSchema>;
