/**
 * Page misses, on the worker's side: ask the main thread and sleep until it has read the page from storage. Redo that
 * arrives meanwhile waits in the worker's message queue, so the head stays where it was when the page was asked for (G3).
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Lsn, type PageNo, pageNo, zeroLsn } from '../../../storage/redo.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { Interruptible, PageReply, PageRequest } from '../core/engine-protocol.ts';
import type { EngineShared } from '../core/engine-shared.ts';
import { databasePages, type PageStore } from '../core/page-store.ts';

/** Who waits for a page shows so often that it is alive. */
const beatMs = 200;
/** Pages of one message: so many are in memory twice. */
const messagePages = 1_024;

export class PageReader {
  private readonly port: MessagePort;
  private readonly shared: EngineShared;
  private readonly limits: EngineLimits;
  private readonly stopReason: () => SqlError | null;
  private requests = 0;
  private lastPage = 0;
  private window = 1;
  /** A page is waited for so long. */
  pageReadMs = 0;

  /** @param stopReason why nothing is worth waiting for any more, or null; asked several times a second. */
  constructor(
    port: MessagePort,
    shared: EngineShared,
    limits: EngineLimits,
    stopReason: () => SqlError | null,
  ) {
    this.port = port;
    this.shared = shared;
    this.limits = limits;
    this.stopReason = stopReason;
  }

  /**
   * Brings a page, and those after it when misses follow one another, into the store.
   * @param together pages that are read as one, as a rule: so many are asked for at least.
   * @returns it (null when absent), or what went wrong.
   */
  fetch(store: PageStore, page: PageNo, readPoint: Lsn, together = 1): Uint8Array | null | SqlError {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) {
      store.insert(page, readPoint, null); // An empty volume has no pages to ask for.
      return null;
    }
    const pages = this.choosePages(store, page, readPoint, together);
    const reply = this.ask({ kind: 'read', id: ++this.requests, pages, readPoint: at });
    if (reply.kind === 'error') return reply.error;
    // The page itself last, so that in a small cache it does not give way to its neighbours.
    for (const [index, wanted] of [...pages.entries()].reverse()) {
      store.insert(wanted, readPoint, ownPage(reply.pages[index], pages.length));
    }
    return reply.pages[0] ?? null;
  }

  /** Brings pages that are going to be needed. @returns false when some could not be read, and no more were asked for. */
  fetchAll(store: PageStore, pages: readonly PageNo[], readPoint: Lsn): boolean {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) return true;
    for (let from = 0; from < pages.length; from += messagePages) {
      const asked = pages.slice(from, from + messagePages);
      const reply = this.ask({ kind: 'read', id: ++this.requests, pages: asked, readPoint: at });
      if (reply.kind === 'error') return false;
      for (const [index, page] of asked.entries())
        store.insert(page, readPoint, ownPage(reply.pages[index], asked.length));
    }
    return true;
  }

  /** Doubles the number of pages asked for as long as misses run upwards. */
  private choosePages(store: PageStore, page: PageNo, readPoint: Lsn, together: number): PageNo[] {
    const follows = page > this.lastPage && page <= this.lastPage + this.window + 1;
    this.window = follows ? Math.min(this.window * 2, this.limits.readAheadPages) : together;
    const page1 = store.readAt(pageNo(1), readPoint);
    const last = page1 === undefined ? page : databasePages(page1);
    const pages = [page];
    for (let next = page + 1; next < page + this.window && next <= last; next++) {
      const ahead = pageNo(next);
      if (store.readAt(ahead, readPoint) === undefined) pages.push(ahead);
    }
    this.lastPage = pages.at(-1) ?? page;
    return pages;
  }

  /** Tells how what runs here is stopped. */
  tell(interruptible: Interruptible): void {
    this.port.postMessage(interruptible);
  }

  private ask(
    request: PageRequest,
  ):
    | { readonly kind: 'pages'; readonly pages: readonly (Uint8Array | null)[] }
    | { readonly kind: 'error'; readonly error: SqlError } {
    this.port.postMessage(request);
    const deadline = performance.now() + this.pageReadMs;
    for (;;) {
      const seen = this.shared.reply;
      const received: { message: PageReply } | undefined = receiveMessageOnPort(this.port);
      if (received !== undefined) {
        const reply = received.message;
        if (reply.id !== request.id) continue; // The late answer to a request that was given up.
        if (reply.kind === 'pages') return reply;
        const detail = `Page ${request.pages[0]} could not be read at ${request.readPoint}: ${reply.reason}`;
        return { kind: 'error', error: adviseError('SEXTANT_STORAGE_UNAVAILABLE', detail) };
      }
      const stopped = this.stopReason();
      if (stopped !== null) return { kind: 'error', error: stopped };
      const left = deadline - performance.now();
      if (left <= 0) {
        const detail = `Page ${request.pages[0]} did not come within pageReadMs = ${this.pageReadMs}`;
        return { kind: 'error', error: adviseError('SEXTANT_STORAGE_UNAVAILABLE', detail) };
      }
      this.shared.sleep(seen, Math.min(left, beatMs));
    }
  }
}

/** Pages that came together are views into one buffer: one of them that is kept would keep it all. */
function ownPage(page: Uint8Array | null | undefined, together: number): Uint8Array | null {
  if (page === undefined || page === null) return null;
  return together === 1 ? page : page.slice();
}
