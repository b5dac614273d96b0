/** What a rewind is asked for with, and how it is going. */
import { z } from 'zod';

export const rewindRequestSchema = z
  .strictObject({
    to: z
      .string()
      .describe(
        'An LSN, a time with its zone, or EPOCH:LSN of a path that was left: the last transaction at or before it.',
      ),
    branch: z.string().default('main').describe('Only main can be rewound.'),
  })
  .describe('Takes the database back, or forward again, to a place in its history, in every region.');
export type RewindRequest = z.output<typeof rewindRequestSchema>;

const placeSchema = z.object({ epoch: z.int(), lsn: z.int() });

export const rewindSchema = z.object({
  id: z.string(),
  state: z.enum(['under-way', 'done', 'given-up']),
  branch: z.string(),
  epoch: z.int().describe('Allotted to it; the database goes on in this epoch, or in a later one.'),
  to: placeSchema.extend({
    commitTime: z
      .string()
      .nullable()
      .describe('Of the last transaction that is kept; null where the log does not say.'),
  }),
  left: placeSchema
    .nullable()
    .describe(
      'The end of the path that was left: a rewind to there goes forward again. Null until it is done.',
    ),
  startedAtMs: z.number(),
  tookMs: z.number().nullable().describe('From the request until writes went on; null until then.'),
  reason: z.string().nullable().describe('Why it was given up; null otherwise.'),
});
export type RewindReport = z.output<typeof rewindSchema>;
