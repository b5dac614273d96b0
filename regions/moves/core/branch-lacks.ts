/** What a region is known to lack of the branches of another one: what a failover to it leaves behind at first, as far as was heard. */
import { z } from 'zod';
import { type Branch, saidOf } from '../../control/core/branch-list.ts';

/** A branch of which the lost region was heard to have more. */
export const branchLackSchema = z.object({
  name: z.string(),
  /** Durable in the region that took over; null when it does not have the branch. */
  lsn: z.int().nullable(),
  /** What the lost region last said it had. */
  lastHeardLsn: z.int(),
  atRiskBytes: z.int(),
});
export type BranchLack = z.output<typeof branchLackSchema>;

/** How far a region is with a branch, as its report says. */
interface Place {
  readonly name: string;
  readonly epoch: number;
  readonly vdl: number;
}

/**
 * Of each branch that the record names.
 * @param theirs what the other region last said; nothing when it was never heard.
 */
export function branchLacks(
  branches: readonly Pick<Branch, 'name' | 'origin' | 'forkLsn'>[],
  mine: readonly Place[],
  theirs: readonly Place[],
): readonly BranchLack[] {
  return branches.flatMap((branch) => {
    const { name, forkLsn } = branch;
    const here = saidOf(mine, branch);
    const there = saidOf(theirs, branch);
    if (there === undefined || (here !== undefined && here.epoch > there.epoch)) return [];
    const atRiskBytes = there.vdl - (here?.vdl ?? forkLsn);
    return atRiskBytes <= 0 ? [] : [{ name, lsn: here?.vdl ?? null, lastHeardLsn: there.vdl, atRiskBytes }];
  });
}

/** In words, each with the number of bytes. @param formatBytes as whoever tells it writes sizes. */
export const lacksText = (lacks: readonly BranchLack[], formatBytes: (bytes: number) => string): string =>
  lacks.map(({ name, atRiskBytes }) => `${formatBytes(atRiskBytes)} of branch ${name}`).join(', ');
