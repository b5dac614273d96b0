/**
 * What an agent remembers of its secondaries' lag, or as a secondary of its own, while it does not run, and while a new reign begins: of a secondary that
 * is away, nobody else could say since when it lacks what it lacks.
 */
import { z } from 'zod';
import { type Lsn, lsn } from '../../../storage/core.ts';
import { bytesBeyond, type Held } from '../../control/core/survivors.ts';
import type { Lag } from './shipper.ts';

/**
 * Of one secondary: it had `vdl`, and everything committed before `sinceUs` was durable there. That is by the clock of whoever
 * remembers, the primary's or the secondary's own. Null when only the position is known.
 */
export interface RememberedLag {
  readonly vdl: Lsn;
  readonly sinceUs: number | null;
}

/** By region. */
export type LagMemory = Readonly<Record<string, RememberedLag>>;

/** As it lies on disk. */
export const lagMemorySchema = z.record(
  z.string(),
  z.object({ vdl: z.int().min(0).transform(lsn), sinceUs: z.number().nullable() }),
);

/**
 * Takes in what is known now; of a secondary whose lag is unknown the older word stays.
 * @param nowUs the primary's wall clock.
 */
export function rememberLags(
  before: LagMemory,
  lags: readonly (Pick<Lag, 'lagMs' | 'vdl'> & { readonly region: string })[],
  nowUs: number,
): LagMemory {
  const after: Record<string, RememberedLag> = { ...before };
  for (const { region, lagMs, vdl } of lags)
    if (lagMs !== null) after[region] = { vdl, sinceUs: nowUs - lagMs * 1_000 };
  return after;
}

/**
 * How long ago a secondary last had everything: by what it hears since it joined, or by what an earlier start of its agent
 * heard, all on its own clocks. Null while neither says.
 */
export function ageOf(
  levelMsAgo: number | null,
  before: RememberedLag | undefined,
  nowUs: number,
): number | null {
  const sinceUs = before?.sinceUs ?? null;
  const rememberedMs = sinceUs === null ? null : Math.max(0, nowUs - sinceUs) / 1_000;
  if (levelMsAgo === null || rememberedMs === null) return levelMsAgo ?? rememberedMs;
  return Math.min(levelMsAgo, rememberedMs);
}

/**
 * What a new reign begins with: of a secondary whose lag is not remembered, how much of the new path it holds by its own last
 * word, however long ago that was. A region that is lost never says more, and its lag goes on from there.
 * @param me what this region holds, along the path it ships.
 * @param heard what the other regions said they hold.
 */
export function positionsOf(
  memory: LagMemory,
  me: Held,
  heard: readonly { readonly region: string; readonly held: Held | null }[],
  nowUs: number,
): LagMemory {
  const known: Record<string, RememberedLag> = {};
  for (const { region, held } of heard) {
    const missing = held === null ? null : bytesBeyond(held, me);
    if (missing !== null)
      known[region] = { vdl: lsn(me.vdl - missing), sinceUs: missing === 0 ? nowUs : null };
  }
  return { ...known, ...memory };
}

/** What is still true of it once this region has followed somebody else: nothing that bounds a lag. */
export const noLagMemory: LagMemory = {};
