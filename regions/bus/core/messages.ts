/**
 * What regions say to one another over NATS, version 1: the subjects, and the two messages of shipping. Core NATS
 * loses messages; the LSNs in every message let either side notice and resume.
 *
 * Shipped message: `headerLength u32 | header (JSON) | frames, zstd-compressed when the header says so`.
 */
import { z } from 'zod';
import {
  type BranchName,
  type Epoch,
  epoch,
  type Floor,
  type Fork,
  floorSchema,
  forkSchema,
  genesisEpoch,
  type Lsn,
  lsn,
  mainBranch,
  type PageNo,
  pageNo,
  type RegionId,
  regionId,
  viewOf,
} from '../../../storage/core.ts';

/** NATS subjects of one cluster. */
export function subjectsOf(cluster: string) {
  const prefix = `sextant.${cluster}`;
  return {
    /** Redo for one secondary. */
    ship: (to: RegionId) => `${prefix}.ship.${to}`,
    /** Wishes of a region for redo that this one has. */
    pull: (from: RegionId) => `${prefix}.pull.${from}`,
    /** Acknowledgements to the region that ships. */
    ack: (to: RegionId) => `${prefix}.ack.${to}`,
    /** A region's state of affairs, published by its agent. */
    report: (from: RegionId) => `${prefix}.report.${from}`,
    allReports: `${prefix}.report.*`,
    /** Requests to a region's agent: moves, operations, losses. */
    agent: (to: RegionId) => `${prefix}.agent.${to}`,
    /** Requests to a region's agent to seal its nodes. */
    fence: (to: RegionId) => `${prefix}.fence.${to}`,
    /** Statements for the writer in a region. */
    sql: (to: RegionId) => `${prefix}.sql.${to}`,
    /** Cancel requests of PostgreSQL clients that met a gateway of this region which does not know them, for all gateways. */
    cancel: (from: RegionId) => `${prefix}.cancel.${from}`,
    allCancels: `${prefix}.cancel.*`,
  } as const;
}

/** Redo on its way to a secondary; a heartbeat when it carries no frames. */
export interface Shipped {
  /** Whose path it is. */
  readonly from: RegionId;
  /** Who ships, where it is not that region: a survivor that lends what it has. Acknowledgements go there. */
  readonly via?: RegionId;
  readonly head: Epoch;
  /** The path to `head`. */
  readonly forks: readonly Fork[];
  /** The frames cover the path from here to `next`. */
  readonly start: Lsn;
  readonly next: Lsn;
  /** The primary's VDL. */
  readonly vdl: Lsn;
  /** The primary's wall clock when this left, microseconds. */
  readonly sentAtUs: number;
  /** The last acknowledgement's own clock and when it arrived here: what a clock offset is computed from. */
  readonly echo: ClockEcho | null;
  readonly frames: Uint8Array;
}

/**
 * Pages for a secondary that stands below the log of all nodes of its primary: they become the images of its nodes, at or above
 * `floor`. Without pages it only asks how far the secondary is.
 */
export interface ShippedImages {
  readonly from: RegionId;
  readonly head: Epoch;
  /** The path to `head`. */
  readonly forks: readonly Fork[];
  /** From here on the primary has its log: a secondary that is complete there needs no images. */
  readonly floor: Floor;
  /** The pages are as of this place. */
  readonly at: Floor;
  readonly fromPage: PageNo;
  /** Where the next ones begin; null when these are the last. */
  readonly next: PageNo | null;
  readonly pages: readonly PageNo[];
  /** About so many pages there are in all. */
  readonly total: number;
  /** The pages back to back. */
  readonly bytes: Uint8Array;
}

/** How far a secondary is with its images: what four of its nodes have flushed. */
export interface ImagesAck {
  readonly region: RegionId;
  readonly head: Epoch;
  /** Where to go on; null when four of its nodes have all. */
  readonly next: PageNo | null;
  readonly pages: number;
  /** The lowest place its pages are as of, from where on it needs the log; null without any. */
  readonly low: Lsn | null;
}

export interface ClockEcho {
  /** Secondary's clock when it sent the acknowledgement. */
  readonly ackSentAtUs: number;
  /** Primary's clock when it arrived. */
  readonly ackReceivedAtUs: number;
}

/** How far a secondary is. `received` may run ahead of `vcl`, which runs ahead of `vdl`. */
export interface ShipAck {
  readonly region: RegionId;
  readonly head: Epoch;
  /** Frames up to here have arrived; the next expected message starts here. */
  readonly received: Lsn;
  readonly vcl: Lsn;
  readonly vdl: Lsn;
  /** True when something is missing before the last message: send again from `received`. */
  readonly gap: boolean;
  readonly ackSentAtUs: number;
}

/** How the JSON of whatever is about images begins. */
const imagesMark = '{"v":1,"kind":"images"';

const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(0).transform(epoch);
const regionSchema = z.string().transform(regionId);

const shippedSchema = z.object({
  v: z.literal(1),
  from: regionSchema,
  via: regionSchema.exactOptional(),
  head: epochSchema,
  forks: z.array(forkSchema),
  start: lsnSchema,
  next: lsnSchema,
  vdl: lsnSchema,
  sentAtUs: z.number(),
  echo: z.object({ ackSentAtUs: z.number(), ackReceivedAtUs: z.number() }).nullable(),
  compressed: z.boolean(),
});

const ackSchema = z.object({
  v: z.literal(1),
  region: regionSchema,
  head: epochSchema,
  received: lsnSchema,
  vcl: lsnSchema,
  vdl: lsnSchema,
  gap: z.boolean(),
  ackSentAtUs: z.number(),
});

const pageSchema = z.int().min(1).transform(pageNo);

const imagesSchema = z.object({
  v: z.literal(1),
  kind: z.literal('images'),
  from: regionSchema,
  head: epochSchema,
  forks: z.array(forkSchema),
  floor: floorSchema,
  at: floorSchema,
  fromPage: pageSchema,
  next: pageSchema.nullable(),
  pages: z.array(pageSchema),
  total: z.int().min(0),
  compressed: z.boolean(),
});

const imagesAckSchema = z.object({
  v: z.literal(1),
  kind: z.literal('images'),
  region: regionSchema,
  head: epochSchema,
  next: pageSchema.nullable(),
  pages: z.int().min(0),
  low: lsnSchema.nullable(),
});

const pullSchema = z.object({ v: z.literal(1), to: regionSchema });

/** A region asks another one to send what that has of the newest path. Said again and again while it is wanted. */
export function encodePull(to: RegionId): Uint8Array {
  return Buffer.from(JSON.stringify({ v: 1, to }));
}

/** @returns the region that asks. */
export function decodePull(bytes: Uint8Array): Parsed<RegionId> {
  const parsed = parseJson(
    pullSchema,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'),
  );
  return parsed.kind === 'malformed' ? parsed : { kind: 'ok', value: parsed.value.to };
}

/** Encodes a shipped message around frames that are compressed already or not at all. */
export function encodeShipped(
  message: Shipped,
  body: { readonly bytes: Uint8Array; readonly compressed: boolean },
): Uint8Array {
  const { frames: _, ...header } = message;
  return withHeader({ v: 1, ...header, compressed: body.compressed }, body.bytes);
}

/** Encodes images around pages that are compressed already or not at all. */
export function encodeImages(
  message: ShippedImages,
  body: { readonly bytes: Uint8Array; readonly compressed: boolean },
): Uint8Array {
  const { bytes: _, ...header } = message;
  return withHeader({ v: 1, kind: 'images', ...header, compressed: body.compressed }, body.bytes);
}

/** Whether a message to a secondary carries images, and no redo. */
export const carriesImages = (bytes: Uint8Array): boolean => {
  const head = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + 4,
    Math.min(imagesMark.length, Math.max(0, bytes.length - 4)),
  );
  return head.toString('latin1') === imagesMark;
};

function withHeader(header: object, body: Uint8Array): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const bytes = new Uint8Array(4 + json.length + body.length);
  viewOf(bytes).setUint32(0, json.length, true);
  bytes.set(json, 4);
  bytes.set(body, 4 + json.length);
  return bytes;
}

export type Parsed<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'malformed'; readonly reason: string };

/** Decodes a shipped message; `frames` is still compressed when `compressed` says so. */
export function decodeShipped(bytes: Uint8Array): Parsed<Shipped & { readonly compressed: boolean }> {
  if (bytes.length < 4)
    return { kind: 'malformed', reason: 'a shipped message shorter than its header length' };
  const length = viewOf(bytes).getUint32(0, true);
  if (4 + length > bytes.length) return { kind: 'malformed', reason: 'a shipped message cut short' };
  const header = parseJson(
    shippedSchema,
    Buffer.from(bytes.buffer, bytes.byteOffset + 4, length).toString('utf8'),
  );
  if (header.kind === 'malformed') return header;
  const { v: _, ...fields } = header.value;
  if (fields.next < fields.start)
    return { kind: 'malformed', reason: `frames from ${fields.start} back to ${fields.next}` };
  if (!isPath(fields.forks, fields.head))
    return { kind: 'malformed', reason: `the forks are not the path to epoch ${fields.head}` };
  return { kind: 'ok', value: { ...fields, frames: bytes.subarray(4 + length) } };
}

/** Decodes images; `bytes` are still compressed when `compressed` says so. */
export function decodeImages(bytes: Uint8Array): Parsed<ShippedImages & { readonly compressed: boolean }> {
  if (bytes.length < 4) return { kind: 'malformed', reason: 'images shorter than their header length' };
  const length = viewOf(bytes).getUint32(0, true);
  if (4 + length > bytes.length) return { kind: 'malformed', reason: 'images cut short' };
  const header = parseJson(
    imagesSchema,
    Buffer.from(bytes.buffer, bytes.byteOffset + 4, length).toString('utf8'),
  );
  if (header.kind === 'malformed') return header;
  const { v: _, kind: _kind, ...fields } = header.value;
  if (!isPath(fields.forks, fields.head))
    return { kind: 'malformed', reason: `the forks are not the path to epoch ${fields.head}` };
  return { kind: 'ok', value: { ...fields, bytes: bytes.subarray(4 + length) } };
}

export function encodeImagesAck(ack: ImagesAck): Uint8Array {
  return Buffer.from(JSON.stringify({ v: 1, kind: 'images', ...ack }));
}

/** @returns null for an acknowledgement of redo. */
export function decodeImagesAck(bytes: Uint8Array): ImagesAck | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  if (!text.startsWith(imagesMark)) return null;
  const parsed = parseJson(imagesAckSchema, text);
  if (parsed.kind === 'malformed') return null;
  const { v: _, kind: _kind, ...ack } = parsed.value;
  return ack;
}

/** The line of history that a message carries: that of its head. Genesis belongs to `main`. */
export const lineOf = ({ forks }: Pick<Shipped, 'forks'>): BranchName => forks.at(-1)?.branch ?? mainBranch;

/** Whether these forks, oldest first, lead from the root to `head`. */
function isPath(forks: readonly Fork[], head: Epoch): boolean {
  let at = genesisEpoch;
  for (const fork of forks) {
    if (fork.parent !== at || fork.epoch <= at) return false;
    at = fork.epoch;
  }
  return at === head;
}

export function encodeAck(ack: ShipAck): Uint8Array {
  return Buffer.from(JSON.stringify({ v: 1, ...ack }));
}

export function decodeAck(bytes: Uint8Array): Parsed<ShipAck> {
  const parsed = parseJson(
    ackSchema,
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'),
  );
  if (parsed.kind === 'malformed') return parsed;
  const { v: _, ...ack } = parsed.value;
  return { kind: 'ok', value: ack };
}

/** Parses and checks JSON from another process; never throws. */
export function parseJson<T>(schema: z.ZodType<T>, text: string): Parsed<T> {
  try {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success
      ? { kind: 'ok', value: parsed.data }
      : { kind: 'malformed', reason: z.prettifyError(parsed.error) };
  } catch (error) {
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) };
  }
}
