/**
 * Page reads over the nodes of a region. Whom a read asks and when is decided in `core/hedge.ts`, who comes first in
 * `core/read-order.ts`; this file sends the requests and keeps the time.
 */
import type { Runtime, Timer } from '../process/runtime.ts';
import type { Epoch, Lsn, NodeId, PageNo } from '../redo/ids.ts';
import { unreachable } from '../redo/ids.ts';
import { nodeLimits } from '../redo/limits.ts';
import type { StorageRequest } from '../wire/core/messages.ts';
import type { Answer, NodeTarget } from '../wire/storage-client.ts';
import { HedgedRead, type HedgeEffect, type HedgeEvent } from './core/hedge.ts';
import { ReadOrder, readOrderLimits } from './core/read-order.ts';

export type PagesFetched =
  | { readonly kind: 'pages'; readonly pages: readonly (Uint8Array | null)[] }
  /** No node could serve it in time; `reason` is the last one heard, or who has not answered. */
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface PagesWanted {
  /** For the whole read, all nodes tried. Default 5 s. */
  readonly timeoutMs?: number;
}

export interface PageFetcherOptions {
  readonly nodes: readonly NodeTarget[];
  /** Preferred zone; null for none. */
  readonly az: string | null;
  readonly isUp: (node: NodeId) => boolean;
  /** Asks one node; `done` runs once, never inside this call. */
  readonly ask: (
    node: NodeId,
    request: StorageRequest,
    timeoutMs: number,
    done: (answer: Answer) => void,
  ) => void;
  readonly runtime: Runtime;
}

const readMs = 5_000;

export class PageFetcher {
  private readonly options: PageFetcherOptions;
  private readonly order: ReadOrder;
  /** Large reads so far. */
  private turns = 0;

  constructor(options: PageFetcherOptions) {
    this.options = options;
    this.order = new ReadOrder(options.nodes, options.az);
  }

  /** The region has these nodes from now on. */
  use(nodes: readonly NodeTarget[]): void {
    this.order.use(nodes);
  }

  async read(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
    { timeoutMs = readMs }: PagesWanted,
  ): Promise<PagesFetched> {
    const reads: Promise<PagesFetched>[] = [];
    for (let at = 0; at < pages.length; at += nodeLimits.readPagesMax) {
      const some = pages.slice(at, at + nodeLimits.readPagesMax);
      reads.push(this.readSome({ kind: 'readPages', head, readPoint, pages: some }, timeoutMs));
    }
    const found: (Uint8Array | null)[] = [];
    for (const part of await Promise.all(reads)) {
      if (part.kind === 'unavailable') return part;
      found.push(...part.pages);
    }
    return { kind: 'pages', pages: found };
  }

  private readSome(request: ReadPagesRequest, timeoutMs: number): Promise<PagesFetched> {
    const { isUp, ask, runtime } = this.options;
    const { order } = this;
    const turn = request.pages.length > readOrderLimits.smallPages ? this.turns++ : 0;
    return new Promise((done) => {
      new PageRead({ order, isUp, ask, runtime, request, turn, timeoutMs, done }).tick();
    });
  }
}

type ReadPagesRequest = Extract<StorageRequest, { kind: 'readPages' }>;

interface PageReadOptions extends Pick<PageFetcherOptions, 'isUp' | 'ask'> {
  readonly order: ReadOrder;
  readonly runtime: Runtime;
  readonly request: ReadPagesRequest;
  /** Large reads begin with one good node after another. */
  readonly turn: number;
  readonly timeoutMs: number;
  readonly done: (result: PagesFetched) => void;
}

/** Drives one hedged read. Nodes that answer after its end still teach the order. */
class PageRead {
  private readonly options: PageReadOptions;
  private readonly read: HedgedRead;
  private readonly sentAtMs = new Map<NodeId, number>();
  private timer: Timer | undefined;
  private wakeAtMs = Number.POSITIVE_INFINITY;

  constructor(options: PageReadOptions) {
    this.options = options;
    this.read = new HedgedRead(options.timeoutMs, options.runtime.nowMs());
  }

  tick(): void {
    const { order, isUp, request, turn, runtime } = this.options;
    this.wakeAtMs = Number.POSITIVE_INFINITY;
    const up = order.ranked(request.readPoint, runtime.nowMs(), turn).filter(isUp);
    this.step({ kind: 'tick', order: up, hedgeMs: order.hedgeMs(request.pages.length) }, null);
  }

  /** @param pages what came with `served`. */
  private step(event: HedgeEvent, pages: readonly (Uint8Array | null)[] | null): void {
    for (const effect of this.read.step(event, this.options.runtime.nowMs()))
      this.carryOut(effect, pages ?? []);
    if (this.read.wakeAtMs === this.wakeAtMs) return;
    this.timer?.stop();
    this.wakeAtMs = this.read.wakeAtMs;
    // A timer may fire a fraction of a millisecond early; the tick then changes nothing, and another one follows.
    if (this.wakeAtMs !== Number.POSITIVE_INFINITY)
      this.timer = this.options.runtime.after(this.wakeAtMs - this.options.runtime.nowMs(), () =>
        this.tick(),
      );
  }

  private carryOut(effect: HedgeEffect, pages: readonly (Uint8Array | null)[]): void {
    switch (effect.kind) {
      case 'ask':
        this.ask(effect.node);
        return;
      case 'take':
        this.options.done({ kind: 'pages', pages });
        return;
      case 'giveUp':
        this.options.done({ kind: 'unavailable', reason: effect.reason });
        return;
      default:
        unreachable(effect);
    }
  }

  private ask(node: NodeId): void {
    const { ask, request, runtime } = this.options;
    const sentAtMs = runtime.nowMs();
    this.sentAtMs.set(node, sentAtMs);
    ask(node, request, this.read.requestMs(sentAtMs), (answer) => this.answered(node, sentAtMs, answer));
  }

  private answered(node: NodeId, sentAtMs: number, answer: Answer): void {
    const { order, request, runtime } = this.options;
    if (answer.kind === 'pages' && answer.pages.length === request.pages.length) {
      order.served(node, runtime.nowMs() - sentAtMs, request.pages.length);
      const first = !this.read.isOver;
      this.step({ kind: 'served', node }, answer.pages);
      if (first) this.overtake();
      return;
    }
    if (answer.kind === 'unanswered') order.silent(node);
    else order.refused(node, request.readPoint, runtime.nowMs());
    this.step({ kind: 'failed', node, reason: reasonOf(node, answer) }, null);
  }

  private overtake(): void {
    const nowMs = this.options.runtime.nowMs();
    for (const node of this.read.waitingFor)
      this.options.order.overtaken(node, nowMs - (this.sentAtMs.get(node) ?? nowMs));
  }
}

function reasonOf(node: NodeId, answer: Answer): string {
  switch (answer.kind) {
    case 'unanswered':
      return answer.reason; // names the node
    case 'refused':
      return `${node}: ${answer.reason}`;
    default:
      return `${node}: a wrong answer`;
  }
}
