/** A drill as its judges are shown it: three regions, six clients, and writes that can be bent in any way. */
import { type DrillRequest, drillRequestSchema } from '../../../regions/drills/core/drill-kinds.ts';
import type { DrillPlan } from '../../../regions/drills/core/drill-plan.ts';
import { planDrill } from '../../../regions/drills/core/drill-plan.ts';
import type { LedgerEntry, LoadClient } from '../../../regions/drills/core/ledger.ts';
import { expectedChecksum } from '../../../regions/drills/core/ledger.ts';
import {
  accountFor,
  type LedgerCase,
  type RegionRows,
  type ReportedLosses,
} from '../../../regions/drills/core/ledger-account.ts';
import type { DrillFacts } from '../../../regions/drills/core/report-of.ts';

export const drill = '20261129-101500-region-loss-3fa2';
export const regions = ['us-east-1', 'eu-west-1', 'ap-northeast-1'] as const;
export const [east, europe, asia] = regions;
export const clients: readonly LoadClient[] = regions.flatMap((region) => [
  { region, transport: 'http' as const },
  { region, transport: 'ws' as const },
]);

const azs = ['a', 'a', 'b', 'b', 'c', 'c'];
const nodes = azs.map((az, at) => ({ id: `n${at + 1}`, az }));
export const scene = {
  regions,
  primary: east,
  nodes: Object.fromEntries(regions.map((region) => [region, nodes])),
};

export const traceOf = (id: number): string => id.toString(16).padStart(32, '0');

/** A write, acknowledged 5 ms after it was sent unless `more` says otherwise. */
export const write = (id: number, sentAtMs: number, more: Partial<LedgerEntry> = {}): LedgerEntry => ({
  id,
  client: id % clients.length,
  sentAtMs,
  endedAtMs: sentAtMs + 5,
  outcome: 'acknowledged',
  code: null,
  traceId: traceOf(id),
  ...more,
});

/** What a region shows that has these writes as they were written. */
export const rowsOf = (
  entries: readonly LedgerEntry[],
  ...without: readonly number[]
): ReadonlyMap<number, number> =>
  new Map(
    entries
      .filter(({ id, outcome }) => outcome === 'acknowledged' && !without.includes(id))
      .map(({ id, client }) => [id, expectedChecksum(drill, id, client)]),
  );

export const noLosses: ReportedLosses = { count: 0, bytes: 0, traceIds: [], complete: true, missing: [] };

/** The loss report that names exactly these writes. */
export const lossesOf = (...ids: readonly number[]): ReportedLosses => ({
  count: ids.length,
  bytes: 50 * ids.length,
  traceIds: ids.map(traceOf),
  complete: true,
  missing: [],
});

export const everywhere = (rows: ReadonlyMap<number, number> | null): readonly RegionRows[] =>
  regions.map((region) => ({ region, rows }));

/** Ten writes, acknowledged and in every region; `more` bends it. */
export function ledgerCase(more: Partial<LedgerCase> = {}): LedgerCase {
  const entries = more.entries ?? Array.from({ length: 10 }, (_, at) => write(at + 1, at * 10));
  return { drill, clients, entries, regions: everywhere(rowsOf(entries)), losses: noLosses, ...more };
}

export function planOf(kind: DrillRequest['kind'], region?: string): DrillPlan {
  const planned = planDrill(kind, scene, region);
  if (planned.kind === 'refused') throw new Error(planned.message);
  return planned.plan;
}

export const request = (more: Partial<DrillRequest> = {}): DrillRequest =>
  drillRequestSchema.parse({ kind: 'region-loss', ...more });

const beganAtMs = 1_800_000_000_000;

/**
 * A region loss that went well: writes from 1 s on, the fault at 5 s, writes back at 9 s in the regions that are left, one
 * write lost and reported; `more` bends it.
 */
export function facts(more: Partial<DrillFacts> = {}): DrillFacts {
  const at = (ms: number): number => beganAtMs + ms;
  const before = Array.from({ length: 400 }, (_, index) => write(index + 1, at(1_000 + index * 10)));
  const after = Array.from({ length: 300 }, (_, index) => write(index + 401, at(9_000 + index * 10)));
  const entries = [...before, ...after];
  const lost = 398;
  return {
    id: drill,
    request: request(),
    plan: planOf('region-loss'),
    cluster: 'sextant-test',
    regions,
    clients,
    beganAtMs,
    endedAtMs: at(15_000),
    interrupted: false,
    before: { primary: east, epoch: 4 },
    after: { primary: east, epoch: 6 },
    faultAtMs: at(5_000),
    detectedAtMs: at(5_300),
    watchedUntilMs: at(11_900),
    moveAskedAtMs: at(5_310),
    movePhases: [
      { name: 'waiting-for-lease', startedAtMs: at(5_320), endedAtMs: at(8_800) },
      { name: 'promoting', startedAtMs: at(8_800), endedAtMs: at(8_950) },
    ],
    failback: { beganAtMs: at(12_000), endedAtMs: at(13_200), stalledFromMs: at(11_950) },
    entries,
    account: accountFor(
      ledgerCase({ entries, regions: everywhere(rowsOf(entries, lost)), losses: lossesOf(lost) }),
    ),
    checks: [{ name: 'the fault is seen from outside', held: true, detail: '<seen> & heard' }],
    phases: [
      { name: 'preflight', startedAtMs: at(0), endedAtMs: at(900), outcome: 'passed' },
      { name: 'fault', startedAtMs: at(5_000), endedAtMs: at(5_100), outcome: 'passed' },
      { name: 'recovery', startedAtMs: at(5_300), endedAtMs: at(11_900), outcome: 'passed' },
    ],
    timeline: [{ atMs: at(5_000), phase: 'fault', event: `sextant region kill ${east}` }],
    lag: [
      { atMs: at(2_000), region: europe, lagMs: 12, lagBytes: 300 },
      { atMs: at(2_250), region: europe, lagMs: null, lagBytes: null },
    ],
    traceId: traceOf(7),
    versions: { sextant: '0.1.0' },
    machine: { system: 'Linux' },
    ...more,
  };
}

export const iso = (ms: number): string => new Date(ms).toISOString();
