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
  /** Requests under way that nobody waits for, by number. */
  private readonly ahead = new Map<number, Ahead>();
  /** Those that leave when others have come. */
  private queue: Ahead[] = [];
  /** What their pages come with. */
  private readonly coming = new Map<PageNo, Ahead>();
  /** Pages of all those. */
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
    const come = this.awaitComing(store, page, readPoint);
    if (come !== undefined) return come;
    const pages = this.choosePages(store, page, readPoint, together);
    const reply = this.ask(this.request(pages, at, readPoint));
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
        const request = this.request(pages.slice(next, next + messagePages), at, readPoint);
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
    const wanted = this.want(store, pages, readPoint, onOutdated);
    if (wanted !== null) this.leave(wanted);
  }

  /**
   * As `askAhead`, for pages that are going to be needed, the first ones first: they leave in several messages, of which a few are under
   * way at a time. Whoever reads one of them meanwhile waits for it.
   */
  askAll(
    store: PageStore,
    pages: readonly PageNo[],
    readPoint: Lsn,
    onOutdated: (page: PageNo) => void,
  ): void {
    for (let at = 0; at < pages.length; at += messagePages) {
      const wanted = this.want(store, pages.slice(at, at + messagePages), readPoint, onOutdated);
      if (wanted !== null) this.queue.push(wanted);
    }
    this.leaveQueue();
  }

  /** What waits to be asked for is of no use any more. */
  forget(): void {
    for (const wanted of this.queue.splice(0)) this.end(wanted);
  }

  /** @returns null where the volume is empty */
  private want(
    store: PageStore,
    pages: readonly PageNo[],
    readPoint: Lsn,
    onOutdated: (page: PageNo) => void,
  ): Ahead | null {
    const at = store.fetchPoint(readPoint);
    if (at === zeroLsn) return null;
    const wanted: Ahead = { store, readPoint, request: this.request(pages, at, readPoint), onOutdated };
    store.hold(readPoint);
    this.pagesAhead += pages.length;
    for (const page of pages) this.coming.set(page, wanted);
    return wanted;
  }

  private leave(wanted: Ahead): void {
    this.ahead.set(wanted.request.id, wanted);
    this.port.postMessage(wanted.request);
  }

  private leaveQueue(): void {
    while (this.ahead.size < messagesUnderWay) {
      const next = this.queue.shift();
      if (next === undefined) return;
      this.leave(next);
    }
  }

  /** It has come, or never will. */
  private end({ store, readPoint, request }: Ahead): void {
    this.pagesAhead -= request.pages.length;
    for (const page of request.pages)
      if (this.coming.get(page)?.request === request) this.coming.delete(page);
    store.unpin(readPoint);
  }

  /** Waits for a page that is on its way. @returns it; undefined when it has to be asked for */
  private awaitComing(store: PageStore, page: PageNo, readPoint: Lsn): Uint8Array | null | undefined {
    const wanted = this.coming.get(page);
    if (wanted === undefined || wanted.store !== store) return undefined;
    const { id } = wanted.request;
    if (!this.ahead.has(id)) {
      this.queue = this.queue.filter((other) => other !== wanted);
      this.leave(wanted);
    }
    this.receive(page, (reply) => {
      this.settleAhead(reply);
      return !this.ahead.has(id);
    });
    return store.readAt(page, readPoint);
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
    if (reply.kind === 'pages')
      for (const [index, page] of request.pages.entries())
        if (!store.insert(page, readPoint, ownPage(reply.pages[index], request.pages.length)))
          onOutdated(page);
    this.end(found);
    this.leaveQueue();
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

  private request(pages: readonly PageNo[], readPoint: Lsn, through: Lsn): PageRequest {
    return { kind: 'read', id: ++this.requests, pages, readPoint, through };
  }

  private ask(request: PageRequest): Pages | Failed {
    this.port.postMessage(request);
    return this.nextReply(new Map([[request.id, request]]));
  }

  /** Sleeps until one of these is answered. */
  private nextReply(underWay: ReadonlyMap<number, PageRequest>): Pages | Failed {
    const [first] = underWay.values();
    let found: Pages | Failed | null = null;
    const failed = this.receive(first?.pages[0], (reply) => {
      const request = underWay.get(reply.id);
      if (request === undefined) {
        this.settleAhead(reply);
        return false;
      }
      found =
        reply.kind === 'pages'
          ? { kind: 'pages', request, pages: reply.pages }
          : unavailable(
              `Page ${request.pages[0]} could not be read at ${request.readPoint}: ${reply.reason}`,
            );
      return true;
    });
    return failed ?? found ?? unavailable(`Page ${first?.pages[0]} was not answered`);
  }

  /** Sleeps until `take` has had what it waits for. @param page for which all this is. @returns null, or why it is waited for no more */
  private receive(page: PageNo | undefined, take: (reply: PageReply) => boolean): Failed | null {
    const deadline = performance.now() + this.pageReadMs;
    for (;;) {
      const seen = this.shared.reply;
      const received: { message: PageReply } | undefined = receiveMessageOnPort(this.port);
      if (received !== undefined) {
        if (take(received.message)) return null;
        continue;
      }
      const stopped = this.stopReason();
      if (stopped !== null) return { kind: 'error', error: stopped };
      const left = deadline - performance.now();
      if (left <= 0) return unavailable(`Page ${page} did not come within pageReadMs = ${this.pageReadMs}`);
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
