/** Which slots of which runs are read, and which of them in one go. */
import { type RunFacts, type RunIndex, slotAtOrAbove } from './run-format.ts';

/** Neighbouring slots of one file, read together. */
export interface SlotRead {
  readonly first: number;
  readonly count: number;
}

export const slotReadBounds = {
  /** Slots in one read: 1 MiB. */
  slotsMax: 256,
  /** Slots nobody asked for that are read along, rather than to begin another read. */
  gapMax: 7,
} as const;

/** @param slots ascending; one may stand there several times. */
export function readsOf(slots: readonly number[]): readonly SlotRead[] {
  const reads: { first: number; count: number }[] = [];
  for (const slot of slots) {
    const last = reads.at(-1);
    const count = last === undefined ? 0 : slot - last.first + 1;
    if (
      last === undefined ||
      count > slotReadBounds.slotsMax ||
      count - last.count - 1 > slotReadBounds.gapMax
    )
      reads.push({ first: slot, count: 1 });
    else last.count = Math.max(last.count, count);
  }
  return reads;
}

/** Where a page comes from when runs become one. */
export interface MergedPage {
  readonly page: number;
  /** Place of its run among those that are merged. */
  readonly run: number;
  readonly slot: number;
}

type MergedRun = Pick<RunIndex, 'pages'> & Pick<RunFacts, 'endsAt'>;

/** Whether the database ended before `page` in one of these runs: what older ones hold of it is gone. */
export function isGoneIn(runs: readonly Pick<RunFacts, 'endsAt'>[], page: number): boolean {
  return runs.some(({ endsAt }) => endsAt !== null && endsAt < page);
}

/**
 * Walks the pages of several runs in the order of their numbers; of a page that several hold, the newest run's, and none that
 * is gone in a newer run.
 */
export class MergeCursor {
  private readonly runs: readonly MergedRun[];
  private readonly slots: number[];

  /** @param runs oldest first. @param fromPage the first page wanted. */
  constructor(runs: readonly MergedRun[], fromPage = 0) {
    this.runs = runs;
    this.slots = runs.map(({ pages }) => slotAtOrAbove(pages, fromPage));
  }

  /** @returns the next pages, at most `count`; none at the end. */
  next(count: number): readonly MergedPage[] {
    const found: MergedPage[] = [];
    while (found.length < count) {
      const next = this.lowest();
      if (next === null) break;
      if (!isGoneIn(this.runs.slice(next.run + 1), next.page)) found.push(next);
      for (const [run, { pages }] of this.runs.entries())
        if (pages[this.slots[run] ?? 0] === next.page) this.slots[run] = (this.slots[run] ?? 0) + 1;
    }
    return found;
  }

  private lowest(): MergedPage | null {
    let best: MergedPage | null = null;
    for (const [run, { pages }] of this.runs.entries()) {
      const slot = this.slots[run] ?? 0;
      const page = pages[slot];
      if (page !== undefined && (best === null || page <= best.page)) best = { page, run, slot };
    }
    return best;
  }
}
