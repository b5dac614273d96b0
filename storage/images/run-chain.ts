/** A chain of runs as readers and merges see it: where a page is. */
import type { PageNo } from '../redo/ids.ts';
import { holdsThrough } from './core/rot-plan.ts';
import { slotOf } from './core/run-format.ts';
import { isGoneIn, type MergeCursor } from './core/slot-plan.ts';
import type { RunFile } from './run-file.ts';

export const mergedRun = ({
  index: { pages },
  entry: { endsAt },
}: RunFile): ConstructorParameters<typeof MergeCursor>[0][number] => ({ pages, endsAt });

/** The newest run that holds a page, unless it is gone in a newer one. */
export function placeOf(
  runs: readonly RunFile[],
  page: PageNo,
): { readonly run: RunFile; readonly slot: number } | null {
  for (let at = runs.length - 1; at >= 0; at--) {
    const run = runs[at] as RunFile;
    const slot = slotOf(run.index.pages, page);
    if (slot >= 0) return { run, slot };
    if (isGoneIn([run.entry], page)) return null;
  }
  return null;
}

/** Whether each page that is rotten in one of these neighbours is another one in a newer of them: no merge reads it. */
export const canMerge = (runs: readonly RunFile[]): boolean =>
  runs.every((run, at) =>
    run.rotten(run.rottenCount).every((page) => holdsThrough(runs, at, page) < runs.length - 1),
  );

/** The run whose file has the lowest number above `file`; null when there is none. */
export function runAfter(runs: readonly RunFile[], file: number): RunFile | null {
  const later = runs.filter(({ entry }) => entry.file > file);
  return later.sort((a, b) => a.entry.file - b.entry.file)[0] ?? null;
}
