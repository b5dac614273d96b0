/** Pages for a thread that reads beside a reign. */
import type { Lsn, PageNo } from '../../storage/index.ts';
import type { Engine } from '../engine/engine.ts';

type Pages = readonly (Uint8Array | null)[];

/** A thread that writes and is busy is not waited for: storage has the page, too. */
const peekMs = 5;

/**
 * The engine that writes has most pages as they are now, and storage nodes have to put one together from all that was written to
 * it in the last minute.
 * @param readPages asks the storage nodes, in one request.
 */
export async function readBeside(
  pages: readonly PageNo[],
  readPoint: Lsn,
  writer: { readonly engine: Pick<Engine, 'peek'>; readonly reign: { readonly isOver: boolean } },
  readPages: (pages: readonly PageNo[]) => Promise<Pages>,
): Promise<Pages> {
  const peeked = await Promise.all(pages.map((page) => writer.engine.peek(page, readPoint, peekMs)));
  // What a reign that is over meanwhile has had may be no part of history.
  const missing = pages.filter((_, at) => peeked[at] === undefined || writer.reign.isOver);
  if (missing.length === 0) return peeked.map((bytes) => bytes ?? null);
  const read = await readPages(missing);
  return pages.map((page, at) => {
    const place = missing.indexOf(page);
    return (place < 0 ? peeked[at] : read[place]) ?? null;
  });
}
