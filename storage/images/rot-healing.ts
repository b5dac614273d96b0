/** Pages that have rotted in a run are fetched from where they are still told. */
import { ascending, maxLsn, type PageNo, zeroLsn } from '../redo/ids.ts';
import type { FoldPoint } from './core/manifest.ts';
import { holdsThrough } from './core/rot-plan.ts';
import { slotOf } from './core/run-format.ts';
import { imageStoreBounds, type PageSource } from './image-store-types.ts';
import type { RunFile } from './run-file.ts';

/**
 * Fetches the rotten pages of a run, each as of the last place at which it is what the run says, until none comes any more that is
 * believed (S12). @param chain the runs as they are now. @returns how many came back.
 */
export async function fetchRotten(
  chain: () => readonly RunFile[],
  run: RunFile,
  source: PageSource,
): Promise<number> {
  let healed = 0;
  for (let before = -1; before < healed; ) {
    before = healed;
    for (const { point, pages } of askedFor(chain(), run)) {
      const found = await source(point, pages);
      for (const [at, page] of pages.entries()) {
        const bytes = found?.[at] ?? null;
        if (bytes !== null && run.heal(slotOf(run.index.pages, page), bytes)) healed += 1;
      }
    }
  }
  return healed;
}

/** Some of the rotten pages of a run, by where they are asked for; none when it is no run of the chain any more. */
function askedFor(
  runs: readonly RunFile[],
  run: RunFile,
): readonly { readonly point: FoldPoint; readonly pages: readonly PageNo[] }[] {
  const at = runs.indexOf(run);
  if (at < 0) return [];
  const rotten = run.rotten(imageStoreBounds.healedAtOnce) as readonly PageNo[];
  const byLast = Map.groupBy(rotten, (page) => holdsThrough(runs, at, page));
  return [...byLast]
    .sort(([a], [b]) => ascending(a, b))
    .flatMap(([last, pages]) => {
      const entry = runs[last]?.entry;
      if (entry === undefined) return [];
      // S24: below that point the pages of the base are those of no one place.
      const lsn = maxLsn(entry.to, runs[0]?.entry.fuzzyTo ?? zeroLsn);
      return [{ point: { head: entry.epoch, lsn }, pages }];
    });
}
