/** The pages that a file system is kept in. A page is `redoLimits.pageBytes` long, and pages count from 1. */
import type { PageNo } from '../../../../storage/redo.ts';

export interface FilePages {
  /**
   * The page as it is now (changes of the open set included), null where the volume has none. Not to be changed by who reads,
   * and not to be kept across `change`. May block.
   * @throws PageUnavailable
   */
  read(page: PageNo): Uint8Array | null;
  /** The page to be changed in place; a copy is made on the first change since the last `take`. A page that did not exist is zero. */
  change(page: PageNo): Uint8Array;
  /** The page to be filled anew, zero from end to end. As `change`, but it never asks for what the page held, so it does not block. */
  replace(page: PageNo): Uint8Array;
}
