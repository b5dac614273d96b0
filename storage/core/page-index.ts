/**
 * Where the records of each page lie, so that a page can be built at any read point: the newest visible image at
 * or below it, and the deltas after. An image folded in the background is to the index just another whole-page
 * record, with the same rule of visibility.
 */
import type { EpochTree } from './epoch-tree.ts';
import { type Epoch, type Lsn, type PageNo, zeroLsn } from './ids.ts';
import { nodeLimits } from './limits.ts';
import type { RecordSpan } from './record.ts';
import type { HeldFrame } from './segment.ts';

/** One version step of a page. */
export interface PageEntry {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
  readonly kind: 'delta' | 'image' | 'folded';
  /** The frame that holds the record, and where in its payload; null for a folded image, which lies in the image store. */
  readonly at: { readonly frame: HeldFrame; readonly offset: number; readonly length: number } | null;
}

/** How to build a page: from zeros or the first entry when that is an image, then every other entry in order. */
export interface PagePlan {
  readonly page: PageNo;
  readonly entries: readonly PageEntry[];
}

export class PageIndex {
  private readonly tree: EpochTree;
  private readonly chains = new Map<PageNo, PageEntry[]>();
  private readonly long = new Set<PageNo>();
  private foldedTo: Lsn = zeroLsn;

  constructor(tree: EpochTree) {
    this.tree = tree;
  }

  /** Highest LSN at which any page was folded: a fork below it needs the log read again. */
  get foldHorizon(): Lsn {
    return this.foldedTo;
  }

  get pageCount(): number {
    return this.chains.size;
  }

  /** Takes in the records of a persisted frame. */
  add(frame: HeldFrame, spans: readonly RecordSpan[]): void {
    for (const span of spans) {
      if (span.page === null) continue;
      const entry: PageEntry = {
        epoch: frame.epoch,
        lsn: span.lsn,
        kind: span.kind === 'pageImage' ? 'image' : 'delta',
        at: { frame, offset: span.offset, length: span.length },
      };
      this.insert(span.page, entry);
    }
  }

  private insert(page: PageNo, entry: PageEntry): void {
    const chain = this.chains.get(page);
    if (chain === undefined) {
      this.chains.set(page, [entry]);
      return;
    }
    let at = chain.length;
    while (at > 0 && (chain[at - 1]?.lsn ?? zeroLsn) > entry.lsn) at -= 1;
    // The same record may arrive again; the same LSN of another epoch is another history's.
    for (let same = at - 1; same >= 0 && chain[same]?.lsn === entry.lsn; same--) {
      if (chain[same]?.epoch === entry.epoch && chain[same]?.kind === entry.kind) return;
    }
    if (at === chain.length) chain.push(entry);
    else chain.splice(at, 0, entry);
    if (chain.length > nodeLimits.chainLengthMax) this.long.add(page);
  }

  /**
   * @returns null when the page does not exist at the read point; `foldedAway` when versions that the read may need were
   * folded into an image it must not see: it looks below the low-water mark or along a path nobody had read.
   */
  plan(page: PageNo, head: Epoch, readPoint: Lsn): PagePlan | null | 'foldedAway' {
    const chain = this.chains.get(page);
    if (chain === undefined) return null;
    const until = new Map(this.tree.path(head).map((step) => [step.epoch, step.until]));
    const entries: PageEntry[] = [];
    for (let at = chain.length - 1; at >= 0; at--) {
      const entry = chain[at];
      if (entry === undefined) continue;
      if (entry.lsn > readPoint || entry.lsn > (until.get(entry.epoch) ?? zeroLsn)) {
        if (entry.kind === 'folded') return 'foldedAway';
        continue;
      }
      entries.push(entry);
      if (entry.kind !== 'delta') break;
    }
    if (entries.length === 0) return null;
    return { page, entries: entries.reverse() };
  }

  /**
   * A page whose chain is longer than the limit, planned at the highest point no reader will go below.
   * @returns null when there is none worth folding now.
   */
  nextFold(head: Epoch, lowWater: Lsn): { readonly plan: PagePlan; readonly result: PageEntry } | null {
    for (const page of this.long) {
      this.long.delete(page);
      const plan = this.plan(page, head, lowWater);
      if (plan === null || plan === 'foldedAway') continue;
      const last = plan.entries.at(-1);
      if (last === undefined) continue;
      const result: PageEntry = { epoch: last.epoch, lsn: last.lsn, kind: 'folded', at: null };
      if (this.replacedBy(plan, result).size > nodeLimits.chainLengthMax / 2) return { plan, result };
    }
    return null;
  }

  /** What nobody needs beside the image: the entries it was folded from, and those that a whole page among them hid. */
  private replacedBy(plan: PagePlan, result: PageEntry): ReadonlySet<PageEntry> {
    const first = plan.entries[0]?.lsn ?? zeroLsn;
    const gone = new Set(plan.entries);
    for (const entry of this.chains.get(plan.page) ?? []) {
      if (entry.lsn >= first) break;
      if (this.tree.visible(result.epoch, result.lsn, entry)) gone.add(entry);
    }
    return gone;
  }

  /** Replaces what was folded by its image, which the image store holds by now. */
  fold(plan: PagePlan, result: PageEntry): void {
    const gone = this.replacedBy(plan, result);
    // Records that only another path sees stay: a read along that path meets the image first and is told (foldedAway).
    const chain = (this.chains.get(plan.page) ?? []).filter((entry) => !gone.has(entry));
    this.chains.set(plan.page, chain);
    this.insert(plan.page, result);
    if (result.lsn > this.foldedTo) this.foldedTo = result.lsn;
  }

  /** Every page that has records, for a scan of the whole volume. */
  pages(): readonly PageNo[] {
    return [...this.chains.keys()].sort((a, b) => a - b);
  }

  /** Forgets everything; the log is read again afterwards. */
  clear(): void {
    this.chains.clear();
    this.long.clear();
    this.foldedTo = zeroLsn;
  }
}
