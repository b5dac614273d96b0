/**
 * What gateways say to the writer over NATS, version 2, or 3 where it concerns a branch: a gateway that knows no branches
 * refuses that, instead of running it on main. Several messages are one of version 4 (`forward-bundle.ts`), to gateways that take it. Every message is `headerLength u32 LE | header (JSON) | bytes`. A call
 * and its answer travel in parts, because a script or a result may be larger than the server's `max_payload`.
 *
 * G30. A call has an id and runs at most once, however often its messages are sent.
 * G31. `refused` and a `poll` answered `unknown` mean that the call has not run and never will.
 *
 * History of versions: 1 (2026-11-21); 2 (2026-11-29): a call carries its stream's state, and so does the answer; 3
 * (2026-11-29): a branch may be named; 4 (2026-11-30): bundles.
 */
import { z } from 'zod';
import {
  type BranchName,
  branchName,
  type Epoch,
  epoch,
  isBranchName,
  type Lsn,
  lsn,
  mainBranch,
  viewOf,
} from '../../../storage/core.ts';

/** Why a writer does not take a call. */
export type ForwardRefusal =
  | 'not-writer'
  | 'draining'
  | 'suspended'
  | 'quorum-lost'
  | 'busy'
  | 'malformed'
  | 'too-large';

export type ForwardRequest =
  /** One part of a call; the last one starts it and is answered like a poll for part 0. */
  | {
      readonly kind: 'part';
      /** The database that the call is for. */
      readonly branch: BranchName;
      readonly call: string;
      readonly index: number;
      readonly count: number;
      readonly bytes: Uint8Array;
    }
  /** Asks for a part of the answer, and waits a moment for it. */
  | { readonly kind: 'poll'; readonly call: string; readonly part: number }
  /** The answer has arrived, or nobody waits for it. */
  | { readonly kind: 'forget'; readonly call: string }
  /** The client is gone: roll back. */
  | { readonly kind: 'close'; readonly stream: string }
  /** The client of a stream does not want any more what runs there. Best effort, as a cancel request of PostgreSQL is. */
  | { readonly kind: 'cancel'; readonly stream: string }
  /** Up to where is everything of the branch that was ever acknowledged? */
  | { readonly kind: 'position'; readonly branch: BranchName }
  /** A sign of life. A gateway that does not know the question refuses it, which is one as well. */
  | { readonly kind: 'ping' }
  /** Several of the others as one message. */
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array };

export type ForwardReply =
  | { readonly kind: 'received' }
  | { readonly kind: 'running' }
  | { readonly kind: 'part'; readonly index: number; readonly count: number; readonly bytes: Uint8Array }
  | { readonly kind: 'refused'; readonly reason: ForwardRefusal; readonly message: string }
  /** No such call was ever started here, and none with this id will be. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'position'; readonly epoch: Epoch; readonly vdl: Lsn }
  /** Answers to some of the messages of a bundle; the others follow. */
  | { readonly kind: 'bundle'; readonly bytes: Uint8Array };

export type Decoded<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'malformed'; readonly reason: string };

const idLength = 128;
const idSchema = z.string().min(1).max(idLength);
/** Of a stream or a call. */
export const isForwardId = (value: unknown): value is string =>
  typeof value === 'string' && value.length >= 1 && value.length <= idLength;
const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(0).transform(epoch);
const version = z.literal([2, 3]);
const bundleHeader = z.object({ v: z.literal(4), kind: z.literal('bundle') });
/** Left out for main, as in version 2. */
const branchSchema = z
  .string()
  .refine(isBranchName, 'expected the name of a branch')
  .default(mainBranch)
  .transform(branchName);
const partsMax = 4_096;

const requestHeader = z.discriminatedUnion('kind', [
  z.object({
    v: version,
    kind: z.literal('part'),
    branch: branchSchema,
    call: idSchema,
    index: z.int().min(0).max(partsMax),
    count: z.int().min(1).max(partsMax),
  }),
  z.object({ v: version, kind: z.literal('poll'), call: idSchema, part: z.int().min(0).max(partsMax) }),
  z.object({ v: version, kind: z.literal('forget'), call: idSchema }),
  z.object({ v: version, kind: z.literal('close'), stream: idSchema }),
  z.object({ v: version, kind: z.literal('cancel'), stream: idSchema }),
  z.object({ v: version, kind: z.literal('position'), branch: branchSchema }),
  z.object({ v: version, kind: z.literal('ping') }),
  bundleHeader,
]);

const replyHeader = z.discriminatedUnion('kind', [
  z.object({ v: version, kind: z.literal('received') }),
  z.object({ v: version, kind: z.literal('running') }),
  z.object({
    v: version,
    kind: z.literal('part'),
    index: z.int().min(0),
    count: z.int().min(1).max(partsMax),
  }),
  z.object({
    v: version,
    kind: z.literal('refused'),
    reason: z.enum(['not-writer', 'draining', 'suspended', 'quorum-lost', 'busy', 'malformed', 'too-large']),
    message: z.string(),
  }),
  z.object({ v: version, kind: z.literal('unknown') }),
  z.object({ v: version, kind: z.literal('position'), epoch: epochSchema, vdl: lsnSchema }),
  bundleHeader,
]);

type Wire = Readonly<Record<string, unknown>>;
const isWithin = (value: unknown, from: number, to: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= from && value <= to;

/** The headers of what nearly all messages are, exactly as the schema gives them; null where that has to look. */
function plainRequest(wire: Wire): z.infer<typeof requestHeader> | null {
  const { v, kind, call, index, count } = wire;
  if (v === 4) return kind === 'bundle' ? { v, kind } : null;
  if (v !== 2 || !isForwardId(call) || wire.branch !== undefined) return null;
  if (kind === 'forget') return { v, kind, call };
  if (kind !== 'part' || !isWithin(index, 0, partsMax) || !isWithin(count, 1, partsMax)) return null;
  return { v, kind, branch: mainBranch, call, index, count };
}

/** As `plainRequest`. */
function plainReply({ v, kind, index, count }: Wire): z.infer<typeof replyHeader> | null {
  if (v === 4) return kind === 'bundle' ? { v, kind } : null;
  if (v !== 2 || kind !== 'part') return null;
  if (!isWithin(index, 0, Number.MAX_SAFE_INTEGER) || !isWithin(count, 1, partsMax)) return null;
  return { v, kind, index, count };
}

const none = new Uint8Array(0);

function encode(header: object, bytes: Uint8Array, branch: BranchName = mainBranch): Uint8Array {
  return withHeader({ ...(branch === mainBranch ? { v: 2 } : { v: 3, branch }), ...header }, bytes);
}

/** A request or a reply. */
const encodeBundle = (bytes: Uint8Array): Uint8Array => withHeader({ v: 4, kind: 'bundle' }, bytes);

function withHeader(header: object, bytes: Uint8Array): Uint8Array {
  const json = JSON.stringify(header);
  const length = Buffer.byteLength(json);
  const message = new Uint8Array(4 + length + bytes.length);
  viewOf(message).setUint32(0, length, true);
  Buffer.from(message.buffer).write(json, 4);
  message.set(bytes, 4 + length);
  return message;
}

function decode<T>(
  schema: z.ZodType<T>,
  plain: (wire: Wire) => T | null,
  message: Uint8Array,
): Decoded<{ readonly header: T; readonly bytes: Uint8Array }> {
  if (message.length < 4) return { kind: 'malformed', reason: 'a message shorter than its header length' };
  const length = viewOf(message).getUint32(0, true);
  if (4 + length > message.length) return { kind: 'malformed', reason: 'a message cut short' };
  const header = parseChecked(
    schema,
    Buffer.from(message.buffer, message.byteOffset + 4, length).toString('utf8'),
    (wire) => (typeof wire === 'object' && wire !== null ? plain(Object(wire)) : null),
  );
  if (header.kind === 'malformed') return header;
  return { kind: 'ok', value: { header: header.value, bytes: message.subarray(4 + length) } };
}

/**
 * Parses and checks JSON from another gateway; never throws.
 * @param plain gives exactly what the schema would, at a fraction of its cost, or null where the schema has to look.
 */
export function parseChecked<T>(
  schema: z.ZodType<T>,
  text: string,
  plain: (wire: unknown) => T | null = () => null,
): Decoded<T> {
  try {
    const wire: unknown = JSON.parse(text);
    const known = plain(wire);
    if (known !== null) return { kind: 'ok', value: known };
    const result = schema.safeParse(wire);
    return result.success
      ? { kind: 'ok', value: result.data }
      : { kind: 'malformed', reason: z.prettifyError(result.error) };
  } catch (error) {
    return { kind: 'malformed', reason: error instanceof Error ? error.message : String(error) };
  }
}

export function encodeRequest(request: ForwardRequest): Uint8Array {
  switch (request.kind) {
    case 'part': {
      const { bytes, branch, ...header } = request;
      return encode(header, bytes, branch);
    }
    case 'position':
      return encode({ kind: request.kind }, none, request.branch);
    case 'bundle':
      return encodeBundle(request.bytes);
    default:
      return encode(request, none);
  }
}

export function decodeRequest(message: Uint8Array): Decoded<ForwardRequest> {
  const split = decode(requestHeader, plainRequest, message);
  if (split.kind === 'malformed') return split;
  const { header, bytes } = split.value;
  return {
    kind: 'ok',
    value: header.kind === 'part' || header.kind === 'bundle' ? { ...header, bytes } : header,
  };
}

export function encodeReply(reply: ForwardReply): Uint8Array {
  if (reply.kind === 'bundle') return encodeBundle(reply.bytes);
  if (reply.kind !== 'part') return encode(reply, none);
  const { bytes, ...header } = reply;
  return encode(header, bytes);
}

export function decodeReply(message: Uint8Array): Decoded<ForwardReply> {
  const split = decode(replyHeader, plainReply, message);
  if (split.kind === 'malformed') return split;
  const { header, bytes } = split.value;
  return {
    kind: 'ok',
    value: header.kind === 'part' || header.kind === 'bundle' ? { ...header, bytes } : header,
  };
}

/** Cuts bytes into parts of at most `partBytes`; at least one. */
export function splitParts(bytes: Uint8Array, partBytes: number): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += partBytes) parts.push(bytes.subarray(at, at + partBytes));
  return parts.length === 0 ? [none] : parts;
}

/** Parts back to back. */
export function joinParts(parts: readonly Uint8Array[]): Uint8Array {
  const only = parts.length === 1 ? parts[0] : undefined;
  return only ?? Buffer.concat(parts);
}

/** Whether a message is one that wants no answer. */
export const isNotice = (decoded: Decoded<ForwardRequest>): boolean =>
  decoded.kind === 'ok' && ['forget', 'close', 'cancel'].includes(decoded.value.kind);
