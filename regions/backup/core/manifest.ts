/**
 * The manifest of a backup: the path that it follows, how far the log is in the store, and which image sets are whole. It is the
 * last thing that is written of anything, so that what it names is there.
 */
import { z } from 'zod';
import { type Epoch, epoch, forkSchema, type Lsn, lsn } from '../../../storage/core.ts';

const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(1).max(0xffff_ffff).transform(epoch);

/** An image set: its parts are pages as of places from `from` to `to`; the log above `from` makes them one image at any place from `to` on. */
const setSchema = z.strictObject({
  id: z.string().regex(/^[0-9a-z-]+$/),
  head: epochSchema,
  from: lsnSchema,
  to: lsnSchema,
  /** Time of the newest commit that it was known to hold, Unix microseconds; null when none was known. */
  commitUs: z.number().nullable(),
  parts: z.int().min(1),
  pages: z.int().min(1),
  /** In the store. */
  bytes: z.int().min(0),
});
export type ImageSet = z.output<typeof setSchema>;

/** A set that is being uploaded: what a restart goes on with. */
const fillingSchema = setSchema.extend({
  parts: z.int().min(0),
  pages: z.int().min(0),
  nextPage: z.int().min(1),
  /** The last page that is wanted: how many the database had when the set was begun. */
  lastPage: z.int().min(1),
});
export type Filling = z.output<typeof fillingSchema>;

const gapSchema = z.strictObject({ from: lsnSchema, to: lsnSchema });
/** A stretch of the log that no longer could be had: nothing can be restored to a place in it. */
export type Gap = z.output<typeof gapSchema>;

const manifestSchema = z.strictObject({
  /** Made when the backup was begun: tells it from every other. */
  id: z.string(),
  /** Made of the cluster's name and secret: tells deployments of one name apart. */
  owner: z.string(),
  cluster: z.string(),
  region: z.string(),
  /** Of the deployment, the first primary first. */
  regions: z.array(z.string()).min(1),
  generation: z.int().min(1),
  /** By the clock of the agent that wrote it, Unix microseconds. For people. */
  writtenUs: z.number(),
  head: epochSchema,
  /** Every fork that the region was seen to follow: what was uploaded under an older head counts up to where its path parts. */
  forks: z.array(forkSchema),
  /** The log is in the store up to here, along the path to `head`. */
  through: lsnSchema,
  /** Time of the newest commit at or below it, Unix microseconds; null before there was one. */
  throughUs: z.number().nullable(),
  gaps: z.array(gapSchema),
  /** In the order in which they were made. */
  sets: z.array(setSchema),
  filling: fillingSchema.nullable(),
});
type Given<T> = T extends readonly (infer E)[] ? readonly Given<E>[] : T;
export type Manifest = {
  readonly [K in keyof z.output<typeof manifestSchema>]: Given<z.output<typeof manifestSchema>[K]>;
};

/** A place in a history. */
export interface Place {
  readonly head: Epoch;
  readonly lsn: Lsn;
}

const envelopeSchema = z.strictObject({
  format: z.literal('sextant-backup'),
  version: z.int(),
  bytes: z.int(),
  crc32: z.int(),
});
export const backupVersion = 1;

/** A manifest as it lies in the store: one line of envelope, then the body. @param crcOf CRC-32. */
export function encodeManifest(manifest: Manifest, crcOf: (bytes: Uint8Array) => number): Uint8Array {
  const body = new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`);
  const envelope = {
    format: 'sextant-backup',
    version: backupVersion,
    bytes: body.length,
    crc32: crcOf(body),
  };
  const head = new TextEncoder().encode(`${JSON.stringify(envelope)}\n`);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

export type ManifestRead =
  | { readonly kind: 'manifest'; readonly manifest: Manifest }
  | { readonly kind: 'bad'; readonly reason: string };

export function decodeManifest(bytes: Uint8Array, crcOf: (bytes: Uint8Array) => number): ManifestRead {
  const bad = (reason: string): ManifestRead => ({ kind: 'bad', reason });
  const end = bytes.indexOf(0x0a);
  const head = envelopeSchema.safeParse(json(bytes.subarray(0, Math.max(0, end))));
  if (!head.success) return bad('it does not begin as the manifest of a backup');
  const { version, bytes: length, crc32 } = head.data;
  if (version !== backupVersion)
    return bad(`it is of version ${version}, this program reads ${backupVersion}`);
  const body = bytes.subarray(end + 1);
  if (body.length !== length) return bad(`it is cut short: ${body.length} of ${length} bytes`);
  if (crcOf(body) !== crc32) return bad('it does not match its checksum');
  const parsed = manifestSchema.safeParse(json(body));
  return parsed.success
    ? { kind: 'manifest', manifest: parsed.data }
    : bad(z.prettifyError(parsed.error).split('\n')[0] ?? 'it has another shape');
}

function json(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}
