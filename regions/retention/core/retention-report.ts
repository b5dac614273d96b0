/** What an agent tells everybody of the log that its nodes keep. */
import { z } from 'zod';

export const retentionReportSchema = z.object({
  hours: z.number().describe('The window.'),
  bytes: z.number().nullable().describe('The most log a node keeps; null without a limit.'),
  floor: z.int().describe('The lowest LSN from which on a node keeps its log; 0 while one has all of it.'),
  held: z
    .array(z.object({ reason: z.string(), bytes: z.number() }))
    .describe(
      'Redo above that, by what it is kept for: `window`; `secondary <region>` or `backup`, which lacks it; `images`, which fewer than four nodes have; `lost writes`, which are being looked for; `primary <region>`, whose nodes keep it, so that a branch may leave there yet; `control record`, which the primary could not read; `files`, for the rest of a file.',
    ),
  letGo: z
    .array(z.object({ region: z.string(), reason: z.string() }))
    .describe('Regions, or `backup`, that the log is kept for no longer.'),
});
export type RetentionReport = z.infer<typeof retentionReportSchema>;
