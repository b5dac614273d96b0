/**
 * The volume's pages as PostgreSQL's files see them. A writer reads the newest and its changes become redo; a reader stays at one
 * read point, and what it changes (recovery, hints) is its own and is thrown away.
 */
import { type Lsn, type PageNo, pageNo, redoLimits } from '../../../../storage/redo.ts';
import type { SqlError } from '../../../sql/sql.ts';
import type { SessionCommit } from '../../core/engine-protocol.ts';
import { PageAhead } from '../../core/page-ahead.ts';
import { databasePages, type PageStore } from '../../core/page-store.ts';
import { pagesInMemory, tooManyPages } from '../../scratch/transaction-pages.ts';
import type { Committer } from '../../thread/engine-commits.ts';
import type { EngineDesk } from '../../thread/engine-desk.ts';
import { StartAhead } from '../ahead/start-ahead.ts';
import { PageUnavailable } from '../core/file-error.ts';
import { PageSet, type PageSource } from '../core/page-set.ts';
import { VolumeFiles } from '../core/volume-files.ts';

const firstPage = pageNo(1);
/** PostgreSQL reads blocks of 8 KiB. */
const pagesOfBlock = 2;

/** Redo that no session made: recovery, checkpoints, pages that a transaction writes before it commits. */
export const nobody: Committer = { session: 0, trace: null };

export class ServedPages {
  private readonly desk: EngineDesk;
  private set: PageSet;
  /** What is read: the store, and in a reader the read point that is pinned there. */
  private store: PageStore;
  private pinned: Lsn | null = null;
  private readonly ahead = new StartAhead();
  /** The store that `ahead` has filled. */
  private aheadOf: PageStore | null = null;
  private misses = new PageAhead();

  constructor(desk: EngineDesk) {
    this.desk = desk;
    this.store = desk.store;
    this.set = this.newSet();
  }

  /** Gives up what was changed, and goes to the newest pages there are. */
  renew(): void {
    if (this.pinned !== null) this.store.unpin(this.pinned);
    this.store = this.desk.store;
    this.pinned = this.isWriter ? null : this.store.pin();
    this.misses.renewed();
    this.set = this.newSet();
  }

  /** What answers show: a writer's last commit, or the read point of a reader. */
  get readPoint(): Lsn {
    return this.pinned ?? this.store.head;
  }

  /** Whether there is anything newer than what is shown. */
  get isBehind(): boolean {
    return this.readPoint < this.desk.store.head;
  }

  /** Bytes of pages that are changed and not published. */
  get changedBytes(): number {
    return this.set.size * redoLimits.pageBytes;
  }

  /** Brings what a start will read, or asks for it, in a few requests. To be called on a volume that has a database. */
  readAhead(): void {
    const { store, readPoint, desk } = this;
    if (this.aheadOf !== store) {
      this.ahead.reset();
      this.misses = new PageAhead();
    }
    this.aheadOf = store;
    this.ahead.run({
      peek: (page) => store.readAt(page, readPoint),
      fetch: (pages) => desk.fetchAll(store, pages, readPoint),
      ask: (pages) => desk.askAll(store, pages, readPoint, this.onOutdated),
      // The rest of the store is for what the start writes, and for what it reads besides.
      pagesMax: Math.floor(store.pagesMax / 2),
    });
  }

  /**
   * Asks for what is likely to be missed next, and takes what has come. It waits for nothing, so it is to be called often while
   * there is work. @throws PageUnavailable
   */
  lookAhead(): void {
    const { desk, store, readPoint, misses } = this;
    let underWay = desk.takeAhead();
    if (misses.isIdle) return;
    const lastPage = databasePages(this.set.read(firstPage));
    const has = (page: PageNo): boolean => store.has(page, readPoint);
    for (;;) {
      const pages = misses.next({ underWay, filled: store.filled, lastPage, has });
      if (pages === null) return;
      desk.askAhead(store, pages, readPoint, this.onOutdated);
      underWay += pages.length;
    }
  }

  /** Whether the volume has no database yet. @throws PageUnavailable */
  get isEmpty(): boolean {
    return databasePages(this.set.read(firstPage)) === 0;
  }

  /** The files as they are now. What was unlinked while it was open is given back. @throws VolumeFault */
  openFiles(): VolumeFiles {
    return new VolumeFiles(this.set);
  }

  /** Makes the file system of a new database. @throws VolumeFault */
  formatFiles(): VolumeFiles {
    return VolumeFiles.format(this.set);
  }

  /**
   * Makes what was changed redo. @returns the commits, none when nothing was changed; or why it cannot be: what was changed is
   * dropped then, and whoever wrote it must begin anew.
   */
  publish(committers: readonly Committer[]): readonly SessionCommit[] | SqlError {
    if (this.set.size === 0) return [];
    const changed = this.set.take();
    const { commits, limits } = this.desk;
    // PostgreSQL reads its pages from memory, whether they are changed or not.
    if (changed.size * redoLimits.pageBytes > limits.memoryPageBytes)
      return tooManyPages(changed.size, limits, 'memoryPageBytes');
    const pages = pagesInMemory(changed, this.store);
    const refused = commits.prepare(this.store, pages, committers);
    if (refused !== null) return refused;
    const made = commits.finish(this.store, pages);
    this.desk.noteCommits(made);
    return made;
  }

  private readonly onOutdated = (page: PageNo): void => this.misses.outdated(page);

  /** A page that was asked for ahead and has just come; undefined when it has to be fetched. */
  private pageAhead(page: PageNo): Uint8Array | null | undefined {
    this.desk.takeAhead();
    const come = this.store.readAt(page, this.readPoint);
    if (come === undefined) this.misses.missed(page);
    return come;
  }

  private get isWriter(): boolean {
    return this.desk.mode.kind === 'writer';
  }

  private newSet(): PageSet {
    const source: PageSource = { readPage: (page) => this.readPage(page) };
    return new PageSet(this.isWriter ? { ...source, takeBuffer: () => this.store.takeBuffer() } : source);
  }

  private readPage(page: PageNo): Uint8Array | null {
    const { store, readPoint } = this;
    const cached = store.readAt(page, readPoint);
    const known = cached === undefined ? this.pageAhead(page) : cached;
    if (known !== undefined) {
      this.desk.shared.hit();
      return known;
    }
    const fetched = this.desk.fetch(store, page, readPoint, pagesOfBlock, this.onOutdated);
    if (fetched === null || fetched instanceof Uint8Array) return fetched;
    throw new PageUnavailable(fetched);
  }
}
