/**
 * What an agent remembers of its secondaries' lag while it does not run, and while a new reign begins: of a secondary that
 * is away, nobody else could say since when it lacks what it lacks.
 */
import { z } from 'zod';
import { type Lsn, lsn } from '../../../storage/core.ts';
import type { Lag } from './shipper.ts';

/** Of one secondary: everything committed before `sinceUs` (the primary's clock) was durable there, and it had `vdl`. */
export interface RememberedLag {
  readonly vdl: Lsn;
  readonly sinceUs: number;
}

/** By region. */
export type LagMemory = Readonly<Record<string, RememberedLag>>;

/** As it lies on disk. */
export const lagMemorySchema = z.record(
  z.string(),
  z.object({ vdl: z.int().min(0).transform(lsn), sinceUs: z.number() }),
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

/** What is still true of it once this region has followed somebody else: nothing that bounds a lag. */
export const noLagMemory: LagMemory = {};
