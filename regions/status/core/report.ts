/**
 * What a region's agent and gateways tell everybody a few times a second. A report is news, not truth: nothing is decided by it, and
 * an old one says that its region is offline.
 */
import { z } from 'zod';
import { forkSchema } from '../../../storage/core.ts';
import { retentionReportSchema } from '../../retention/core/retention-report.ts';
import { backupReportSchema } from './backup-report.ts';
import { databaseReportSchema } from './database-report.ts';
import { writeTotalsSchema } from './write-totals.ts';

/** Percentiles over the last minute, and for how long it has been far slower than the others; see `AppendTimes`. */
const appendTimeSchema = z.object({ p50Ms: z.number(), p99Ms: z.number(), slowMs: z.number() });

/** One storage node, in reports and in `GET /v1/status`. */
export const nodeReportSchema = z.object({
  id: z.string(),
  az: z.string(),
  /** `up`: answers; `behind`: answers and lacks durable redo; `down`: does not answer. */
  state: z.enum(['up', 'behind', 'down']),
  /** Null while the node does not answer. */
  scl: z.int().nullable(),
  pid: z.int().nullable(),
  address: z.string(),
  /** Of Sextant. Left out while the node does not answer, and by one from before it was told. */
  version: z.string().exactOptional(),
  /** What keeps a node that answers from taking writes, in its own words. */
  trouble: z.string().exactOptional(),
  /** What it keeps on its disk; left out by an older node, or one that does not answer. */
  logBytes: z.number().exactOptional(),
  imageBytes: z.number().exactOptional(),
  /** From which LSN on it keeps the log: below that there are images only. */
  floor: z.int().exactOptional(),
  /** Why the log of its peers does not bring it up, in its own words. */
  needsImages: z.string().exactOptional(),
  /** Its part in a replacement that is under way; left out on all others. */
  role: z.enum(['leaving', 'joining']).exactOptional(),
  /** How long it takes to acknowledge redo, by the writer's clock; left out in secondaries, and while too little is written. */
  append: appendTimeSchema.exactOptional(),
});
export type NodeReport = z.infer<typeof nodeReportSchema>;

const lagReportSchema = z.object({
  region: z.string(),
  lagBytes: z.number(),
  /** Null while the oldest commit that is missing there is unknown. */
  lagMs: z.number().nullable(),
  /** Commits not durable there: so many, or at least so many; null while unknown. Left out by an older agent. */
  lagCommits: z.int().nullable().optional(),
  lagCommitsExact: z.boolean().optional(),
  vdl: z.int(),
  online: z.boolean(),
  /** How long it has stood still while the primary has more; 0 while it gets on. */
  stalledMs: z.number().optional(),
  /** Why the log does not bring it up any more, in words. */
  needsImages: z.string().exactOptional(),
});

/** A branch in one region. */
const branchReportSchema = z.object({
  name: z.string(),
  /** Its newest epoch there, and what is durable in the region along that path. */
  epoch: z.int().min(0),
  vdl: z.int().min(0),
  /** For a primary: how far every secondary that has it is behind. */
  lag: z.array(z.object({ region: z.string(), lagBytes: z.number(), lagMs: z.number().nullable() })),
});
export type BranchReport = z.infer<typeof branchReportSchema>;

export const regionReportSchema = z.object({
  v: z.literal(1),
  region: z.string(),
  agent: z.string(),
  gateway: z.string().nullable(),
  /** Of Sextant, as the agent runs it. Left out by an older agent. */
  version: z.string().exactOptional(),
  /** The path its nodes follow, and what is durable in the region along it; null while it does not know. */
  epoch: z.int().min(0),
  vdl: z.int().min(0).nullable(),
  /** The newest part of that path. */
  forks: z.array(forkSchema).optional(),
  /** The highest epoch that any of its nodes has forked, followed or sealed for. */
  highestEpoch: z.int().min(0).optional(),
  /** For a secondary: receiving, and from whom it last heard what; null when it heard nobody. */
  following: z.boolean(),
  followed: z.string().nullable().optional(),
  primaryVdl: z.int().min(0).nullable(),
  /** For a secondary: at most so long before it was sent the region held all that its primary had called durable. */
  levelMsAgo: z.number().nullable().optional(),
  /** For a secondary: how long it has stood still behind a primary that it hears; 0 while it gets on. */
  stalledMs: z.number().optional(),
  /** The primary that its agent holds for lost, and why no failover begins by itself all the same. */
  suspects: z.object({ primary: z.string(), epoch: z.int(), reason: z.string() }).exactOptional(),
  noFailover: z.string().exactOptional(),
  nodes: z.array(nodeReportSchema),
  /** Epoch of the membership that its agent believes in. Left out by an older agent. */
  membershipEpoch: z.int().exactOptional(),
  /** For a primary: how far every secondary is behind. */
  lag: z.array(lagReportSchema),
  lossEpochs: z.array(z.int()),
  /** The branches that its nodes have. Left out while there is none, and by an older agent. */
  branches: z.array(branchReportSchema).exactOptional(),
  /** What its nodes keep their log for. Left out by an older agent. */
  retention: retentionReportSchema.exactOptional(),
  /** Of the region's backup; left out without one. */
  backup: backupReportSchema.exactOptional(),
  /** The newest failovers that its agent has carried out, with the epochs that they began. Left out by an older agent. */
  failovers: z.array(z.object({ id: z.string(), epoch: z.int() })).exactOptional(),
  /** How long the last moves to this region took; see `MoveStopwatch`. Left out by an older agent. */
  took: z.object({ switchoverMs: z.number().nullable(), promotionMs: z.number().nullable() }).exactOptional(),
  /** When it was first said: a region that has nothing new to say says the same again. */
  sentAtMs: z.number(),
  /** What is wrong with NATS as its agent sees it, in words. */
  trouble: z.string().exactOptional(),
});
export type RegionReport = z.infer<typeof regionReportSchema>;

export const gatewayReportSchema = z.object({
  v: z.literal(1),
  region: z.string(),
  gateway: z.string(),
  address: z.string(),
  /** What keeps the databases. Left out by an older gateway. */
  engine: z.enum(['sqlite', 'postgres']).exactOptional(),
  /** Where it takes PostgreSQL clients; left out where SQLite keeps the databases. */
  postgres: z.string().exactOptional(),
  pid: z.int(),
  /** Of Sextant. Left out by an older gateway. */
  version: z.string().exactOptional(),
  phase: z.enum(['reading', 'claiming', 'recovering', 'writing', 'draining', 'releasing']),
  epoch: z.int().nullable(),
  ready: z.boolean(),
  vdl: z.int(),
  /** For the writer: how long its lease has been suspended; left out while it is valid. */
  suspendedMs: z.number().exactOptional(),
  /** For a writer: redo that is not within the RPO, and the answers that wait for it; left out while there is none. */
  hold: z.object({ rpoMs: z.number(), answers: z.int(), forMs: z.number() }).exactOptional(),
  /** For a writer: what it has committed since its process started. Left out by an older gateway. */
  writes: writeTotalsSchema.exactOptional(),
  /** Main and the branches that were asked for there. Left out by an older gateway. */
  databases: z.array(databaseReportSchema).exactOptional(),
  /** For a writer: how long each storage node takes. Left out by an older gateway. */
  appends: z.array(appendTimeSchema.extend({ node: z.string() })).exactOptional(),
});
export type GatewayReport = z.infer<typeof gatewayReportSchema>;

/** Either of the two, told apart by `kind`. */
export const reportSchema = z.discriminatedUnion('kind', [
  regionReportSchema.extend({ kind: z.literal('region') }),
  gatewayReportSchema.extend({ kind: z.literal('gateway') }),
]);
export type Report = z.infer<typeof reportSchema>;
