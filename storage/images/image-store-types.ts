/** What a store of images is given, and what it answers. */
import type { Floor } from '../history/floor.ts';
import type { Disk } from '../log/disk.ts';
import type { Runtime } from '../process/runtime.ts';
import type { PageNo } from '../redo/ids.ts';
import type { FoldPoint } from './core/manifest.ts';
import type { MergeBounds } from './core/merge-policy.ts';

export type ImageRead =
  /** The page; the reader's own bytes. */
  | { readonly kind: 'ok'; readonly bytes: Uint8Array }
  | { readonly kind: 'absent' }
  /** Rotten, or not readable just now. */
  | { readonly kind: 'bad'; readonly reason: string };

/** Pages of a place, in the order of their numbers. `next`: where to go on, null at the end; `total`: about how many there are in all. */
export type PagesFrom =
  | {
      readonly kind: 'pages';
      readonly at: Floor;
      readonly pages: readonly { readonly page: PageNo; readonly bytes: Uint8Array }[];
      readonly next: PageNo | null;
      readonly total: number;
    }
  | { readonly kind: 'bad'; readonly reason: string };

export type ImagesStored = { readonly kind: 'stored' } | { readonly kind: 'failed'; readonly reason: string };

/** Pages as of one point of one history, from another copy of them; null for a page that is not there, or for all when nobody has them. */
export type PageSource = (
  at: FoldPoint,
  pages: readonly PageNo[],
) => Promise<readonly (Uint8Array | null)[] | null>;

export interface ImageStoreOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly runtime: Runtime;
  /** Told of what was lost and is made anew. */
  readonly onTrouble: (what: string, reason: string) => void;
  /** A number that rises while a writer keeps the disk busy. */
  readonly foreground?: () => number;
  readonly bounds?: Partial<MergeBounds>;
}

/** Running totals since the store was opened. */
export interface ImageCounters {
  runsWritten: number;
  /** To run files, by folding and by merges. */
  bytesWritten: number;
  merges: number;
  /** Pages that did not match their checksum, and those of them that were brought back. */
  rottenFound: number;
  rottenHealed: number;
}

export const imageStoreBounds = {
  /** Reads of run files under way at once; more wait. */
  readsMax: 16,
  /** Rotten pages of one run that are fetched at once. */
  healedAtOnce: 256,
} as const;
