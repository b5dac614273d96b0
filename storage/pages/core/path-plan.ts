/** A page out of several indexes: of the branch that is read, of those it came from, and of `main`. */
import type { Epoch, Lsn, PageNo } from '../../redo/ids.ts';
import type { PageIndex, PagePlan } from './page-index.ts';

/**
 * What a page is made of along the path to `head`. @param indexes the youngest branch first; together they hold every record of
 * the path above its images.
 */
export function planOver(
  indexes: readonly PageIndex[],
  page: PageNo,
  head: Epoch,
  readPoint: Lsn,
): PagePlan | null {
  let plan: PagePlan | null = null;
  for (const index of indexes) {
    const older: PagePlan | null = index.plan(page, head, readPoint);
    if (older === null) continue;
    plan =
      plan === null ? older : { needsImage: older.needsImage, records: [...older.records, ...plan.records] };
    if (!plan.needsImage) return plan;
  }
  return plan;
}
