/** What the admin API takes and gives. `/openapi.json` is made of these, so that it cannot differ from what is served. */
import { z } from 'zod';
import { branchCreateSchema, branchesSchema, branchSchema } from '../../branches/core/branch-request.ts';
import { drillRequestSchema } from '../../drills/core/drill-kinds.ts';
import { drillAnswerSchema, drillSummarySchema } from '../../drills/core/drill-report.ts';
import { membersActSchema, membersSchema } from '../../members/core/members-request.ts';
import { membershipChangeSchema, membershipSchema } from '../../membership/core/membership-request.ts';
import { unansweredSchema } from '../../moves/core/loss-answers.ts';
import { lossReportSchema } from '../../moves/core/loss-report.ts';
import { operationSchema } from '../../moves/core/operations.ts';
import { policyChangeSchema, policySchema } from '../../policy/core/policy-request.ts';
import { readinessSchema } from '../../readiness/core/readiness.ts';
import { rebuildReplySchema, rebuildRequestSchema } from '../../rebuild/core/rebuild-request.ts';
import { retentionReportSchema } from '../../retention/core/retention-report.ts';
import { rewindRequestSchema, rewindSchema } from '../../rewind/core/rewind-request.ts';
import { backupReportSchema, backupsSchema } from '../../status/core/backup-report.ts';
import { openBranchSchema, readerCountsSchema } from '../../status/core/database-report.ts';
import { endpointsSchema } from '../../status/core/endpoints.ts';
import { nodeReportSchema } from '../../status/core/report.ts';
import { writeTotalsSchema } from '../../status/core/write-totals.ts';

const switchoverSchema = z
  .strictObject({ target: z.string().describe('Region to become primary.') })
  .describe('Moves the primary without loss; needs both regions.');

const failoverSchema = z
  .strictObject({
    target: z.string().describe('Region to become primary.'),
    allowDataLoss: z
      .boolean()
      .default(false)
      .describe('Accept that writes which had not reached the target are lost.'),
    sacrifice: z
      .array(z.string())
      .default([])
      .describe(
        'Regions whose redo beyond the target\u2019s is given up by name. Without it a failover is refused while a region that is heard holds more, or when the target never followed the last primary.',
      ),
  })
  .describe('Moves the primary away from a region that no longer answers.');

const errorSchema = z.object({ code: z.string(), message: z.string(), error: z.string().optional() });

const statusSchema = z.object({
  cluster: z.string(),
  engine: z
    .enum(['sqlite', 'postgres'])
    .nullable()
    .default(null)
    .describe('What keeps the databases, in every region alike; null until a gateway was heard.'),
  epoch: z.int(),
  primary: z.string().nullable(),
  state: z.enum(['stable', 'switching', 'failing-over', 'degraded']),
  holder: z.string().nullable(),
  rewind: z
    .object({
      id: z.string(),
      epoch: z.int(),
      to: z.object({ epoch: z.int(), lsn: z.int() }),
      startedAtMs: z.number(),
    })
    .exactOptional()
    .describe('Under way; left out while none is.'),
  policy: policySchema.nullable().describe('Null while no control record has been seen.'),
  failover: z
    .object({
      automatic: z.boolean(),
      reason: z
        .string()
        .nullable()
        .describe('Why none begins by itself, or not now; null when nothing is in the way.'),
      suspectedBy: z.array(z.string()).describe('Regions whose agents hold the primary for lost.'),
    })
    .describe('Whether a failover begins by itself.'),
  hold: z
    .object({
      rpoMs: z.number().describe('The policy that the writer has in force.'),
      answers: z.int().describe('How many wait now.'),
      forMs: z.number().describe('How long the oldest of it has been durable in the primary alone.'),
      waitsFor: z.array(z.string()).describe('Any one of these regions would let them go.'),
    })
    .nullable()
    .describe(
      'What is durable in the primary and not within the RPO, so that answers wait for it; null while nothing is.',
    ),
  branches: z.array(branchSchema).describe('Beside main; see /v1/branches.'),
  regions: z.array(
    z.object({
      name: z.string(),
      role: z.enum(['primary', 'secondary', 'offline']),
      epoch: z.int(),
      vdl: z.int().nullable().describe('Null while the region does not know what its nodes hold.'),
      lagBytes: z.number().nullable().describe('Null while unknown, as lagMs and rpoMs.'),
      lagMs: z.number().nullable(),
      rpoMs: z.number().nullable(),
      stalledMs: z.number().describe('How long a secondary has stood still while its primary has more.'),
      holdsMs: z
        .number()
        .describe('How long answers at the primary have been waiting for what this region lacks.'),
      ageMs: z.number().nullable().describe('How old the region\u2019s own word is; null when never heard.'),
      ready: z.boolean(),
      headless: z
        .boolean()
        .default(false)
        .describe('It has no gateway: it keeps a copy, and is no target of a move.'),
      gateway: z
        .string()
        .nullable()
        .describe(
          'One of its gateways: that which writes, else one that is ready, else the last that was heard.',
        ),
      postgres: z
        .string()
        .exactOptional()
        .describe('host:port where that gateway takes PostgreSQL clients; left out with SQLite.'),
      gateways: z
        .array(
          z.object({
            name: z.string(),
            address: z.string(),
            postgres: z.string().exactOptional(),
            phase: z.enum(['reading', 'claiming', 'recovering', 'writing', 'draining', 'releasing']),
            ready: z.boolean(),
            vdl: z.int(),
            pid: z.int(),
            awake: z
              .boolean()
              .exactOptional()
              .describe('Whether main has engines there; false while it rests.'),
            readers: readerCountsSchema.exactOptional().describe('The threads that read main.'),
          }),
        )
        .default([])
        .describe('Every gateway that was heard within 3 s, by name.'),
      agent: z.string().nullable(),
      writer: z.string().nullable(),
      trouble: z
        .string()
        .exactOptional()
        .describe('What is wrong with NATS as the region\u2019s agent sees it; left out while nothing is.'),
      openBranches: z
        .array(openBranchSchema)
        .exactOptional()
        .describe('The branches that its gateways have opened; left out while there is none.'),
      versions: z
        .record(z.string(), z.string().nullable())
        .describe('Of Sextant, by process: agent, gateway/g1, storage/n1. Null where that is not known.'),
      retention: retentionReportSchema
        .exactOptional()
        .describe('What the storage nodes keep their log for; left out while it is not known.'),
      backup: backupReportSchema.exactOptional().describe('Its backup; left out where it has none.'),
      needsImages: z
        .string()
        .exactOptional()
        .describe(
          'Why the log of the primary does not bring a secondary up any more; left out while it can.',
        ),
      membershipEpoch: z
        .int()
        .exactOptional()
        .describe('0 while the nodes are those of the region\u2019s file; left out when not known.'),
      nodes: z.array(nodeReportSchema),
    }),
  ),
});

const liveEventSchema = z
  .object({
    atMs: z.number().describe('When it was made, by the wall clock of the gateway.'),
    region: z.string().describe('Of the gateway that tells it.'),
    gateway: z.string(),
    version: z.string(),
    page: z.string().describe('Changes with the console that this gateway serves.'),
    jaegerUrl: z
      .string()
      .nullable()
      .describe('Where a person looks at traces; null where that is not known.'),
    status: statusSchema,
    readiness: readinessSchema,
    move: z
      .object({
        id: z.string(),
        kind: z.enum(['switchover', 'failover']),
        from: z.string(),
        to: z.string(),
        startedAtMs: z.number(),
      })
      .nullable()
      .describe('The move that the control record names.'),
    writes: writeTotalsSchema
      .extend({
        gateway: z.string(),
        pid: z.int(),
        boundsMs: z.array(z.number()).describe('Upper bounds of `latency`, in milliseconds.'),
        ageMs: z.number().describe('How old the writer\u2019s word is.'),
      })
      .nullable()
      .describe('What the writer has committed since it started; null while nobody writes.'),
    forks: z
      .array(z.object({ epoch: z.int(), parent: z.int(), forkLsn: z.int() }))
      .describe('The newest forks of history that any region knows, by epoch.'),
    lossEpochs: z.array(z.int()).describe('Reigns of which lost writes are known.'),
  })
  .describe(
    'Everything that changes by itself, as one gateway sees it. Each event is whole and replaces the last.',
  );

const lossSummarySchema = lossReportSchema.omit({ commits: true });

const lossesSchema = z.object({
  losses: z.array(lossSummarySchema),
  unreachable: z.array(z.string()).describe('Regions that did not answer: what they know is missing here.'),
  unanswered: z
    .array(unansweredSchema)
    .describe(
      'Regions that answered and have not looked yet: they may know of more once they follow this epoch, or the newest reigns of these branches.',
    ),
});

const readySchema = z.object({
  ready: z.boolean(),
  reasons: z.array(z.string()).describe('Why not; empty when ready.'),
  region: z.string(),
  gateway: z.string(),
  phase: z.string(),
  epoch: z.int(),
  vdl: z.int(),
});

/** By the name each has in `/openapi.json`. */
export const apiSchemas = {
  Status: statusSchema,
  LiveEvent: liveEventSchema,
  Readiness: readinessSchema,
  Operation: operationSchema,
  Switchover: switchoverSchema,
  Failover: failoverSchema,
  Losses: lossesSchema,
  LossReport: lossReportSchema,
  Ready: readySchema,
  Endpoints: endpointsSchema,
  Error: errorSchema,
  Health: z.object({ status: z.literal('ok') }),
  AgentReady: z.object({ ready: z.boolean(), reason: z.string().exactOptional() }),
  Backups: backupsSchema,
  Policy: policySchema,
  PolicyChange: policyChangeSchema,
  Branches: branchesSchema,
  Branch: branchesSchema.shape.branches.element,
  BranchCreate: branchCreateSchema,
  Regions: membershipSchema,
  RegionsChange: membershipChangeSchema,
  Rewind: rewindSchema,
  RewindRequest: rewindRequestSchema,
  Members: membersSchema,
  MembersAct: membersActSchema,
  DrillRequest: drillRequestSchema,
  Drill: drillAnswerSchema,
  Drills: z.object({ drills: z.array(drillSummarySchema).describe('The newest first.') }),
  Rebuild: rebuildRequestSchema,
  Rebuilt: rebuildReplySchema,
} as const;
export type SchemaName = keyof typeof apiSchemas;
/** What a schema of that name describes. */
export type Described<N extends SchemaName> = z.output<(typeof apiSchemas)[N]>;
