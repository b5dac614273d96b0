/**
 * The primary's side of filling a secondary with images: one that stands below the log of all nodes here, or a new one. Pages leave
 * in the order of their numbers under a credit window of their own, from where four nodes of the secondary have them, and leave
 * again from there when nothing gets on.
 *
 * R62: images are shipped only to a secondary that stands below the retained log. It is asked where it is before the first page
 * leaves, so that whichever agent is killed, or the link cut, it goes on where it stood.
 */
import { type Floor, type Lsn, minLsn, type PageNo, redoLimits } from '../../../storage/core.ts';
import type { ImagesAck } from '../../bus/core/messages.ts';
import { LineWindow } from './line-window.ts';
import { type ShippingBounds, shippingLimits } from './shipping-limits.ts';

export type ImageShipperEvent =
  /** The secondary stands below this; null when it does not any more. */
  | { readonly kind: 'needed'; readonly floor: Floor | null }
  | { readonly kind: 'acked'; readonly ack: ImagesAck }
  /** Pages from `fromPage` on, as of `at`. */
  | {
      readonly kind: 'fetched';
      readonly fromPage: PageNo;
      readonly at: Lsn;
      readonly next: PageNo | null;
      readonly bytes: number;
      readonly total: number;
    }
  | { readonly kind: 'fetchFailed' }
  | { readonly kind: 'tick' };

export type ImageShipperEffect =
  /** Ask the secondary how far it is. */
  | { readonly kind: 'ask'; readonly floor: Floor }
  /** Read pages of this region's nodes, about `bytesMax`, and send them. Answer with `fetched` once they have left, or `fetchFailed`. */
  | {
      readonly kind: 'fetch';
      readonly floor: Floor;
      readonly fromPage: PageNo;
      readonly bytesMax: number;
    };

/** How far a secondary is filled. */
export interface FillProgress {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
}

interface Sent {
  readonly fromPage: PageNo;
  readonly bytes: number;
}

export class ImageShipper {
  private readonly line: LineWindow;
  private floor: Floor | null = null;
  /** Next page to read; null when all have left, undefined before the secondary has said where it is. */
  private cursor: PageNo | null | undefined = undefined;
  /** Where four of its nodes go on. */
  private stored: PageNo | null = null;
  private sent: Sent[] = [];
  private fetching = false;
  private lowest: Lsn | null = null;
  private pages = 0;
  private total = 0;
  private progressAtMs = 0;
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private notBeforeMs = 0;
  private tries = 0;
  private began: { readonly atMs: number; readonly pages: number } | null = null;

  constructor(bounds: ShippingBounds) {
    this.line = new LineWindow(bounds);
  }

  /** The log above this has to be kept for the secondary (R64); null while it is not being filled. */
  get low(): Lsn | null {
    return this.lowest;
  }

  /** Null while it is not being filled. */
  get progress(): FillProgress | null {
    if (this.floor === null || this.began === null) return null;
    const { atMs, pages } = this.began;
    const seconds = (this.progressAtMs - atMs) / 1_000;
    const bytes = this.pages * redoLimits.pageBytes;
    return {
      bytes,
      totalBytes: Math.max(bytes, this.total * redoLimits.pageBytes),
      bytesPerSecond: seconds > 0 ? Math.round(((this.pages - pages) * redoLimits.pageBytes) / seconds) : 0,
    };
  }

  step(event: ImageShipperEvent, nowMs: number): readonly ImageShipperEffect[] {
    switch (event.kind) {
      case 'needed':
        this.needed(event.floor);
        break;
      case 'acked':
        this.acked(event.ack, nowMs);
        break;
      case 'fetched':
        this.fetched(event, nowMs);
        break;
      case 'fetchFailed':
        this.fetching = false;
        this.notBeforeMs = nowMs + shippingLimits.heartbeatMs;
        break;
      case 'tick':
        break;
    }
    return this.next(nowMs);
  }

  private needed(floor: Floor | null): void {
    if (floor === null || this.floor === null) this.forget();
    this.floor = floor;
  }

  private forget(): void {
    this.cursor = undefined;
    this.sent = [];
    this.line.restarted();
    this.lowest = null;
    this.pages = 0;
    this.tries = 0;
    this.began = null;
  }

  private acked({ next, pages, low }: ImagesAck, nowMs: number): void {
    if (this.floor === null) return;
    this.began ??= { atMs: nowMs, pages };
    if (low !== null) this.lowest = this.lowest === null ? low : minLsn(this.lowest, low);
    // It joins anew with what it has got, and says so itself.
    const isAnswer = this.cursor === undefined;
    const isProgress = isAnswer || isFurther(next, this.stored);
    this.pages = pages;
    this.stored = next;
    if (isAnswer) this.cursor = next;
    if (!isAnswer) this.line.arrived(next ?? Number.POSITIVE_INFINITY, nowMs);
    this.sent = next === null ? [] : this.sent.filter(({ fromPage }) => fromPage >= next);
    if (!isProgress) return;
    this.progressAtMs = nowMs;
    this.tries = 0;
  }

  private fetched(event: Extract<ImageShipperEvent, { kind: 'fetched' }>, nowMs: number): void {
    const { fromPage, at, next, bytes, total } = event;
    this.fetching = false;
    this.total = total;
    if (this.cursor !== fromPage) return;
    this.lowest = this.lowest === null ? at : minLsn(this.lowest, at as Lsn);
    this.cursor = next;
    this.sent.push({ fromPage, bytes });
    this.line.sent(fromPage + 1, this.underWayBytes, nowMs);
  }

  private next(nowMs: number): readonly ImageShipperEffect[] {
    const { floor, cursor } = this;
    if (floor === null) return [];
    const waitMs = Math.min(shippingLimits.resendMsMax, shippingLimits.resendAfterMs * 2 ** this.tries);
    if (nowMs - Math.max(this.progressAtMs, this.askedAtMs) >= waitMs) {
      // Nothing gets on, or nothing has begun: where is it?
      this.askedAtMs = nowMs;
      this.tries = Math.min(this.tries + 1, 16);
      this.cursor = undefined;
      this.sent = [];
      this.line.restarted();
      return [{ kind: 'ask', floor }];
    }
    // R98
    const hasRoom = this.underWayBytes < this.line.bytes(nowMs);
    if (cursor === undefined || cursor === null || this.fetching || !hasRoom || nowMs < this.notBeforeMs)
      return [];
    this.fetching = true;
    return [{ kind: 'fetch', floor, fromPage: cursor, bytesMax: this.line.messageBytes(nowMs) }];
  }

  private get underWayBytes(): number {
    return this.sent.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

const isFurther = (next: PageNo | null, before: PageNo | null): boolean =>
  before !== null && (next === null || next > before);
