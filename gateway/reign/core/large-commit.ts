/**
 * Tells how far a commit is that takes long to become durable: a transaction may be hundreds of MiB, and whoever waits for its
 * COMMIT sees nothing until all of it is on four nodes. Pure.
 */
import type { Lsn } from '../../../storage/core.ts';

/** Redo that takes well under a second is not worth a word. */
const worthBytes = 16 * 1024 * 1024;
const firstAfterMs = 2_000;
const everyMs = 5_000;

/** How far a writer's volume is. */
export interface CommitPlace {
  /** End of everything committed. */
  readonly lastLsn: Lsn;
  /** Four nodes hold everything up to here. */
  readonly vcl: Lsn;
  readonly vdl: Lsn;
}

export interface CommitProgress {
  readonly kind: 'under way' | 'durable';
  /** Redo of the commit, with what waits behind it. */
  readonly bytes: number;
  /** Of that, on four nodes. */
  readonly storedBytes: number;
  /** Since the commit was first seen. */
  readonly forMs: number;
}

interface Seen {
  readonly from: Lsn;
  readonly to: Lsn;
  readonly sinceMs: number;
}

export class LargeCommitWatch {
  private seen: Seen | null = null;
  private toldAtMs: number | null = null;

  /** Looks, about once a second. @param place null while nobody writes here. @returns what is worth telling now, or null. */
  look(place: CommitPlace | null, nowMs: number): CommitProgress | null {
    const { seen } = this;
    if (place === null || (seen !== null && place.vdl < seen.from)) {
      this.forget();
      return null;
    }
    const { lastLsn, vcl, vdl } = place;
    if (seen !== null && vdl >= seen.to) {
      const told = this.toldAtMs !== null;
      const bytes = seen.to - seen.from;
      this.forget();
      return told ? { kind: 'durable', bytes, storedBytes: bytes, forMs: nowMs - seen.sinceMs } : null;
    }
    if (seen === null) {
      if (lastLsn - vdl >= worthBytes) this.seen = { from: vdl, to: lastLsn, sinceMs: nowMs };
      return null;
    }
    const forMs = nowMs - seen.sinceMs;
    if (forMs < firstAfterMs || (this.toldAtMs !== null && nowMs - this.toldAtMs < everyMs)) return null;
    this.toldAtMs = nowMs;
    const storedBytes = Math.max(0, Math.min(vcl, seen.to) - seen.from);
    return { kind: 'under way', bytes: seen.to - seen.from, storedBytes, forMs };
  }

  private forget(): void {
    this.seen = null;
    this.toldAtMs = null;
  }
}
