/** Kinds of the storage protocol's messages, and what the JSON header of each has to be. Bodies beside it are in `message-codec.ts`. */
import { z } from 'zod';
import { forkSchema } from '../../history/epoch-tree.ts';
import { floorSchema } from '../../history/floor.ts';
import { membersReplySchema, membersRequestSchema } from '../../members/core/member-messages.ts';
import { membershipSchema } from '../../members/core/membership.ts';
import { branchName, epoch, lsn, pageNo, pgId } from '../../redo/ids.ts';
import { branchLimits, nodeLimits, refillLimits } from '../../redo/limits.ts';
import type { RefusalCode } from './messages.ts';

/** The u8 in front of every link message. Append is the one request that may come as a notice without an answer. */
export const messageKinds = {
  append: 1,
  seal: 2,
  survey: 3,
  fork: 4,
  fetch: 5,
  readPages: 6,
  status: 7,
  retain: 8,
  members: 16,
  fetchImages: 9,
  putImages: 10,
  locate: 11,
  acked: 65,
  sealed: 66,
  surveyed: 67,
  forked: 68,
  fetched: 69,
  pages: 70,
  statusReply: 71,
  refused: 72,
  retained: 73,
  membersReply: 80,
  images: 74,
  imagesPut: 75,
  located: 76,
} as const;

const lsnSchema = z.int().min(0).transform(lsn);
const epochSchema = z.int().min(0).transform(epoch);
const pageSchema = z.int().min(1).transform(pageNo);
const pgSchema = z.int().min(0).transform(pgId);
const branchSchema = z.string().transform(branchName);
const forksSchema = z.array(forkSchema);
const durableSchema = z.object({ head: epochSchema, vdl: lsnSchema });
const sclsSchema = z.array(z.tuple([pgSchema, lsnSchema]));
const branchStatusSchema = z.object({
  branch: branchSchema,
  head: epochSchema,
  sealed: epochSchema,
  vdl: lsnSchema,
  scl: lsnSchema,
  last: lsnSchema,
  fresh: z.boolean(),
});
const refusalCodes = [
  'SEALED',
  'UNKNOWN_EPOCH',
  'BAD_FRAME',
  'BAD_REQUEST',
  'EPOCH_CONFLICT',
  'NOT_COMPLETE',
  'BELOW_FLOOR',
  'DISK_FULL',
  'DISK_FAILED',
  'OVERLOADED',
  'STALE_MEMBERS',
] as const satisfies readonly RefusalCode[];

export const requestSchemas = {
  [messageKinds.seal]: z.object({ kind: z.literal('seal'), branch: branchSchema, epoch: epochSchema }),
  [messageKinds.survey]: z.object({
    kind: z.literal('survey'),
    authority: epochSchema,
    head: epochSchema,
    forks: forksSchema,
    isNew: z.literal(true).optional(),
  }),
  [messageKinds.fork]: z.object({ kind: z.literal('fork'), authority: epochSchema, forks: forksSchema }),
  [messageKinds.fetch]: z.object({
    kind: z.literal('fetch'),
    branch: branchSchema,
    head: epochSchema.nullable(),
    from: lsnSchema,
    bytesMax: z.int().min(1).max(nodeLimits.fetchBytesMax),
    waitMs: z.int().min(0).max(nodeLimits.fetchWaitMsMax),
    durableOnly: z.boolean(),
    known: durableSchema,
  }),
  [messageKinds.readPages]: z.object({
    kind: z.literal('readPages'),
    head: epochSchema,
    readPoint: lsnSchema,
    pages: z.array(pageSchema).max(nodeLimits.readPagesMax),
  }),
  [messageKinds.status]: z.object({ kind: z.literal('status'), known: z.literal(true).exactOptional() }),
  [messageKinds.retain]: z.object({
    kind: z.literal('retain'),
    authority: epochSchema.exactOptional(),
    head: epochSchema,
    keepFrom: lsnSchema,
    sinceUs: z.int(),
    bytesMax: z.int().min(0).nullable(),
    copies: lsnSchema,
    branches: z
      .object({
        knownTo: epochSchema,
        live: z.array(z.object({ head: epochSchema, keepFrom: lsnSchema })).max(branchLimits.liveMax),
      })
      .exactOptional(),
  }),
  [messageKinds.members]: membersRequestSchema,
  [messageKinds.fetchImages]: z.object({
    kind: z.literal('fetchImages'),
    head: epochSchema,
    fromPage: pageSchema,
    bytesMax: z.int().min(1).max(refillLimits.batchBytes),
  }),
  [messageKinds.locate]: z.object({
    kind: z.literal('locate'),
    head: epochSchema,
    upTo: lsnSchema,
    atUs: z.int().nullable(),
  }),
} as const;

export const putImagesSchema = z.object({
  kind: z.literal('putImages'),
  authority: epochSchema,
  head: epochSchema,
  at: floorSchema,
  fromPage: pageSchema,
  next: pageSchema.nullable(),
  pages: z.array(pageSchema),
});

export const imagesSchema = z.object({
  kind: z.literal('images'),
  at: floorSchema,
  pages: z.array(pageSchema),
  next: pageSchema.nullable(),
  total: z.int().min(0),
});

export const replySchemas = {
  [messageKinds.sealed]: z.object({
    kind: z.literal('sealed'),
    forks: forksSchema,
    fresh: z.boolean(),
    empty: z.boolean(),
  }),
  [messageKinds.surveyed]: z.object({
    kind: z.literal('surveyed'),
    volumeEnd: lsnSchema,
    scls: sclsSchema,
    vdl: lsnSchema,
    chain: z.array(z.tuple([z.int(), z.int(), z.int(), z.int()])),
    floor: floorSchema.exactOptional(),
    readableFrom: lsnSchema.exactOptional(),
    refilledBytes: z.int().exactOptional(),
  }),
  [messageKinds.forked]: z.object({ kind: z.literal('forked') }),
  [messageKinds.statusReply]: z.object({
    kind: z.literal('status'),
    region: z.string(),
    node: z.string(),
    az: z.string(),
    head: epochSchema,
    sealed: epochSchema,
    scl: lsnSchema,
    vdl: lsnSchema,
    pid: z.int(),
    startedAtMs: z.number(),
    logBytes: z.number(),
    version: z.string().max(64).exactOptional(),
    logFiles: z.int().exactOptional(),
    sealedFiles: z.int().exactOptional(),
    trouble: z.string().exactOptional(),
    repaired: z
      .object({
        fromLsn: lsnSchema,
        toLsn: lsnSchema,
        wasEmpty: z.boolean(),
        beganAtUs: z.int(),
        endedAtUs: z.int(),
        bytes: z.int(),
      })
      .exactOptional(),
    floor: floorSchema.exactOptional(),
    imageBytes: z.number().exactOptional(),
    needsImages: z.string().exactOptional(),
    membership: membershipSchema.exactOptional(),
    refill: z.object({ bytes: z.int(), totalBytes: z.int(), bytesPerSecond: z.int() }).exactOptional(),
    branches: z.array(branchStatusSchema).exactOptional(),
    known: z
      .object({ forks: forksSchema, isWhole: z.boolean(), mayWitness: z.boolean().exactOptional() })
      .exactOptional(),
  }),
  [messageKinds.refused]: z.object({
    kind: z.literal('refused'),
    code: z.enum(refusalCodes),
    reason: z.string(),
    sealed: epochSchema,
    floor: floorSchema.exactOptional(),
    membership: membershipSchema.exactOptional(),
  }),
  [messageKinds.retained]: z.object({
    kind: z.literal('retained'),
    head: epochSchema,
    images: lsnSchema,
    floor: floorSchema,
    window: lsnSchema,
    lowWater: lsnSchema,
    logBytes: z.number(),
    imageBytes: z.number(),
  }),
  [messageKinds.membersReply]: membersReplySchema,
  [messageKinds.imagesPut]: z.object({
    kind: z.literal('imagesPut'),
    next: pageSchema.nullable(),
    pages: z.int().min(0),
    low: lsnSchema.nullable(),
    floor: floorSchema.nullable(),
  }),
  [messageKinds.located]: z.object({
    kind: z.literal('located'),
    lsn: lsnSchema,
    commitTimeUs: z.number().nullable(),
  }),
} as const;

export const fetchedSchema = z.object({
  kind: z.literal('fetched'),
  head: epochSchema,
  vdl: lsnSchema,
  next: lsnSchema,
  forks: forksSchema,
});
