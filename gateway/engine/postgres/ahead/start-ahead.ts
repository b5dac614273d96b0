/**
 * Brings the pages of a start into the store before PostgreSQL reads them one by one. Those that lead to others are waited for: the
 * table of inodes, directories, pages of pointers, the WAL. All others are on their way while PostgreSQL starts: the blocks that
 * recovery changes, in its order, and catalogs. What goes wrong here is told by whoever needs the page: a start without it is slow,
 * and right.
 */
import { type PageNo, pageNo } from '../../../../storage/redo.ts';
import { VolumeFault } from '../core/file-error.ts';
import { KnownFiles, type Peek } from './core/known-files.ts';
import { RecoveryAhead } from './core/recovery-pages.ts';
import { catalogPages } from './core/start-pages.ts';

/** What is known leads to what is missing: table of inodes, directories, pages of pointers, WAL, pages of pointers of what it names. */
const roundsMax = 12;

export interface AheadPages {
  readonly peek: Peek;
  /** Asks for pages, and waits. @returns whether they came */
  fetch(pages: readonly PageNo[]): boolean;
  /** Asks for pages, the first ones first, and does not wait. */
  ask(pages: readonly PageNo[]): void;
  /** So many may be asked for, all in all. */
  readonly pagesMax: number;
}

export class StartAhead {
  private hasCatalogs = false;
  private recovery = new RecoveryAhead();

  /** Other pages than before: nothing of them is at hand. */
  reset(): void {
    this.hasCatalogs = false;
    this.recovery = new RecoveryAhead();
  }

  /** To be called before each start. The volume has a database. */
  run(pages: AheadPages): void {
    if (pages.peek(pageNo(1)) === undefined && !pages.fetch([pageNo(1)])) return;
    try {
      this.look(new KnownFiles(pages.peek), pages);
    } catch (error) {
      if (!(error instanceof VolumeFault)) throw error;
    }
  }

  private look(files: KnownFiles, { peek, fetch, ask, pagesMax }: AheadPages): void {
    const asked = new Set<PageNo>();
    /** Those of them that were not asked for yet, as many as may be. */
    const lacking = (...sets: readonly ReadonlySet<PageNo>[]): readonly PageNo[] => {
      const found: PageNo[] = [];
      for (const set of sets)
        for (const page of set) {
          if (asked.size >= pagesMax) return found;
          if (asked.has(page) || peek(page) !== undefined) continue;
          asked.add(page);
          found.push(page);
        }
      return found;
    };
    const none = new Set<PageNo>();
    /** They leave last, so that nothing that leads on waits behind them. */
    const others: ReadonlySet<PageNo>[] = [];
    for (let round = 0; round < roundsMax; round++) {
      files.forget();
      const { wal, blocks } = this.recovery.look(files);
      const catalogs = this.hasCatalogs ? none : catalogPages(files);
      if (files.missing.size === 0) this.hasCatalogs = true;
      others.push(catalogs, blocks);
      const leading = lacking(files.missing, wal);
      if (leading.length > 0 && !fetch(leading)) return;
      if (leading.length === 0) break;
    }
    const left = lacking(...others);
    if (left.length > 0) ask(left);
  }
}
