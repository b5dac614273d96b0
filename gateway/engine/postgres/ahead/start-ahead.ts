/**
 * Brings the pages of a start into the store before PostgreSQL reads them one by one. What goes wrong here is told by whoever needs
 * the page: a start without it is slow, and right.
 */
import { type PageNo, pageNo } from '../../../../storage/core.ts';
import { VolumeFault } from '../core/file-error.ts';
import { KnownFiles, type Peek } from './core/known-files.ts';
import { catalogPages, recoveryPages, type WalRead } from './core/start-pages.ts';

/** What is known leads to what is missing: table of inodes, directories, pages of pointers, WAL, what it names. */
const roundsMax = 12;

export interface AheadPages {
  readonly peek: Peek;
  /** Asks for pages. @returns whether they came */
  fetch(pages: readonly PageNo[]): boolean;
  /** So many may be asked for, all in all. */
  readonly pagesMax: number;
}

export class StartAhead {
  private hasCatalogs = false;
  private wal: WalRead | null = null;

  /** Other pages than before: nothing of them is at hand. */
  reset(): void {
    this.hasCatalogs = false;
    this.wal = null;
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

  private look(files: KnownFiles, { peek, fetch, pagesMax }: AheadPages): void {
    let left = pagesMax;
    for (let round = 0; round < roundsMax; round++) {
      files.forget();
      // What is whole is not looked through again: the WAL may take more rounds than the catalogs.
      const catalogs = this.hasCatalogs ? [] : catalogPages(files);
      const hasCatalogs = files.missing.size === 0;
      const { pages, read } = recoveryPages(files, this.wal);
      const isWhole = files.missing.size === 0;
      const wanted = new Set(files.missing);
      for (const some of [pages, catalogs])
        for (const page of some) if (peek(page) === undefined) wanted.add(page);
      const asked = [...wanted].slice(0, left);
      left -= asked.length;
      this.hasCatalogs = hasCatalogs;
      if (isWhole) this.wal = read;
      if (asked.length === 0 || !fetch(asked) || isWhole) return;
    }
  }
}
