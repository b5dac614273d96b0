/** How much of the log is kept: what an operator sets, and what follows from it. */
import { z } from 'zod';

const KiB = 1024;
const MiB = 1024 * KiB;

export const retentionLimits = {
  /** The window where none is set. */
  hoursDefault: 24,
  /** Ten years. */
  hoursMax: 87_600,
  /** Less than this is not a log but a queue. */
  bytesMin: MiB,
  /** For what a secondary lacks a node's log may be so many times as long as `bytes`; a longer one lets the secondary go. */
  awayFactor: 2,
  /** How often the agent tells its nodes what is needed. */
  everyMs: 2_000,
  /** A region that was heard within it says itself how far it is: it speaks several times in that time. */
  youngMs: 3_000,
  /** An older answer of a node counts no more. */
  answerAgeMs: 10_000,
} as const;

const hoursText = `more than 0, at most ${retentionLimits.hoursMax}`;

/** `retention` of a region's file and of an agent's configuration. */
export const retentionSchema = z.strictObject({
  hours: z
    .number(hoursText)
    .gt(0, hoursText)
    .max(retentionLimits.hoursMax, hoursText)
    .default(retentionLimits.hoursDefault),
  bytes: z
    .int('bytes, at least 1 MiB')
    .min(retentionLimits.bytesMin, `at least ${retentionLimits.bytesMin}: 1 MiB`)
    .optional(),
});
export type RetentionConfig = z.output<typeof retentionSchema>;

/** Where nothing is set. */
export const retentionDefault: RetentionConfig = { hours: retentionLimits.hoursDefault };
