/** What the admin API takes and gives. `/openapi.json` is made of these, so that it cannot differ from what is served. */
import { z } from 'zod';
import { lossReportSchema, nodeReportSchema, operationSchema } from '../../../regions/core.ts';

export const switchoverSchema = z
  .strictObject({ target: z.string().describe('Region to become primary.') })
  .describe('Moves the primary without loss; needs both regions.');

export const failoverSchema = z
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

export const errorSchema = z.object({ code: z.string(), message: z.string(), error: z.string().optional() });

export const statusSchema = z.object({
  cluster: z.string(),
  epoch: z.int(),
  primary: z.string().nullable(),
  state: z.enum(['stable', 'switching', 'failing-over', 'degraded']),
  holder: z.string().nullable(),
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
      ageMs: z.number().nullable().describe('How old the region\u2019s own word is; null when never heard.'),
      ready: z.boolean(),
      gateway: z.string().nullable(),
      agent: z.string().nullable(),
      writer: z.string().nullable(),
      nodes: z.array(nodeReportSchema),
    }),
  ),
});

export const lossSummarySchema = lossReportSchema.omit({ commits: true });

export const lossesSchema = z.object({
  losses: z.array(lossSummarySchema),
  unreachable: z.array(z.string()).describe('Regions that did not answer: what they know is missing here.'),
  unanswered: z
    .array(z.object({ region: z.string(), epoch: z.int() }))
    .describe(
      'Regions that answered and have not looked yet: they may know of more once they follow this epoch.',
    ),
});

export const readySchema = z.object({
  ready: z.boolean(),
  reasons: z.array(z.string()).describe('Why not; empty when ready.'),
  region: z.string(),
  gateway: z.string(),
  phase: z.string(),
  epoch: z.int(),
  vdl: z.int(),
});

export { lossReportSchema, operationSchema };
