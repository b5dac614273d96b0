/**
 * Requests to a region's agent, and the operations it runs: what is asked over NATS by a gateway, and what
 * `GET /v1/operations/{id}` answers.
 */
import { z } from 'zod';
import { branchCreateSchema, branchSchema } from '../../branches/core/branch-request.ts';
import { membersActSchema, membersSchema } from '../../members/core/members-request.ts';
import { membershipChangeSchema, membershipSchema } from '../../membership/core/membership-request.ts';
import { policyChangeSchema, policySchema } from '../../policy/core/policy-request.ts';
import { rewindRequestSchema, rewindSchema } from '../../rewind/core/rewind-request.ts';
import { branchLackSchema } from './branch-lacks.ts';
import { lossReportSchema } from './loss-report.ts';

export const operationSchema = z.object({
  id: z.string(),
  kind: z.enum(['switchover', 'failover']),
  target: z.string(),
  from: z.string(),
  /** Begun by the policy and by nobody's hand. */
  automatic: z.boolean().exactOptional(),
  state: z.enum(['running', 'done', 'failed']),
  /** Of its spans; left out while no collector is set. */
  traceId: z.string().exactOptional(),
  phases: z.array(z.object({ name: z.string(), startedAtMs: z.number(), endedAtMs: z.number().nullable() })),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  result: z
    .object({
      epoch: z.int(),
      /** From holding writes to the new writer taking them. */
      pauseMs: z.number().optional(),
      /** From the request to the new writer taking writes. */
      rtoMs: z.number().optional(),
      /** The same from the last write that is part of history; left out while its time is not known. */
      rtoFromLastWriteMs: z.number().exactOptional(),
      /** What is known at once; the exact list follows when the lost region is back. */
      loss: z
        .object({
          forkLsn: z.int(),
          /** Null when nobody heard the lost primary in its last reign, and then neither is known. */
          lastHeardVdl: z.int().nullable(),
          atRiskBytes: z.int().nullable(),
          exact: z.boolean(),
          /** Branches of which the lost region was heard to have more; left out when there is none. */
          branches: z.array(branchLackSchema).exactOptional(),
        })
        .optional(),
    })
    .optional(),
});
export type Operation = z.infer<typeof operationSchema>;

export const agentRequestSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('switchover'), target: z.string() }),
  z.object({
    kind: z.literal('failover'),
    target: z.string(),
    allowDataLoss: z.boolean(),
    /** Regions whose redo beyond the target's is given up by name. */
    sacrifice: z.array(z.string()).optional(),
  }),
  z.object({ kind: z.literal('operation'), id: z.string() }),
  z.object({ kind: z.literal('cancel'), id: z.string() }),
  z.object({ kind: z.literal('losses') }),
  z.object({ kind: z.literal('policy') }),
  z.object({ kind: z.literal('change-policy'), change: policyChangeSchema }),
  z.object({ kind: z.literal('change-regions'), change: membershipChangeSchema }),
  z.object({ kind: z.literal('create-branch'), branch: branchCreateSchema }),
  z.object({ kind: z.literal('delete-branch'), name: z.string() }),
  z.object({ kind: z.literal('begin-rewind'), request: rewindRequestSchema }),
  z.object({ kind: z.literal('rewind'), id: z.string() }),
  z.object({ kind: z.literal('members') }),
  z.object({ kind: z.literal('change-members'), act: membersActSchema }),
]);
export type AgentRequest = z.infer<typeof agentRequestSchema>;

export const agentReplySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('operation'), operation: operationSchema }),
  z.object({
    kind: z.literal('losses'),
    reports: z.array(lossReportSchema),
    /** The newest epoch the agent knows of, and the newest under which it has looked at all that its nodes hold. */
    epoch: z.int().optional(),
    lookedUnder: z.int().optional(),
    /** Branches of which it has yet to look; left out by an older agent. */
    branchesToLook: z.array(z.string()).exactOptional(),
  }),
  z.object({ kind: z.literal('policy'), policy: policySchema }),
  z.object({ kind: z.literal('regions'), membership: membershipSchema }),
  z.object({ kind: z.literal('branch'), branch: branchSchema }),
  z.object({ kind: z.literal('rewind'), rewind: rewindSchema }),
  z.object({ kind: z.literal('members'), members: membersSchema }),
  z.object({ kind: z.literal('refused'), code: z.string(), message: z.string() }),
]);
export type AgentReply = z.infer<typeof agentReplySchema>;

/** The region whose agent runs an operation, out of its id; null when it is no operation id. */
export function operationRegion(id: string): string | null {
  const at = id.indexOf('.');
  return at > 0 ? id.slice(0, at) : null;
}
