/** The bookmarks of one stream: what it was told to see at least, and what it has seen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Epoch, genesisEpoch, type Lsn, maxLsn, monotonicMs, zeroLsn } from '../../storage/index.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';
import { type Bookmark, bookmarkPragma, formatBookmark, parseBookmark } from '../sql/bookmark.ts';
import { adviseError, failure } from '../sql/errors.ts';
import type { SqlOperation } from '../sql/operation.ts';
import type { SqlError, SqlOutcome, SqlResult } from '../sql/sql.ts';

/** How far a read has to wait; `forked` is told once, `unheard` means that this region is behind. */
export type BookmarkWait =
  | { readonly kind: 'at'; readonly lsn: Lsn }
  | { readonly kind: 'forked'; readonly error: SqlError }
  | { readonly kind: 'unheard'; readonly error: SqlError };

type Volume = Pick<GatewayVolume, 'head' | 'vdl' | 'placeOf'>;

const lookMs = 20;

export class StreamBookmark {
  private readonly volume: Volume;
  private given: Bookmark | null;
  private seen: Bookmark | null = null;

  constructor(volume: Volume, given: Bookmark | null) {
    this.volume = volume;
    this.given = given;
  }

  /** The client shows one: from now on the stream never reads behind it. An older one changes nothing. */
  show(bookmark: Bookmark): void {
    this.given = this.later(this.given, bookmark);
  }

  /** An answer has seen everything up to here. */
  saw(epoch: Epoch, lsn: Lsn): void {
    if (lsn === zeroLsn || epoch === genesisEpoch) return;
    this.seen = this.later(this.seen, { epoch, lsn });
  }

  /** What its client may show to whatever gateway; null while the stream has seen nothing. */
  get now(): Bookmark | null {
    const { given, seen } = this;
    return given === null || seen === null ? (seen ?? given) : this.later(given, seen);
  }

  /** What every read of the stream has to show: all that it has seen, on the path that is read here. */
  get least(): Lsn {
    const { now } = this;
    const place = now === null ? null : this.volume.placeOf(now);
    return place?.kind === 'at' ? place.lsn : zeroLsn;
  }

  /** How far a read has to be, if that is known without waiting; null when there is something to wait for or to tell. */
  get needed(): Lsn | null {
    if (this.given === null) return zeroLsn;
    const place = this.volume.placeOf(this.given);
    return place.kind === 'at' ? place.lsn : null;
  }

  /** That history moved, told once; null when it has not. */
  forked(): SqlError | null {
    const { given, volume } = this;
    if (given === null) return null;
    const place = volume.placeOf(given);
    if (place.kind !== 'left') return null;
    const { head: epoch, vdl } = volume;
    const next: Bookmark = { epoch, lsn: vdl };
    this.given = next;
    this.seen = null;
    return adviseError(
      'SEXTANT_HISTORY_FORKED',
      `The bookmark ${formatBookmark(given)} is of a history that was left at LSN ${place.until}: what it saw beyond is no part of the database any more. The new bookmark is ${formatBookmark(next)}`,
    );
  }

  /** Waits until this gateway has heard of the reign that the bookmark is of, up to `waitMs`. */
  async settle(waitMs: number): Promise<BookmarkWait> {
    const deadline = monotonicMs() + waitMs;
    for (;;) {
      const error = this.forked();
      if (error !== null) return { kind: 'forked', error };
      const lsn = this.needed;
      if (lsn !== null) return { kind: 'at', lsn };
      if (monotonicMs() >= deadline) break;
      await sleep(lookMs);
    }
    const shown = this.given === null ? '' : formatBookmark(this.given);
    return {
      kind: 'unheard',
      error: adviseError(
        'SEXTANT_STORAGE_UNAVAILABLE',
        `The bookmark ${shown} is of a reign that this region has not heard of within readWaitMs = ${waitMs}`,
      ),
    };
  }

  /** Answers `PRAGMA sextant_bookmark`, with and without a value; null for any other statement. */
  pragma(operation: SqlOperation): SqlOutcome<SqlResult> | null {
    const asked = bookmarkPragma(operation);
    if (asked === undefined) return null;
    if (asked !== null) {
      const bookmark = parseBookmark(asked);
      if (bookmark === null)
        return failure(
          'SQLITE_ERROR',
          `A bookmark is <epoch>.<lsn>, such as 3.81234, not '${asked.slice(0, 40)}'.`,
        );
      this.show(bookmark);
    }
    const told = this.now ?? { epoch: this.volume.head, lsn: this.volume.vdl };
    const columns = [{ name: 'sextant_bookmark', decltype: null }];
    const rows = [[formatBookmark(told)]];
    return { ok: true, value: { columns, rows, affectedRowCount: 0, lastInsertRowid: null } };
  }

  /** Of two bookmarks the one that covers both; of two histories that of the newer reign. */
  private later(a: Bookmark | null, b: Bookmark): Bookmark {
    if (a === null) return b;
    const [first, second] = [this.volume.placeOf(a), this.volume.placeOf(b)];
    const newer = a.epoch > b.epoch ? a : b;
    if (first.kind === 'at' && second.kind === 'at')
      return { epoch: newer.epoch, lsn: maxLsn(first.lsn, second.lsn) };
    if (a.epoch === b.epoch) return a.lsn > b.lsn ? a : b;
    return newer;
  }
}
