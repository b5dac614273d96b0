/**
 * What becomes of a page that has rotted in a run. Its version holds until a newer run has another one of the page, so it can be
 * fetched as of any place up to there: peers keep nothing below their floors. A version that a newer run has replaced, and that no
 * peer has any more, is needed by nobody: it goes with a merge.
 */
import type { RunFacts, RunIndex } from './run-format.ts';
import { slotOf } from './run-format.ts';
import { isGoneIn } from './slot-plan.ts';

/** A run of a chain. */
export interface ChainedRun {
  readonly index: Pick<RunIndex, 'pages'>;
  readonly entry: Pick<RunFacts, 'endsAt' | 'to'>;
}

const replaces = ({ index, entry }: ChainedRun, page: number): boolean =>
  slotOf(index.pages, page) >= 0 || isGoneIn([entry], page);

/** The last run of a chain up to whose end the version of a page that run `at` holds is the newest one: `at` itself, or one above. */
export function holdsThrough(runs: readonly ChainedRun[], at: number, page: number): number {
  const next = runs.findIndex((run, place) => place > at && replaces(run, page));
  return next < 0 ? runs.length - 1 : next - 1;
}

/**
 * The last run that has to be merged with run `at` for none of these pages of it to be left.
 * @param kept ends of runs that no merge may take away.
 * @returns null when the newest version of one is that of run `at`, or when somebody reads at an end between.
 */
export function replacedBy(
  runs: readonly ChainedRun[],
  at: number,
  pages: readonly number[],
  kept: ReadonlySet<number>,
): number | null {
  const last = Math.max(...pages.map((page) => holdsThrough(runs, at, page) + 1));
  if (last >= runs.length) return null;
  return runs.slice(at, last).some(({ entry }) => kept.has(entry.to)) ? null : last;
}
