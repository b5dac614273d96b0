/** What `POST /v1/control/rebuild` takes and gives. */
import { z } from 'zod';

export const rebuildRequestSchema = z.strictObject({
  /** The region to become primary; left out, the one that holds most. */
  primary: z.string().optional(),
  /** Regions that may be left out although they do not answer. */
  without: z.array(z.string()).default([]),
  /** Say what would be written, and write nothing. */
  dryRun: z.boolean().default(false),
});
export type RebuildRequest = z.output<typeof rebuildRequestSchema>;

export const rebuildReplySchema = z.object({
  primary: z.string(),
  epoch: z.int(),
  /** What the nodes of each region hold, in words. */
  found: z.string(),
  written: z.boolean(),
  /** Processes that had seen the lost record have to be started again to believe this one. */
  restart: z.boolean(),
});
export type RebuildReply = z.output<typeof rebuildReplySchema>;
