/**
 * The control store on the wire: the record's encoding, and the few JetStream API replies it reads. Spoken directly
 * rather than through the client's key-value layer, whose `update` lets several writers win on a replicated bucket of
 * servers before 2.9.21 and whose open creates an empty bucket where one was lost.
 */
import { AssertionError } from 'node:assert/strict';
import { z } from 'zod';
import { branchName, epoch, lsn, regionId } from '../../storage/core.ts';
import { recordSubject, streamName } from '../bus/core/control-subjects.ts';
import { type ControlRecord, checkControlRecord } from './core/control-record.ts';

const region = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
  .transform((value) => regionId(value));
const label = z.string().min(1).max(128);

const epochSchema = z
  .int()
  .min(0)
  .max(0xffff_ffff)
  .transform((value) => epoch(value));
const lsnSchema = z
  .int()
  .min(0)
  .transform((value) => lsn(value));
const holderSchema = z.strictObject({ gateway: label, incarnation: label }).nullable();

const branchNameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
  .transform((value) => branchName(value));

const branchSchema = z.strictObject({
  name: branchNameSchema,
  epoch: epochSchema,
  origin: epochSchema,
  parent: epochSchema,
  forkLsn: lsnSchema,
  leaves: epochSchema.exactOptional(),
  createdAtMs: z.number(),
  by: holderSchema,
});

const recordSchema = z.strictObject({
  v: z.literal(1),
  epoch: epochSchema,
  primary: region,
  holder: holderSchema,
  state: z.enum(['stable', 'switching', 'failing-over']),
  move: z
    .strictObject({
      id: label,
      kind: z.enum(['switchover', 'failover']),
      from: region,
      to: region,
      allowDataLoss: z.boolean(),
      startedAtMs: z.number(),
      fork: z.strictObject({ lsn: lsnSchema }).exactOptional(),
    })
    .nullable(),
  n: z.int().min(0),
  policy: z
    .strictObject({
      automatic: z.boolean(),
      maxLossMs: z.int().min(0).nullable(),
      rpoMs: z.int().min(0).nullable(),
      prefer: z.array(region),
    })
    .exactOptional(),
  regions: z.array(region).min(1).exactOptional(),
  allotted: epochSchema.exactOptional(),
  before: epochSchema.exactOptional(),
  branches: z.array(branchSchema).exactOptional(),
  promised: z.strictObject({ epoch: epochSchema, lsn: lsnSchema }).exactOptional(),
  rewind: z
    .strictObject({
      id: label,
      branch: branchNameSchema,
      to: z.strictObject({ epoch: epochSchema, lsn: lsnSchema }),
      epoch: epochSchema,
      startedAtMs: z.number(),
    })
    .exactOptional(),
});

export type DecodedRecord =
  | { readonly kind: 'record'; readonly record: ControlRecord }
  | { readonly kind: 'unusable'; readonly reason: string };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The bytes stored for a record. @throws AssertionError when it is not a record the transitions can produce. */
export function encodeControlRecord(record: ControlRecord): Uint8Array {
  checkControlRecord(record);
  return encoder.encode(JSON.stringify(record));
}

/** Whatever lies in the bucket, checked. Bytes of a deletion marker or of a later version are `unusable`. */
export function decodeControlRecord(bytes: Uint8Array): DecodedRecord {
  const parsed = recordSchema.safeParse(parseJson(bytes));
  if (!parsed.success) return { kind: 'unusable', reason: `not a control record: ${issues(parsed.error)}` };
  try {
    checkControlRecord(parsed.data);
    return { kind: 'record', record: parsed.data };
  } catch (error) {
    if (error instanceof AssertionError) return { kind: 'unusable', reason: error.message };
    throw error;
  }
}

/** Whether bytes are a record of a format that only a later version of this program can read. */
export function isLaterVersion(bytes: Uint8Array): boolean {
  const parsed = z.looseObject({ v: z.int().min(2) }).safeParse(parseJson(bytes));
  return parsed.success;
}

/** JetStream's error codes (`err_code`) that decide something here. */
export const jetStreamCode = {
  /** A body that this server cannot take: before 2.11, any body of a step-down. */
  badRequest: 10_003,
  noSuitablePeers: 10_005,
  noMessage: 10_037,
  streamExists: 10_058,
  noStream: 10_059,
  wrongLastSequence: 10_071,
  replicasUnsupported: 10_074,
  /** Since 2.12: lost against a write still in flight, which may be an earlier attempt of our own. */
  wrongLastSequenceInFlight: 10_164,
} as const;

const errorSchema = z.object({
  code: z.int(),
  err_code: z.int().default(0),
  description: z.string().default(''),
});
export type JetStreamError = z.infer<typeof errorSchema>;

const ackSchema = z.object({ stream: z.string().min(1), seq: z.int().min(1) });
const messageSchema = z.object({
  message: z.object({ seq: z.int().min(1), data: z.base64().default('') }),
});
const streamSchema = z.object({
  config: z.object({
    subjects: z.array(z.string()).default([]),
    retention: z.string(),
    storage: z.string(),
    num_replicas: z.int(),
    max_age: z.number().default(0),
    max_msgs: z.number().default(-1),
    max_bytes: z.number().default(-1),
    max_msgs_per_subject: z.number().default(-1),
    allow_direct: z.boolean().default(false),
    mirror: z.unknown().optional(),
    sources: z.unknown().optional(),
  }),
  state: z.object({ last_seq: z.number() }),
});
export type StreamReply = z.infer<typeof streamSchema>;
export type Reply<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'error'; readonly error: JetStreamError }
  | { readonly kind: 'malformed'; readonly reason: string };

/** A stored message: its sequence and its bytes. */
export interface StoredMessage {
  readonly seq: number;
  readonly data: Uint8Array;
}

/** Acknowledgement of a publish. */
export function parseAck(bytes: Uint8Array): Reply<{ readonly stream: string; readonly seq: number }> {
  return parseReply(ackSchema, bytes);
}

/** Answer to `STREAM.INFO` and `STREAM.CREATE`. */
export function parseStream(bytes: Uint8Array): Reply<StreamReply> {
  return parseReply(streamSchema, bytes);
}

/** Answer to `STREAM.LEADER.STEPDOWN`. */
export function parseSuccess(bytes: Uint8Array): Reply<{ readonly success: true }> {
  return parseReply(z.object({ success: z.literal(true) }), bytes);
}

/** Answer to `STREAM.MSG.GET`. */
export function parseMessage(bytes: Uint8Array): Reply<StoredMessage> {
  const reply = parseReply(messageSchema, bytes);
  if (reply.kind !== 'ok') return reply;
  const { seq, data } = reply.value.message;
  return { kind: 'ok', value: { seq, data: Buffer.from(data, 'base64') } };
}

/** Changes of the record kept for a writer looking for its own, and for people; the most a NATS bucket keeps. */
const history = 64;

/** What the bucket has to look like. The one subject makes the stream's last sequence the record's revision. */
export function streamConfig(bucket: string, replicas: number) {
  return {
    name: streamName(bucket),
    description: 'Sextant control record: changed by compare-and-set only, never deleted',
    subjects: [recordSubject(bucket)],
    retention: 'limits',
    storage: 'file',
    num_replicas: replicas,
    max_msgs_per_subject: history,
    max_msgs: -1,
    max_bytes: -1,
    max_age: 0,
    max_consumers: -1,
    discard: 'new',
    allow_direct: false,
    allow_rollup_hdrs: false,
    deny_delete: true,
    deny_purge: true,
  };
}

/** What is wrong with a bucket's settings, in words; empty when it may be used. `replicas` null accepts any number. */
export function streamProblems(
  bucket: string,
  replicas: number | null,
  { config }: StreamReply,
): readonly string[] {
  const wanted = streamConfig(bucket, replicas ?? config.num_replicas);
  const problems: string[] = [];
  const check = (name: keyof typeof wanted & keyof typeof config) => {
    if (JSON.stringify(config[name]) === JSON.stringify(wanted[name])) return;
    problems.push(`${name} is ${JSON.stringify(config[name])}, not ${JSON.stringify(wanted[name])}`);
  };
  check('subjects');
  check('retention');
  check('storage');
  check('num_replicas');
  check('max_age');
  check('max_msgs');
  check('max_bytes');
  check('max_msgs_per_subject');
  check('allow_direct');
  if (config.mirror !== undefined && config.mirror !== null) problems.push('it mirrors another stream');
  if (config.sources !== undefined && config.sources !== null) problems.push('it copies from other streams');
  return problems;
}

/** The body of an API request. */
export const jsonBytes = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));
export const textBytes = (value: string): Uint8Array => encoder.encode(value);
export const bytesText = (bytes: Uint8Array): string => decoder.decode(bytes);

export function parseReply<T>(schema: z.ZodType<T>, bytes: Uint8Array): Reply<T> {
  const json = parseJson(bytes);
  const failed = z.object({ error: errorSchema }).safeParse(json);
  if (failed.success) return { kind: 'error', error: failed.data.error };
  const parsed = schema.safeParse(json);
  if (parsed.success) return { kind: 'ok', value: parsed.data };
  return { kind: 'malformed', reason: `unexpected answer from JetStream: ${issues(parsed.error)}` };
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}

const issues = (error: z.ZodError): string =>
  error.issues.map((issue) => `${issue.path.join('.') || 'value'}: ${issue.message}`).join('; ');
