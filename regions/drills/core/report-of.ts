/** Makes the report of a drill out of what was seen. Pure: the same facts give the same verdict. */
import type { DrillRequest } from './drill-kinds.ts';
import type { DrillPlan } from './drill-plan.ts';
import type { Check, DrillReport, LagSample, PhaseRecord } from './drill-report.ts';
import type { LedgerEntry, LoadClient } from './ledger.ts';
import type { LedgerAccount } from './ledger-account.ts';
import { acknowledgements, latencyMs, longestStall, recoveryOf, throughput } from './stopwatch.ts';
import { failuresOf, objectivesOf, serviceChecks } from './verdict.ts';

/** Phases of a move as its agent timed them. */
export interface MovePhase {
  readonly name: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

/** Everything a drill has seen. Times are moments of the drill's clock (`drill-clock.ts`). */
export interface DrillFacts {
  readonly id: string;
  readonly request: DrillRequest;
  readonly plan: DrillPlan;
  readonly cluster: string;
  readonly regions: readonly string[];
  readonly clients: readonly LoadClient[];
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  readonly interrupted: boolean;
  readonly before: { readonly primary: string; readonly epoch: number };
  readonly after: { readonly primary: string | null; readonly epoch: number | null };
  readonly faultAtMs: number | null;
  readonly detectedAtMs: number | null;
  /** The stopwatch of the recovery stops here: what follows is the failback, or the end. */
  readonly watchedUntilMs: number;
  /** When a move away from the fault was asked for, and its phases. */
  readonly moveAskedAtMs: number | null;
  readonly movePhases: readonly MovePhase[];
  readonly failback: {
    readonly beganAtMs: number;
    readonly endedAtMs: number;
    readonly stalledFromMs: number;
  } | null;
  readonly entries: readonly LedgerEntry[];
  /** Null when the data could not be compared. */
  readonly account: LedgerAccount | null;
  /** Checks made on the way. */
  readonly checks: readonly Check[];
  readonly phases: readonly PhaseRecord[];
  readonly timeline: readonly { readonly atMs: number; readonly phase: string; readonly event: string }[];
  readonly lag: readonly LagSample[];
  readonly traceId: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Readonly<Record<string, string>>;
}

const bucketMs = 1_000;
const samplesMax = 12_000;
const lostListed = 10_000;

/** The regions whose clients are the stopwatch of a plan. */
export const stopwatchRegions = (plan: DrillPlan, regions: readonly string[]): readonly string[] =>
  plan.stopwatch === 'everybody' ? regions : regions.filter((name) => name !== plan.region);

/** @param iso writes a moment of the drill's clock down. */
export function reportOf(facts: DrillFacts, iso: (ms: number) => string): DrillReport {
  const { plan, request, account, entries, clients, faultAtMs } = facts;
  const watched = stopwatchRegions(plan, facts.regions);
  const isWatched = ({ client }: LedgerEntry): boolean => watched.includes(clients[client]?.region ?? '');
  const acks = acknowledgements(entries, clients, watched);
  const recovery =
    faultAtMs === null
      ? null
      : recoveryOf(acks, faultAtMs, facts.watchedUntilMs, plan.move === 'failover' ? 'fault' : 'stall');
  const during = entries.filter(
    (entry) =>
      isWatched(entry) &&
      faultAtMs !== null &&
      entry.sentAtMs >= faultAtMs &&
      entry.sentAtMs <= facts.watchedUntilMs,
  );
  const rpoCommits = account === null ? null : account.lost.length;
  const objectives = objectivesOf(request, { rtoMs: recovery?.rtoMs ?? null, rpoCommits });
  const unfinished: Check[] = [];
  if (facts.interrupted)
    unfinished.push({ name: 'the drill runs to its end', held: false, detail: 'it was stopped' });
  if (account === null)
    unfinished.push({ name: 'the data are compared', held: false, detail: 'they could not be read' });
  // Of a drill that was stopped in the middle, the outage is not over and says nothing.
  const service = recovery === null || facts.interrupted ? [] : serviceChecks(plan, recovery, during);
  const checks = [...facts.checks, ...service, ...unfinished];
  const failed = facts.phases.filter(({ outcome }) => outcome !== 'passed').length;
  return {
    v: 1,
    id: facts.id,
    kind: plan.kind,
    passed: failed === 0 && checks.every(({ held }) => held) && objectives.every(({ held }) => held),
    interrupted: facts.interrupted,
    startedAt: iso(facts.beganAtMs),
    endedAt: iso(facts.endedAtMs),
    request,
    cluster: facts.cluster,
    regions: [...facts.regions],
    region: plan.region,
    primaryBefore: facts.before.primary,
    primaryAfter: facts.after.primary,
    epochBefore: facts.before.epoch,
    epochAfter: facts.after.epoch,
    objectives: [...objectives],
    checks,
    rtoMs: recovery?.rtoMs ?? null,
    ...(recovery !== null && {
      outage: {
        fromMs: Math.round(recovery.beganAtMs - facts.beganAtMs),
        toMs: recovery.backAtMs === null ? null : Math.round(recovery.backAtMs - facts.beganAtMs),
      },
    }),
    rpoMs: rpoMsOf(account, faultAtMs),
    rpoCommits: rpoCommits ?? 0,
    rpoBytes: account?.reportedBytes ?? 0,
    writeStallMs: recovery?.writeStallMs ?? 0,
    detectionMs:
      faultAtMs === null || facts.detectedAtMs === null ? null : Math.round(facts.detectedAtMs - faultAtMs),
    rtoPhases: [...rtoPhases(facts, recovery?.backAtMs ?? null)],
    dataCompared: account !== null,
    acknowledgedWrites: entries.filter(({ outcome }) => outcome === 'acknowledged').length,
    refusedWrites: entries.filter(({ outcome }) => outcome === 'refused').length,
    unknownWrites: entries.filter(({ outcome }) => outcome === 'unknown').length,
    lostWrites: account?.lost.length ?? 0,
    reportedLost: account?.reportedLost ?? 0,
    lost: (account?.lost ?? []).slice(0, lostListed).map((write) => ({
      id: write.id,
      region: write.region,
      acknowledgedAt: iso(write.acknowledgedAtMs),
      traceId: write.traceId,
      reported: write.reported,
    })),
    failures: [...failuresOf(entries)],
    regionsEqual: account?.regionsEqual ?? false,
    ...failbackOf(facts),
    traceId: facts.traceId,
    timeline: facts.timeline.map(({ atMs, phase, event }) => ({
      atMs: Math.round(atMs - facts.beganAtMs),
      phase,
      event,
    })),
    phases: facts.phases.map((phase) => ({
      ...phase,
      startedAtMs: Math.round(phase.startedAtMs - facts.beganAtMs),
      endedAtMs: Math.round(phase.endedAtMs - facts.beganAtMs),
    })),
    lag: thinned(facts.lag, samplesMax).map((sample) => ({
      ...sample,
      atMs: Math.round(sample.atMs - facts.beganAtMs),
    })),
    throughput: [...throughput(entries, facts.beganAtMs, facts.endedAtMs, bucketMs)],
    latency: latencies(facts),
    versions: { ...facts.versions },
    machine: { ...facts.machine },
  };
}

/** How much of the newest history is missing: from the oldest lost write to the fault, or to the newest one if that is later. */
function rpoMsOf(account: LedgerAccount | null, faultAtMs: number | null): number {
  const sent = (account?.lost ?? []).map(({ sentAtMs }) => sentAtMs);
  if (sent.length === 0) return 0;
  return Math.round(Math.max(...sent, faultAtMs ?? 0) - Math.min(...sent));
}

/** What the time to recover was made of: seeing it, deciding, the move's own phases, and the way back to the clients. */
function rtoPhases(
  facts: DrillFacts,
  backAtMs: number | null,
): readonly { readonly name: string; readonly ms: number }[] {
  const { faultAtMs, detectedAtMs, moveAskedAtMs, movePhases } = facts;
  if (faultAtMs === null || facts.plan.move === 'none') return [];
  const parts: { name: string; ms: number }[] = [];
  let at = faultAtMs;
  const until = (name: string, endAtMs: number | null): void => {
    if (endAtMs === null || endAtMs <= at) return;
    parts.push({ name, ms: Math.round(endAtMs - at) });
    at = endAtMs;
  };
  if (facts.plan.move === 'failover') until('detection', detectedAtMs);
  until('command', moveAskedAtMs);
  for (const { name, endedAtMs } of movePhases) until(name, endedAtMs);
  until('first write', backAtMs);
  return parts;
}

function failbackOf(facts: DrillFacts): Pick<DrillReport, 'failbackMs' | 'failbackStallMs'> {
  const { failback } = facts;
  if (failback === null) return { failbackMs: null, failbackStallMs: null };
  const acks = acknowledgements(facts.entries, facts.clients);
  const stall = longestStall(acks, failback.stalledFromMs, failback.endedAtMs);
  return {
    failbackMs: Math.round(failback.endedAtMs - failback.beganAtMs),
    failbackStallMs: Math.round(stall.ms),
  };
}

function latencies(facts: DrillFacts): DrillReport['latency'] {
  const { entries, faultAtMs } = facts;
  const steady = entries.filter(({ endedAtMs }) => (endedAtMs ?? Infinity) < (faultAtMs ?? Infinity));
  const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 10) / 10);
  return {
    steadyP50Ms: rounded(latencyMs(steady, 0.5)),
    steadyP99Ms: rounded(latencyMs(steady, 0.99)),
    allP99Ms: rounded(latencyMs(entries, 0.99)),
  };
}

/** At most so many of a list, evenly chosen: a long drill must not make a report that nobody can open. */
function thinned<T>(list: readonly T[], max: number): readonly T[] {
  if (list.length <= max) return list;
  const step = Math.ceil(list.length / max);
  return list.filter((_, at) => at % step === 0);
}
