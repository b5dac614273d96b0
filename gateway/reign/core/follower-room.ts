/**
 * How much redo a reader's engine may be given ahead of what it has folded. Pure. The engine folds whole transactions only: what
 * it has of one whose commit is still to come frees nothing, however long it is waited for. So reading pauses only while
 * there is a commit still to fold; within a transaction it goes on, up to the size a transaction may have.
 */
import { type Lsn, maxLsn, minLsn } from '../../../storage/core.ts';

/** Redo given and not folded at which reading pauses. */
export const behindBytesMax = 16 * 1024 * 1024;

export class FollowerRoom {
  private readonly bytesMax: number;
  private folding: Lsn;
  private given: Lsn;
  /** Last commit known to have been given. */
  private commit: Lsn;
  private paused = false;

  constructor(start: Lsn, bytesMax: number = behindBytesMax) {
    this.bytesMax = bytesMax;
    this.folding = start;
    this.given = start;
    this.commit = start;
  }

  /** Up to here the engine has folded. */
  get foldedTo(): Lsn {
    return this.folding;
  }

  /** Up to here the engine has been given redo. */
  get givenTo(): Lsn {
    return this.given;
  }

  /**
   * The engine was given redo up to `next`.
   * @param lastCommit finds the last commit in it; asked only when there is a lot.
   * @returns whether reading has to pause now.
   */
  gave(next: Lsn, lastCommit: () => Lsn | null): boolean {
    this.given = maxLsn(this.given, next);
    if (this.paused || this.given - this.folding <= this.bytesMax) return false;
    this.commit = maxLsn(this.commit, lastCommit() ?? this.commit);
    this.paused = this.commit > this.folding;
    return this.paused;
  }

  /** The engine has folded up to `at`. @returns whether reading has to go on now. */
  folded(at: Lsn): boolean {
    this.folding = maxLsn(this.folding, at);
    if (!this.paused) return false;
    if (this.given - this.folding >= this.bytesMax / 2 && this.commit > this.folding) return false;
    this.paused = false;
    return true;
  }

  /** The engine begins anew at a point below what it was given. */
  reopened(at: Lsn): void {
    this.folding = minLsn(this.folding, at);
    this.given = minLsn(this.given, at);
    this.commit = minLsn(this.commit, at);
  }
}
