/**
 * Refills a node with images: of its peers when what it lacks lies below the log of all of them, or of another region that pushes
 * them. Pages come in the order of their numbers; the log comes beside them, from the lowest place that any of them is as of.
 *
 * S25: a node that is being refilled vouches for nothing of it. Its peers' images take the place of its own only when its log
 * reaches from the lowest of their places to the highest: it is complete at once, or not at all.
 */
import { type EpochTree, endOfTime } from '../../history/epoch-tree.ts';
import { type Floor, floorOn } from '../../history/floor.ts';
import type { FillBatch, FillStanding } from '../../images/core/fill.ts';
import type { Segment } from '../../log/core/segment.ts';
import { type Epoch, type Lsn, maxLsn, type PageNo, pageNo, zeroLsn } from '../../redo/ids.ts';
import { redoLimits, refillLimits, segmentLimits } from '../../redo/limits.ts';
import type { ImagesPutReply, PutImagesRequest, RefillProgress } from '../../wire/core/messages.ts';
import type { Refusal } from './answers.ts';
import type { Caller } from './node-events.ts';

/** Where a node's images begin, and from where on they can be read with the log (S24). */
export interface ImageBase {
  readonly at: Floor;
  readonly fuzzyTo: Lsn;
}

export type RefillEffect =
  /** Ask the peers for pages from here on, and store them. */
  | { readonly kind: 'fetchImages'; readonly head: Epoch; readonly fromPage: PageNo }
  /** Store what was pushed; `isFirst`: what there was is given up. */
  | {
      readonly kind: 'storeImages';
      readonly caller: Caller | null;
      readonly head: Epoch;
      readonly batch: FillBatch;
      readonly isFirst: boolean;
    }
  | { readonly kind: 'dropFill'; readonly head: Epoch; readonly reason: string }
  /** Put the pages, which are complete, in the place of the node's images. */
  | { readonly kind: 'adoptImages'; readonly caller: Caller | null; readonly head: Epoch };

/** How a node stands that may have to be refilled. */
export interface RefillNeed {
  readonly head: Epoch;
  /** The path on which the images have to lie: no branch that lives leaves below them then. */
  readonly imagesOn: Epoch;
  /** Up to where it is complete. */
  readonly end: Lsn;
  readonly vdl: Lsn;
  /** The lowest floor of its peers, when all of them lie above what it lacks. */
  readonly peersFloor: Floor | null;
  /** A writer keeps it busy. */
  readonly isBusy: boolean;
}

export type Put =
  | { readonly kind: 'effect'; readonly effect: RefillEffect }
  | { readonly kind: 'reply'; readonly reply: ImagesPutReply }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

const firstPage = pageNo(1);

export class Refill {
  private readonly tree: EpochTree;
  private readonly segment: Segment;
  private standing: FillStanding | null;
  private underWay = false;
  private notBeforeMs = 0;
  private pushedAtMs = Number.NEGATIVE_INFINITY;
  private total = 0;
  private began: { readonly atMs: number; readonly pages: number } | null = null;
  private lastAtMs = 0;
  /** The log reaches so far without a gap from the lowest place of the pages, `from`. */
  private log: { readonly from: Lsn; readonly end: Lsn } = { from: zeroLsn, end: zeroLsn };

  /** @param standing what an earlier process had got. */
  constructor(tree: EpochTree, segment: Segment, standing: FillStanding | null) {
    this.tree = tree;
    this.segment = segment;
    this.standing = standing;
  }

  /** Null while the node is not being refilled. */
  get progress(): RefillProgress | null {
    if (this.standing === null) return null;
    const bytes = this.standing.pages * redoLimits.pageBytes;
    const began = this.began ?? { atMs: this.lastAtMs, pages: this.standing.pages };
    const seconds = (this.lastAtMs - began.atMs) / 1_000;
    const since = (this.standing.pages - began.pages) * redoLimits.pageBytes;
    return {
      bytes,
      totalBytes: Math.max(bytes, this.total * redoLimits.pageBytes),
      bytesPerSecond: seconds > 0 ? Math.round(since / seconds) : 0,
    };
  }

  /** From here on a node that is complete up to `end` needs the log: from where its pages begin, as soon as it has any. */
  logFrom(head: Epoch, end: Lsn): Lsn {
    const low = this.standing?.places[0];
    if (low === undefined || floorOn(this.tree, low, head) === null) return end;
    const from = this.log.from === low.lsn ? this.log.end : low.lsn;
    this.log = { from: low.lsn, end: endFrom(this.segment, head, from) };
    return maxLsn(end, this.log.end);
  }

  /** Looks what is to be done next. */
  tick(need: RefillNeed, nowMs: number): readonly RefillEffect[] {
    const { standing } = this;
    if (this.underWay || nowMs - this.pushedAtMs < refillLimits.pushedMs) return [];
    const { head, imagesOn, end, vdl, peersFloor } = need;
    const useless = standing === null ? null : this.uselessness(standing, need);
    if (useless !== null) return this.begin({ kind: 'dropFill', head, reason: useless });
    // Nobody here lacks anything; what another region has begun to push waits for it.
    if (end >= vdl || (standing === null && peersFloor === null)) return [];
    if (standing !== null && standing.next === null) {
      const high = standing.places.at(-1)?.lsn ?? zeroLsn;
      return this.logFrom(head, zeroLsn) < high ? [] : this.adopt(null, head);
    }
    if (nowMs < this.notBeforeMs) return [];
    const rate = need.isBusy ? refillLimits.bytesPerSecondBusy : refillLimits.bytesPerSecond;
    this.notBeforeMs = nowMs + (refillLimits.batchBytes / rate) * 1_000;
    return this.begin({ kind: 'fetchImages', head: imagesOn, fromPage: standing?.next ?? firstPage });
  }

  /** Pages from another region, or its question how far this node is. */
  put(caller: Caller | null, request: PutImagesRequest, base: ImageBase | null, nowMs: number): Put {
    const { head, at, fromPage, next, pages } = request;
    const { standing, tree, segment } = this;
    if (floorOn(tree, at, head) === null)
      return refused(
        'EPOCH_CONFLICT',
        `images of LSN ${at.lsn} of epoch ${at.epoch} are not on the path to epoch ${head}`,
      );
    // Complete there by itself, or because it has been filled already.
    if (segment.volumeEnd(head) >= at.lsn) return this.reply(null, segment.floor);
    if (this.underWay) return refused('OVERLOADED', 'pages are being stored');
    this.pushedAtMs = nowMs;
    const isOnPath = standing?.places.every((place) => floorOn(tree, place, head) !== null) ?? true;
    const has = standing === null || !isOnPath ? firstPage : standing.next;
    if (has === null || (base !== null && isFilled(tree, base, request)))
      return this.effect({ kind: 'adoptImages', caller, head });
    if (pages.length === 0 || (fromPage < has && fromPage !== firstPage)) return this.reply(has, null);
    if (fromPage > has)
      return refused('NOT_COMPLETE', `pages from ${fromPage} on do not follow: this node lacks page ${has}`);
    const bytes = (place: number): Uint8Array =>
      request.bytes.subarray(place * redoLimits.pageBytes, (place + 1) * redoLimits.pageBytes);
    const batch = { at, next, pages: pages.map((page, place) => ({ page, bytes: bytes(place) })) };
    return this.effect({
      kind: 'storeImages',
      caller,
      head,
      batch,
      isFirst: fromPage === firstPage && standing !== null,
    });
  }

  /** What was under way has ended. @param total about so many pages there are in all; null where that was not said. */
  ended(standing: FillStanding | null, total: number | null, nowMs: number): void {
    this.underWay = false;
    this.began ??= { atMs: nowMs, pages: standing?.pages ?? 0 };
    if (standing === null) this.began = null;
    this.lastAtMs = nowMs;
    this.total = total ?? this.total;
    this.standing = standing;
  }

  /** What was under way came to nothing. */
  failed(nowMs: number): void {
    this.underWay = false;
    this.notBeforeMs = nowMs + refillLimits.retryMs;
  }

  adopt(caller: Caller | null, head: Epoch): readonly RefillEffect[] {
    return this.begin({ kind: 'adoptImages', caller, head });
  }

  reply(next: PageNo | null, floor: Floor | null): Extract<Put, { kind: 'reply' }> {
    return {
      kind: 'reply',
      reply: {
        kind: 'imagesPut',
        next,
        pages: this.standing?.pages ?? 0,
        low: this.standing?.places[0]?.lsn ?? null,
        floor,
      },
    };
  }

  /** Why pages that were got are of no use any more; null while they are. */
  private uselessness({ places }: FillStanding, { head, end, peersFloor }: RefillNeed): string | null {
    if (places.some((place) => floorOn(this.tree, place, head) === null))
      return `they lie on another history than epoch ${head}`;
    if (end >= (places.at(-1)?.lsn ?? zeroLsn)) return 'the node is complete without them';
    const reached = this.logFrom(head, zeroLsn);
    if (peersFloor !== null && peersFloor.lsn > reached)
      return `the log of all peers begins at ${peersFloor.lsn} by now, above ${reached}`;
    return null;
  }

  private begin(effect: RefillEffect): readonly RefillEffect[] {
    this.underWay = true;
    return [effect];
  }

  private effect(effect: RefillEffect): Put {
    this.underWay = true;
    return { kind: 'effect', effect };
  }
}

/** Up to here the log says the path to `head` without a gap, beginning at `from`; `from` when it has nothing there. */
function endFrom(segment: Segment, head: Epoch, from: Lsn): Lsn {
  let end = from;
  for (;;) {
    const next = segment.run(head, end, segmentLimits.walkBytes, endOfTime).end;
    if (next === end) return end;
    end = next;
  }
}

/** Whether all that the images hold lies on the path to `head`. */
export const isOnPath = (tree: EpochTree, { at, fuzzyTo }: ImageBase, head: Epoch): boolean =>
  floorOn(tree, { epoch: at.epoch, lsn: fuzzyTo }, head) !== null;

/** Whether the images are of a fill that ended after what is asked for: a kill came before the node could say so. */
const isFilled = (tree: EpochTree, base: ImageBase, request: PutImagesRequest): boolean =>
  base.at.lsn >= request.at.lsn && isOnPath(tree, base, request.head);

const refused = (code: Refusal['code'], reason: string): Put => ({
  kind: 'refused',
  refusal: { code, reason },
});
