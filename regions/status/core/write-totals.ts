/** What a writer has committed, as its gateway tells everybody. */
import { z } from 'zod';

/** Totals only rise while the process lives: whoever draws rates takes differences. */
export const writeTotalsSchema = z.object({
  commits: z.int().describe('Commits that became durable.'),
  unknown: z.int().describe('Commits of which it is not known.'),
  redoBytes: z.number(),
  latency: z
    .array(z.int())
    .describe(
      'Durable commits by the time from the engine to durable, one count for each bound, one beyond.',
    ),
});
export type WriteTotals = z.infer<typeof writeTotalsSchema>;
