/** Pages that come from elsewhere to become a node's images, and how far they have come. */
import type { Floor } from '../../history/floor.ts';
import type { PageNo } from '../../redo/ids.ts';

/** Pages as of one place, by number, ascending. */
export interface FillBatch {
  readonly at: Floor;
  readonly pages: readonly { readonly page: PageNo; readonly bytes: Uint8Array }[];
  /** Where the next batch begins; null when there is none. */
  readonly next: PageNo | null;
}

/** How far a fill is. */
export interface FillStanding {
  /** The places its pages are as of, the lowest first. */
  readonly places: readonly Floor[];
  /** Stored by now. */
  readonly pages: number;
  /** Null when all pages are there. */
  readonly next: PageNo | null;
}
