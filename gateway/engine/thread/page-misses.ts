/**
 * Page misses, on the worker's side: ask the main thread and sleep until it has read the page from storage. Redo that
 * arrives meanwhile waits in the worker's message queue, so the head stays where it was when the page was asked for (G3).
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Lsn, nodeLimits, type PageNo, pageNo, zeroLsn } from '../../../storage/redo.ts';
import { adviseError } from '../../sql/errors.ts';
import type { SqlError } from '../../sql/sql.ts';
import type { EngineLimits } from '../core/engine-limits.ts';
import type { Interruptible, PageReply, PageRequest } from '../core/engine-protocol.ts';
import type { EngineShared } from '../core/engine-shared.ts';
import { databasePages, type PageStore } from '../core/page-store.ts';

/** Who waits for a page shows so often that it is alive. */
const beatMs = 200;
/** Pages of one message when many are asked for: what one request to a storage node may have. */
const messagePages = nodeLimits.readPagesMax;
/** So many messages are under way then: their pages are in memory twice. */
const messagesUnderWay = 8;

export class PageReader {
  private readonly port: MessagePort;
  private readonly shared: EngineShared;
  private readonly limits: EngineLimits;
  private readonly stopReason: () => SqlError | null;
  private requests = 0;
  /** Requests that nobody waits for, by number. */
  private readonly ahead = new Map<number, Ahead>();
  /** Pages of those. */
  pagesAhead = 0;
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
   * @param onOutdated called for each page that is good for that read point only
   * @returns it (null when absent), or what went wrong.
   */
  fetch(
    store: PageStore,
    page: PageNo,
    readPoint: Lsn,
    together = 1,
    onOutdated: (page: PageNo) => void = () => undefined,
  ): Uint8Array | null | SqlError {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) {
      store.insert(page, readPoint, null); // An empty volume has no pages to ask for.
      return null;
    }
    const pages = this.choosePages(store, page, readPoint, together);
    const reply = this.ask(this.request(pages, at));
    if (reply.kind === 'error') return reply.error;
    // The page itself last, so that in a small cache it does not give way to its neighbours.
    for (const [index, wanted] of [...pages.entries()].reverse()) {
      if (!store.insert(wanted, readPoint, ownPage(reply.pages[index], pages.length))) onOutdated(wanted);
    }
    return reply.pages[0] ?? null;
  }

  /** Brings pages that are going to be needed, several messages at a time. @returns false when some could not be read. */
  fetchAll(store: PageStore, pages: readonly PageNo[], readPoint: Lsn): boolean {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) return true;
    const underWay = new Map<number, PageRequest>();
    for (let next = 0; next < pages.length || underWay.size > 0; ) {
      while (next < pages.length && underWay.size < messagesUnderWay) {
        const request = this.request(pages.slice(next, next + messagePages), at);
        underWay.set(request.id, request);
        next += messagePages;
        this.port.postMessage(request);
      }
      const reply = this.nextReply(underWay);
      if (reply.kind === 'error') return false;
      const { pages: asked } = reply.request;
      for (const [index, page] of asked.entries())
        store.insert(page, readPoint, ownPage(reply.pages[index], asked.length));
      underWay.delete(reply.request.id);
    }
    return true;
  }

  /**
   * Asks for pages that may be needed, and waits for nothing: they are in the store after a `takeAhead`, or another wait for pages.
   * Their read point is held until then.
   * @param onOutdated called for each page that is good for that read point only
   */
  askAhead(
    store: PageStore,
    pages: readonly PageNo[],
    readPoint: Lsn,
    onOutdated: (page: PageNo) => void,
  ): void {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) return;
    const request = this.request(pages, at);
    store.hold(readPoint);
    this.ahead.set(request.id, { store, readPoint, request, onOutdated });
    this.pagesAhead += pages.length;
    this.port.postMessage(request);
  }

  /** Puts what has come of that into the store. */
  takeAhead(): void {
    while (this.ahead.size > 0) {
      const received: { message: PageReply } | undefined = receiveMessageOnPort(this.port);
      if (received === undefined) return;
      this.settleAhead(received.message);
    }
  }

  /** @param reply what nobody waits for: pages ahead, or the late answer to a request that was given up */
  private settleAhead(reply: PageReply): void {
    const found = this.ahead.get(reply.id);
    if (found === undefined) return;
    const { store, readPoint, request, onOutdated } = found;
    this.ahead.delete(reply.id);
    this.pagesAhead -= request.pages.length;
    if (reply.kind === 'pages')
      for (const [index, page] of request.pages.entries())
        if (!store.insert(page, readPoint, ownPage(reply.pages[index], request.pages.length)))
          onOutdated(page);
    store.unpin(readPoint);
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

  private request(pages: readonly PageNo[], readPoint: Lsn): PageRequest {
    return { kind: 'read', id: ++this.requests, pages, readPoint };
  }

  private ask(request: PageRequest): Pages | Failed {
    this.port.postMessage(request);
    return this.nextReply(new Map([[request.id, request]]));
  }

  /** Sleeps until one of these is answered. */
  private nextReply(underWay: ReadonlyMap<number, PageRequest>): Pages | Failed {
    const deadline = performance.now() + this.pageReadMs;
    const [first] = underWay.values();
    for (;;) {
      const seen = this.shared.reply;
      const received: { message: PageReply } | undefined = receiveMessageOnPort(this.port);
      if (received !== undefined) {
        const reply = received.message;
        const request = underWay.get(reply.id);
        if (request === undefined) {
          this.settleAhead(reply);
          continue;
        }
        if (reply.kind === 'pages') return { kind: 'pages', request, pages: reply.pages };
        return unavailable(
          `Page ${request.pages[0]} could not be read at ${request.readPoint}: ${reply.reason}`,
        );
      }
      const stopped = this.stopReason();
      if (stopped !== null) return { kind: 'error', error: stopped };
      const left = deadline - performance.now();
      if (left <= 0)
        return unavailable(`Page ${first?.pages[0]} did not come within pageReadMs = ${this.pageReadMs}`);
      this.shared.sleep(seen, Math.min(left, beatMs));
    }
  }
}

/** A request that nobody waits for. */
interface Ahead {
  readonly store: PageStore;
  readonly readPoint: Lsn;
  readonly request: PageRequest;
  readonly onOutdated: (page: PageNo) => void;
}

interface Pages {
  readonly kind: 'pages';
  readonly request: PageRequest;
  readonly pages: readonly (Uint8Array | null)[];
}

interface Failed {
  readonly kind: 'error';
  readonly error: SqlError;
}

const unavailable = (detail: string): Failed => ({
  kind: 'error',
  error: adviseError('SEXTANT_STORAGE_UNAVAILABLE', detail),
});

/** Pages that came together are views into one buffer: one of them that is kept would keep it all. */
function ownPage(page: Uint8Array | null | undefined, together: number): Uint8Array | null {
  if (page === undefined || page === null) return null;
  return together === 1 ? page : page.slice();
}
