/** What `POST /v1/regions` takes and gives. */
import { z } from 'zod';

export const membershipChangeSchema = z
  .union([
    z.strictObject({ add: z.string().describe('Region to take in.') }),
    z.strictObject({ remove: z.string().describe('Secondary region to let go.') }),
  ])
  .describe('One region that comes or goes.');
export type MembershipChange = z.output<typeof membershipChangeSchema>;

export const departedSchema = z
  .object({
    region: z.string(),
    epoch: z.int().describe('The reign whose path it followed.'),
    vdl: z.int().nullable().describe('What was durable in it; null when it was not known.'),
    lagBytes: z.number().nullable().describe('Durable in the primary and not in it; null while unknown.'),
    lagMs: z.number().nullable().describe('Age of the oldest commit that it lacked; null while unknown.'),
    heardMsAgo: z.number().nullable().describe('How old that is; null when it was never heard.'),
  })
  .describe('How the region stood when it left.');
export type Departed = z.output<typeof departedSchema>;

export const membershipSchema = z
  .object({
    regions: z.array(z.string()).describe('Every region of the deployment from now on.'),
    left: departedSchema.nullable().describe('Null when none has left.'),
  })
  .describe('The regions of the deployment.');
export type MembershipBody = z.output<typeof membershipSchema>;
