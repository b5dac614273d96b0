/** The report of a drill: what `report.json` holds, what the API answers, and what the other forms of it are made of. */
import { z } from 'zod';
import { drillKinds, drillRequestSchema } from './drill-kinds.ts';
import { drillPhases } from './drill-phases.ts';

const ms = z.number();

const objectiveSchema = z.object({
  name: z.enum(['rtoMs', 'rpoCommits']),
  limit: z.number(),
  /** Null when there was nothing to measure: writes did not come back. */
  actual: z.number().nullable(),
  held: z.boolean(),
});
export type Objective = z.infer<typeof objectiveSchema>;

const checkSchema = z.object({
  name: z.string(),
  held: z.boolean(),
  /** What was seen, or each thing that does not fit. */
  detail: z.string(),
});
export type Check = z.infer<typeof checkSchema>;

const phaseSchema = z.object({
  name: z.enum([...drillPhases, 'healing']),
  /** Since the beginning of the drill. */
  startedAtMs: ms,
  endedAtMs: ms,
  outcome: z.enum(['passed', 'failed', 'interrupted']),
});
export type PhaseRecord = z.infer<typeof phaseSchema>;

const lagSampleSchema = z.object({
  atMs: ms,
  region: z.string(),
  lagMs: ms.nullable(),
  lagBytes: z.number().nullable(),
});
export type LagSample = z.infer<typeof lagSampleSchema>;

export const drillReportSchema = z.object({
  v: z.literal(1),
  id: z.string(),
  kind: z.enum(drillKinds),
  passed: z.boolean(),
  /** Somebody stopped it, or its process was told to end. */
  interrupted: z.boolean(),
  startedAt: z.string(),
  endedAt: z.string(),
  request: drillRequestSchema,
  cluster: z.string(),
  regions: z.array(z.string()),
  region: z.string(),
  primaryBefore: z.string(),
  primaryAfter: z.string().nullable(),
  epochBefore: z.int(),
  epochAfter: z.int().nullable(),
  objectives: z.array(objectiveSchema),
  checks: z.array(checkSchema),
  /** From the fault (a lost region), or from the last write before the longest pause (everything else), to the write that ended it. */
  rtoMs: ms.nullable(),
  /** The stretch that `rtoMs` is; it ends with null when writes did not come back. Left out by older versions, and without a fault. */
  outage: z.object({ fromMs: ms, toMs: ms.nullable() }).exactOptional(),
  /** From when the oldest lost write was sent to the fault, or to when the newest was sent if that is later; 0 when none was lost. */
  rpoMs: ms,
  rpoCommits: z.int(),
  rpoBytes: z.number(),
  /** Longest time without an acknowledged write, by the clients that are the stopwatch. */
  writeStallMs: ms,
  detectionMs: ms.nullable(),
  /** What the time to recover was made of, in order. */
  rtoPhases: z.array(z.object({ name: z.string(), ms })),
  /** False when no region's data could be held against the ledger: then nothing is known of losses, and 0 says nothing. */
  dataCompared: z.boolean().default(true),
  acknowledgedWrites: z.int(),
  refusedWrites: z.int(),
  unknownWrites: z.int(),
  /** Acknowledged writes that no region has. */
  lostWrites: z.int(),
  /** Commits that the deployment reports as lost since the drill began. */
  reportedLost: z.int(),
  lost: z.array(
    z.object({
      id: z.int(),
      region: z.string(),
      acknowledgedAt: z.string(),
      traceId: z.string(),
      reported: z.boolean(),
    }),
  ),
  /** What clients were told of the writes that failed, and how often. */
  failures: z.array(z.object({ code: z.string(), outcome: z.enum(['refused', 'unknown']), count: z.int() })),
  regionsEqual: z.boolean(),
  /** From the beginning of the move back to every region level again; null when nothing had to move back. */
  failbackMs: ms.nullable(),
  /** Longest time without an acknowledged write during the move back. */
  failbackStallMs: ms.nullable(),
  traceId: z.string(),
  timeline: z.array(z.object({ atMs: ms, phase: z.string(), event: z.string() })),
  phases: z.array(phaseSchema),
  lag: z.array(lagSampleSchema),
  throughput: z.array(z.object({ atMs: ms, acknowledged: z.int(), refused: z.int(), unknown: z.int() })),
  latency: z.object({ steadyP50Ms: ms.nullable(), steadyP99Ms: ms.nullable(), allP99Ms: ms.nullable() }),
  versions: z.record(z.string(), z.string()),
  machine: z.record(z.string(), z.string()),
});
export type DrillReport = z.infer<typeof drillReportSchema>;

export const drillStateSchema = z.enum(['running', 'passed', 'failed', 'abandoned']);
/** `abandoned`: its process ended without a report, and may have left something broken. */
export type DrillRunState = z.infer<typeof drillStateSchema>;

export const drillSummarySchema = z.object({
  id: z.string(),
  kind: z.enum(drillKinds),
  state: drillStateSchema,
  startedAt: z.string(),
  rtoMs: ms.nullable(),
  /** Null while it is not known: the drill runs, or its data were not compared. */
  rpoCommits: z.int().nullable(),
  lostWrites: z.int().nullable(),
});
/** One line of `GET /v1/drills`. */
export type DrillSummary = z.infer<typeof drillSummarySchema>;

/** What `POST /v1/drills` and `GET /v1/drills/{id}` answer: the summary, and the report once there is one. */
export const drillAnswerSchema = drillSummarySchema.extend({ report: drillReportSchema.nullable() });
export type DrillAnswer = z.infer<typeof drillAnswerSchema>;

/** What a running drill has left on disk so far. */
export const drillBegunSchema = z.object({
  id: z.string(),
  kind: z.enum(drillKinds),
  startedAt: z.string(),
  pid: z.int(),
});
export type DrillBegun = z.infer<typeof drillBegunSchema>;

export function summaryOf(report: DrillReport): DrillSummary {
  const { id, kind, passed, startedAt, rtoMs, dataCompared } = report;
  const lost = dataCompared
    ? { rpoCommits: report.rpoCommits, lostWrites: report.lostWrites }
    : { rpoCommits: null, lostWrites: null };
  return { id, kind, state: passed ? 'passed' : 'failed', startedAt, rtoMs, ...lost };
}
