/** What is asked of a region's agent about the region's storage nodes, and what it answers: `/v1/regions/{region}/members`. */
import { z } from 'zod';

const nodeName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,62}$/,
    'a node name is 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit',
  );

export const membersActSchema = z
  .discriminatedUnion('act', [
    z.strictObject({
      act: z.literal('replace'),
      out: nodeName.describe('The node to take out; it need not answer.'),
      node: nodeName.describe('Name of the new node, which has to run already.'),
      address: z
        .string()
        .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, 'host:port, such as 10.0.0.7:7007')
        .describe('Where the new node listens, as every process of the region reaches it.'),
      az: z.string().min(1).optional().describe('Its zone; left out, that of the old node.'),
    }),
    z.strictObject({ act: z.literal('resume') }),
    z.strictObject({ act: z.literal('cancel') }),
  ])
  .describe('Replaces a storage node, goes on with a replacement, or gives it up.');
export type MembersAct = z.output<typeof membersActSchema>;

export const membersSchema = z.object({
  region: z.string(),
  epoch: z
    .int()
    .describe('Of the membership: 0 is what the region\u2019s file says, and every step takes the next.'),
  nodes: z.array(
    z.object({
      id: z.string(),
      az: z.string(),
      address: z.string(),
      role: z.enum(['member', 'leaving', 'joining']),
    }),
  ),
  joining: z
    .object({ out: z.string(), in: z.string() })
    .nullable()
    .describe('The replacement under way; null while there is none.'),
  change: z
    .object({
      goal: z.enum(['replace', 'resume', 'cancel']),
      phase: z.enum(['probing', 'installing', 'preparing', 'voting', 'filling', 'ended']),
      filledLsn: z.int().nullable().describe('Up to here the new node is complete.'),
      ofLsn: z.int().nullable().describe('Up to here the region is durable.'),
      waitsFor: z.string().describe('In words; empty when for nothing but answers under way.'),
      startedAtMs: z.number(),
    })
    .nullable()
    .describe('What this agent is doing about it; null while it does nothing.'),
  ended: z
    .object({
      outcome: z.enum(['replaced', 'reverted', 'nothing', 'refused']),
      message: z.string(),
      endedAtMs: z.number(),
    })
    .nullable()
    .describe('How the last one ended that this agent has coordinated; null before one has.'),
});
export type Members = z.output<typeof membersSchema>;
