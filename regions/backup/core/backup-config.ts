/** Where a region's backup goes, as an operator says it, and every bound of the backup with its unit. */
import { z } from 'zod';

const KiB = 1024;
const MiB = 1024 * KiB;

export const backupLimits = {
  /** Frames gathered into one log object, before compression. */
  objectBytes: 8 * MiB,
  /** A log object is cut after this long although it is small: what a store lacks at most, beside the time of an upload. */
  objectMs: 3_000,
  /** Frames asked of a storage node at once. */
  fetchBytes: MiB,
  /** How long a storage node may wait for news. */
  fetchWaitMs: 1_000,
  /** Pages in one object of an image set: 8 MiB before compression. */
  partPages: 2_048,
  /** Pages read for image sets, at most so many bytes a second. */
  imageBytesPerSecond: 32 * MiB,
  /** Less log than this never asks for a new image set, however small the database is. */
  setLogBytesMin: 16 * MiB,
  /** A new image set after this long, when anything has changed since the last. */
  setEveryMs: 24 * 3_600_000,
  /** The manifest is written anew after this long although nothing has changed: it says how old it is. */
  restateMs: 60_000,
  /** Wait while there is nothing to do. */
  idleMs: 1_000,
  /** Wait after an upload that failed: the first, and the longest. */
  retryMs: 500,
  retryMsMax: 15_000,
  /** Behind by more than this, the region's agent says so as trouble. */
  lateMs: 60_000,
  keepDaysDefault: 30,
  keepDaysMax: 3_650,
  /** Of one request to an S3 server, the transfer of an object included. */
  requestMs: 60_000,
} as const;

/** Tests draw them small. */
export type BackupLimits = { readonly [K in keyof typeof backupLimits]: number };

const bucketText = 'a bucket: 3 to 63 of a-z, 0-9, . and -';
const prefixText = 'names of letters, digits, . _ and -, with / between them';
const endpointText = 'http:// or https:// and a host, without user, password or path';

const isEndpoint = (text: string): boolean => {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return false;
  const { username, password, pathname, search } = new URL(text);
  return username === '' && password === '' && pathname === '/' && search === '';
};

const s3Schema = z.strictObject({
  /** Left out: AWS. */
  endpoint: z.string().refine(isEndpoint, endpointText).optional(),
  region: z
    .string()
    .regex(/^[a-z0-9-]+$/, 'a region of the store, such as eu-west-1')
    .default('us-east-1'),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, bucketText),
  prefix: z
    .string()
    .regex(/^[\w.-]+(\/[\w.-]+)*$/, prefixText)
    .optional(),
  /** Left out: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. */
  credentialsFile: z.string().min(1, 'the name of a file').optional(),
  /** The bucket is the first part of the path, not of the host. Left out: with an endpoint yes, on AWS no. */
  pathStyle: z.boolean().optional(),
});
export type S3Place = z.output<typeof s3Schema>;

const keepText = `whole days, 1 to ${backupLimits.keepDaysMax}`;

/** `backup` of a region's file and of an agent's configuration. */
export const backupSchema = z
  .strictObject({
    directory: z.string().min(1, 'the name of a directory').optional(),
    s3: s3Schema.optional(),
    keepDays: z
      .int(keepText)
      .min(1, keepText)
      .max(backupLimits.keepDaysMax, keepText)
      .default(backupLimits.keepDaysDefault),
  })
  .refine(
    ({ directory, s3 }) => (directory === undefined) !== (s3 === undefined),
    'either `directory` or `s3`',
  );
export type BackupConfig = z.output<typeof backupSchema>;

/** A store, without anything secret: for people. */
export function describePlace({ directory, s3 }: Pick<BackupConfig, 'directory' | 's3'>): string {
  if (s3 === undefined) return directory ?? '';
  const { bucket, prefix, endpoint } = s3;
  return `s3://${bucket}${prefix === undefined ? '' : `/${prefix}`}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
}

export type PlaceParsed =
  | { readonly kind: 'place'; readonly place: BackupConfig }
  | { readonly kind: 'bad'; readonly reason: string };

/** What beside the bucket a command is told of an S3 server. */
export type S3Options = Partial<Pick<S3Place, 'endpoint' | 'region' | 'credentialsFile' | 'pathStyle'>>;

/** `DIR` or `s3://bucket/prefix`, as commands take it. */
export function parsePlace(text: string, options: S3Options = {}): PlaceParsed {
  const found = /^s3:\/\/([^/]+)(?:\/(.*?))?\/*$/.exec(text);
  const [, bucket, prefix] = found ?? [];
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const s3 = { bucket, ...(prefix !== undefined && prefix !== '' && { prefix }), ...given };
  const parsed = backupSchema.safeParse(found === null ? { directory: text } : { s3 });
  if (parsed.success) return { kind: 'place', place: parsed.data };
  const [issue] = parsed.error.issues;
  return { kind: 'bad', reason: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a store'}` };
}
