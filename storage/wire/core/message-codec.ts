/**
 * Storage messages as bytes. A message body is `headerLength u32 | header (JSON) | bytes`, except the two on the write
 * path, append and acked, which are fixed binary. Everything is checked on arrival.
 */
import { z } from 'zod';
import { readU64, viewOf, writeU64 } from '../../redo/bytes.ts';
import { epoch, type Lsn, lsn, type PageNo, type PgId, pgId } from '../../redo/ids.ts';
import { redoLimits } from '../../redo/limits.ts';
import {
  fetchedSchema,
  imagesSchema,
  messageKinds,
  putImagesSchema,
  replySchemas,
  requestSchemas,
} from './message-schemas.ts';
import type {
  AckedReply,
  AppendRequest,
  FetchedReply,
  PagesReply,
  StorageReply,
  StorageRequest,
} from './messages.ts';

/** Bytes, or parts of them to be laid back to back: what is long is copied where it is sent and not before. */
export type MessageBody = Uint8Array | readonly Uint8Array[];

export interface EncodedMessage<Body extends MessageBody = MessageBody> {
  readonly kind: number;
  readonly body: Body;
}

const none = new Uint8Array(0);
const appendHeaderBytes = 28;
const ackHeaderBytes = 6;
const ackEntryBytes = 12;

function withHeader(header: object, bytes: Uint8Array = none): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const body = new Uint8Array(4 + json.length + bytes.length);
  viewOf(body).setUint32(0, json.length, true);
  body.set(json, 4);
  body.set(bytes, 4 + json.length);
  return body;
}

/** Encodes a request for the link. */
export function encodeRequest(request: StorageRequest): EncodedMessage {
  switch (request.kind) {
    case 'append':
      return { kind: messageKinds.append, body: encodeAppend(request) };
    case 'seal':
    case 'survey':
    case 'fork':
    case 'fetch':
    case 'readPages':
    case 'status':
    case 'retain':
    case 'members':
    case 'fetchImages':
    case 'locate':
      return { kind: messageKinds[request.kind], body: withHeader(request) };
    case 'putImages': {
      const { bytes, ...header } = request;
      return { kind: messageKinds.putImages, body: withHeader(header, bytes) };
    }
  }
}

function encodeAppend(request: AppendRequest): MessageBody {
  const header = new Uint8Array(appendHeaderBytes);
  const view = viewOf(header);
  view.setUint32(0, request.authority, true);
  view.setUint32(4, request.durable.head, true);
  writeU64(view, 8, request.durable.vdl);
  writeU64(view, 16, request.lowWater);
  view.setUint32(24, request.frames.length, true);
  return [header, request.frames];
}

/** Encodes a reply for the link. */
export function encodeReply(reply: StorageReply): EncodedMessage<Uint8Array> {
  switch (reply.kind) {
    case 'acked':
      return { kind: messageKinds.acked, body: encodeAcked(reply) };
    case 'fetched': {
      const { frames, ...header } = reply;
      return { kind: messageKinds.fetched, body: withHeader(header, frames) };
    }
    case 'images': {
      const { bytes, ...header } = reply;
      return { kind: messageKinds.images, body: withHeader(header, bytes) };
    }
    case 'pages':
      return { kind: messageKinds.pages, body: encodePages(reply) };
    case 'status':
      return { kind: messageKinds.statusReply, body: withHeader(reply) };
    case 'members':
      return { kind: messageKinds.membersReply, body: withHeader(reply) };
    case 'sealed':
    case 'surveyed':
    case 'forked':
    case 'refused':
    case 'retained':
    case 'imagesPut':
    case 'located':
      return { kind: messageKinds[reply.kind], body: withHeader(reply) };
  }
}

function encodeAcked(reply: AckedReply): Uint8Array {
  const body = new Uint8Array(ackHeaderBytes + reply.scls.length * ackEntryBytes);
  const view = viewOf(body);
  view.setUint32(0, reply.head, true);
  view.setUint16(4, reply.scls.length, true);
  let at = ackHeaderBytes;
  for (const [pg, scl] of reply.scls) {
    view.setUint32(at, pg, true);
    writeU64(view, at + 4, scl);
    at += ackEntryBytes;
  }
  return body;
}

function encodePages(reply: PagesReply): Uint8Array {
  const found = reply.pages.map((page) => (page === null ? 0 : 1));
  const present = reply.pages.filter((page) => page !== null);
  const bytes = new Uint8Array(present.length * redoLimits.pageBytes);
  for (const [index, page] of present.entries()) bytes.set(page, index * redoLimits.pageBytes);
  return withHeader({ found }, bytes);
}

export type Decoded<T> =
  | { readonly kind: 'message'; readonly message: T }
  | { readonly kind: 'malformed'; readonly reason: string };

const malformed = (reason: string) => ({ kind: 'malformed', reason }) as const;

interface SplitBody {
  readonly header: unknown;
  readonly bytes: Uint8Array;
}

function splitHeader(body: Uint8Array): SplitBody | string {
  if (body.length < 4) return 'a message shorter than its header length';
  const length = viewOf(body).getUint32(0, true);
  if (4 + length > body.length) return 'a header that runs past its message';
  try {
    const text = Buffer.from(body.buffer, body.byteOffset + 4, length).toString('utf8');
    return { header: JSON.parse(text), bytes: body.subarray(4 + length) };
  } catch {
    return 'a header that is not JSON';
  }
}

function decodeWith<T>(schema: z.ZodType<T>, body: Uint8Array): Decoded<T> {
  const split = splitHeader(body);
  if (typeof split === 'string') return malformed(split);
  return check(schema, split.header);
}

function check<T>(schema: z.ZodType<T>, header: unknown): Decoded<T> {
  try {
    const parsed = schema.safeParse(header);
    return parsed.success
      ? { kind: 'message', message: parsed.data }
      : malformed(z.prettifyError(parsed.error));
  } catch (error) {
    // Branded constructors assert; a value they refuse is bad input here, not a broken invariant.
    return malformed(error instanceof Error ? error.message : String(error));
  }
}

/** Decodes a request as a node receives it. Byte fields are views into `body`. */
export function decodeRequest(kind: number, body: Uint8Array): Decoded<StorageRequest> {
  if (kind === messageKinds.append) return decodeAppend(body);
  if (kind === messageKinds.putImages) return decodeWithPages(putImagesSchema, body);
  const schema = (requestSchemas as Record<number, z.ZodType<StorageRequest>>)[kind];
  return schema === undefined ? malformed(`unknown request kind ${kind}`) : decodeWith(schema, body);
}

function decodeAppend(body: Uint8Array): Decoded<AppendRequest> {
  if (body.length < appendHeaderBytes) return malformed('an append shorter than its header');
  const view = viewOf(body);
  const vdl = readU64(view, 8);
  const lowWater = readU64(view, 16);
  const length = view.getUint32(24, true);
  if (Number.isNaN(vdl) || Number.isNaN(lowWater)) return malformed('an append with a position beyond 2^53');
  if (length !== body.length - appendHeaderBytes)
    return malformed(`an append of ${body.length} bytes that announces ${length}`);
  return {
    kind: 'message',
    message: {
      kind: 'append',
      authority: epoch(view.getUint32(0, true)),
      durable: { head: epoch(view.getUint32(4, true)), vdl: lsn(vdl) },
      lowWater: lsn(lowWater),
      frames: body.subarray(appendHeaderBytes),
    },
  };
}

/** Decodes a reply as a caller receives it. Byte fields are views into `body`. */
export function decodeReply(kind: number, body: Uint8Array): Decoded<StorageReply> {
  if (kind === messageKinds.acked) return decodeAcked(body);
  if (kind === messageKinds.fetched) return decodeFetched(body);
  if (kind === messageKinds.pages) return decodePages(body);
  if (kind === messageKinds.images) return decodeWithPages(imagesSchema, body);
  const schema = (replySchemas as unknown as Record<number, z.ZodType<StorageReply>>)[kind];
  return schema === undefined ? malformed(`unknown reply kind ${kind}`) : decodeWith(schema, body);
}

function decodeAcked(body: Uint8Array): Decoded<AckedReply> {
  if (body.length < ackHeaderBytes) return malformed('an acknowledgement shorter than its header');
  const view = viewOf(body);
  const count = view.getUint16(4, true);
  if (body.length !== ackHeaderBytes + count * ackEntryBytes)
    return malformed('an acknowledgement of the wrong length');
  const scls: (readonly [PgId, Lsn])[] = [];
  for (let at = ackHeaderBytes; at < body.length; at += ackEntryBytes) {
    const scl = readU64(view, at + 4);
    if (Number.isNaN(scl)) return malformed('an SCL beyond 2^53');
    scls.push([pgId(view.getUint32(at, true)), lsn(scl)]);
  }
  return { kind: 'message', message: { kind: 'acked', head: epoch(view.getUint32(0, true)), scls } };
}

function decodeFetched(body: Uint8Array): Decoded<FetchedReply> {
  const split = splitHeader(body);
  if (typeof split === 'string') return malformed(split);
  const header = check(fetchedSchema, split.header);
  if (header.kind === 'malformed') return header;
  return { kind: 'message', message: { ...header.message, frames: split.bytes } };
}

/** A header that names pages by number, ascending, and those pages. */
function decodeWithPages<T extends { readonly pages: readonly PageNo[] }>(
  schema: z.ZodType<T>,
  body: Uint8Array,
): Decoded<T & { readonly bytes: Uint8Array }> {
  const split = splitHeader(body);
  if (typeof split === 'string') return malformed(split);
  const header = check(schema, split.header);
  if (header.kind === 'malformed') return header;
  const { pages } = header.message;
  if (split.bytes.length !== pages.length * redoLimits.pageBytes)
    return malformed(`${pages.length} pages in ${split.bytes.length} bytes`);
  if (pages.some((page, at) => at > 0 && page <= (pages[at - 1] ?? 0)))
    return malformed('pages that do not ascend');
  return { kind: 'message', message: { ...header.message, bytes: split.bytes } };
}

const pagesSchema = z.object({ found: z.array(z.int().min(0).max(1)) });

function decodePages(body: Uint8Array): Decoded<PagesReply> {
  const split = splitHeader(body);
  if (typeof split === 'string') return malformed(split);
  const header = check(pagesSchema, split.header);
  if (header.kind === 'malformed') return header;
  const { found } = header.message;
  const present = found.reduce((sum, flag) => sum + flag, 0);
  if (split.bytes.length !== present * redoLimits.pageBytes)
    return malformed('a pages reply of the wrong length');
  let at = 0;
  const pages = found.map((flag) => {
    if (flag === 0) return null;
    at += redoLimits.pageBytes;
    return split.bytes.subarray(at - redoLimits.pageBytes, at);
  });
  return { kind: 'message', message: { kind: 'pages', pages } };
}
