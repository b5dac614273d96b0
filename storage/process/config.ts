/**
 * Configuration of a storage node, and the parsing that every Sextant process shares. A configuration is parsed once,
 * strictly: an unknown or missing key is an error that names the file, the key and what is allowed there. Two values may come
 * from the environment instead of the file, so that a file can be world-readable: `SEXTANT_SECRET` and `SEXTANT_NATS_TOKEN`.
 */
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { nodeId, regionId } from '../redo/ids.ts';

/** What `loadConfig` answers: the parsed value, or every problem found, each in one line, ready to print. */
export type ConfigResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'invalid'; readonly message: string; readonly problems: readonly string[] };

/** Host and port of an address such as `127.0.0.1:7001` or `[::1]:7001`. */
export type Address = { readonly host: string; readonly port: number };

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const addressPattern = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/;
const portMax = 65_535;
const mebibyte = 1024 * 1024;

/** Shortest cluster secret accepted once a process listens off loopback. */
export const secretLengthMin = 16;

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
  if (isOffLoopback(config.listen) && config.secret.length < secretLengthMin) {
    context.addIssue({
      code: 'custom',
      path: ['secret'],
      message: `at least ${secretLengthMin} characters are needed to listen on ${config.listen}, which other machines can reach`,
    });
  }
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
  /** Bytes of pages per protection group; the default is the storage node's own. */
  pgBytes: z
    .int()
    .min(mebibyte, 'at least 1048576 bytes (1 MiB)')
    .multipleOf(4096, 'a multiple of the page size, 4096')
    .optional(),
})
  .superRefine(refineSecret)
  .superRefine(({ identity, listen, peers }, context) =>
    refineIdentity(identity, [listen, ...peers.map(({ address }) => address)], context),
  );

/** Configuration of one storage node. `secret` and `address`es are already checked; nothing here needs parsing again. */
export type StorageConfig = z.output<typeof storageConfigSchema>;

/** Environment variables that stand in for a key which the file leaves out. A value in the file wins. */
const fromEnvironment: readonly { readonly variable: string; readonly path: readonly string[] }[] = [
  { variable: 'SEXTANT_SECRET', path: ['secret'] },
  { variable: 'SEXTANT_NATS_TOKEN', path: ['nats', 'token'] },
];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `value` with `fallback` at `path`, unless something stands there already or the objects on the way are missing. */
function withDefault(value: unknown, path: readonly string[], fallback: string): unknown {
  const [key, ...rest] = path;
  if (key === undefined || !isObject(value)) return value;
  if (rest.length === 0) return { ...value, [key]: value[key] ?? fallback };
  return key in value ? { ...value, [key]: withDefault(value[key], rest, fallback) } : value;
}

function describe(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type' && issue.input === undefined)
    return `missing; expected ${issue.expected}`;
  if (issue.code === 'invalid_type') return `expected ${issue.expected}`;
  return undefined;
}

/** A key that may be shown: in a damaged file a secret may stand where a key belongs. */
const shownKey = (key: string): string =>
  /^[A-Za-z][A-Za-z_-]{0,23}$/.test(key) ? key : `(not shown, ${key.length} characters)`;

function problemOf(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => [...path, shownKey(key)].join('.')).join(', ');
    return `unknown key ${keys}; ${issue.message}`;
  }
  const key = path.join('.');
  const hint = fromEnvironment.find((entry) => entry.path.join('.') === key);
  const missing = issue.message.startsWith('missing;');
  return `${key === '' ? 'the file' : key}: ${issue.message}${hint && missing ? ` (or set ${hint.variable})` : ''}`;
}

/**
 * Parses an already read configuration. `file` only names it in errors.
 * Only keys the schema knows are filled from the environment, so a storage node does not stumble over a NATS token.
 */
export function parseConfig<Schema extends z.ZodType>(
  value: unknown,
  file: string,
  schema: Schema,
  environment: NodeJS.ProcessEnv = process.env,
): ConfigResult<z.output<Schema>> {
  let filled = value;
  for (const { variable, path } of fromEnvironment) {
    const fallback = environment[variable];
    if (fallback !== undefined && fallback !== '') filled = withDefault(filled, path, fallback);
  }
  const parsed = schema.safeParse(filled, { error: describe });
  if (parsed.success) return { kind: 'ok', value: parsed.data };
  const problems = parsed.error.issues.map(problemOf);
  return { kind: 'invalid', problems, message: problems.map((problem) => `${file}: ${problem}`).join('\n') };
}

/**
 * Reads, parses and checks the YAML or JSON file `file`. Unreadable and malformed files are answers too, not exceptions. No
 * answer quotes what stands in the file.
 */
export function loadConfig<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
  environment: NodeJS.ProcessEnv = process.env,
): ConfigResult<z.output<Schema>> {
  const invalid = (problem: string) =>
    ({ kind: 'invalid', problems: [problem], message: `${file}: ${problem}` }) as const;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return invalid(`cannot be read (${error instanceof Error ? error.message : String(error)})`);
  }
  const read = readYaml(text);
  return 'problem' in read ? invalid(read.problem) : parseConfig(read.value, file, schema, environment);
}

/** The parser's own messages quote the line, and a configuration holds secrets: told is only what is wrong and where. */
function readYaml(text: string): { readonly value: unknown } | { readonly problem: string } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    const what = error.code.toLowerCase().replaceAll('_', ' ');
    return { problem: `is neither YAML nor JSON: ${what} in line ${line}, column ${col}` };
  }
  try {
    return { value: document.toJS() };
  } catch {
    return { problem: 'is neither YAML nor JSON: an alias in it leads nowhere, or to too much' };
  }
}
