/** What an agent tells everybody of its region's backup: in its reports, in `/v1/status` and `/v1/backups`. */
import { z } from 'zod';

export const backupReportSchema = z.object({
  store: z.string().describe('Where it lies.'),
  keepDays: z.int(),
  through: z.int().describe('LSN up to which the log is in the store, along the path of the region.'),
  throughUs: z
    .number()
    .nullable()
    .describe('Time of the newest commit in the store, Unix microseconds; null before there was one.'),
  ageMs: z
    .number()
    .describe(
      'How long the store has lacked something that is durable in the region; 0 while it lacks nothing.',
    ),
  lagBytes: z.number().describe('Redo that it lacks.'),
  bytes: z.number().describe('Of all its objects.'),
  objects: z.int(),
  uploadedBytes: z.number().describe('Sent to the store since the agent started.'),
  failures: z.int().describe('Requests to the store that failed since the agent started.'),
  sets: z.int().describe('Whole image sets on the path.'),
  setLsn: z.int().nullable().describe('The newest of them.'),
  oldestUs: z
    .number()
    .nullable()
    .describe('A restore reaches back to about here, Unix microseconds; null when not known.'),
  nextSet: z
    .object({
      reason: z.string().nullable().describe('Why one is due; null while none is.'),
      percent: z.number().nullable().describe('Of the one that is being uploaded; null while none is.'),
      afterBytes: z.number().nullable().describe('Log until the next one is due at the latest.'),
    })
    .describe('The next image set.'),
  gaps: z.int().describe('Stretches of the log that are missing: nothing can be restored to a place in one.'),
  trouble: z.string().nullable().describe('Why it does not get on, in words; null while it does.'),
});
export type BackupReport = z.infer<typeof backupReportSchema>;

/** Of each region that has one. */
export const backupsSchema = z.object({
  backups: z.array(backupReportSchema.extend({ region: z.string(), reportAgeMs: z.number().nullable() })),
});
export type Backups = z.infer<typeof backupsSchema>;
