/**
 * Which pages were changed while a snapshot is open. A page that is fetched as of that snapshot is the newest version all the
 * same when nothing has changed it since: then it need not be fetched again for the next snapshot. Pure.
 */
import { type Lsn, type PageNo, zeroLsn } from '../../../storage/redo.ts';

/** Some MiB. With more pages than this what was noted is given up: pages are taken to have been changed. */
const pagesMax = 65_536;

export class PageChanges {
  private readonly last = new Map<PageNo, Lsn>();
  private knownFrom: Lsn = zeroLsn;

  /** From here on changes are noted. */
  begin(head: Lsn): void {
    this.last.clear();
    this.knownFrom = head;
  }

  /** A page was changed, in the order of LSNs. */
  note(page: PageNo, at: Lsn): void {
    if (this.last.size >= pagesMax) this.begin(at);
    this.last.set(page, at);
  }

  /** Whether a page is known to be the same now as at a read point. */
  isUnchangedSince(page: PageNo, readPoint: Lsn): boolean {
    return readPoint >= this.knownFrom && (this.last.get(page) ?? zeroLsn) <= readPoint;
  }
}
