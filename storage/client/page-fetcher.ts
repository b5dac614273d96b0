/**
 * Page reads over the nodes of a region: one node is asked, the fastest lately that is believed complete for the read
 * point; a second one is asked as well when the first is slower than nearly all reads are; the next one at once when a
 * node refuses. The first answer wins.
 */
import type { Epoch, Lsn, NodeId, PageNo } from '../redo/ids.ts';
import { nodeLimits } from '../redo/limits.ts';
import type { StorageRequest } from '../wire/core/messages.ts';
import type { Answer, NodeTarget } from '../wire/storage-client.ts';

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
  readonly ask: (
    node: NodeId,
    request: StorageRequest,
    timeoutMs: number,
    done: (answer: Answer) => void,
  ) => void;
  readonly now?: () => number;
}

export const pageFetchLimits = {
  timeoutMs: 5_000,
  /** A second node is asked no sooner than this. */
  hedgeMinMs: 5,
  /** A second node is asked no later than this, however slow reads have been. */
  hedgeMaxMs: 250,
  /** Reads whose latency is remembered. */
  samples: 128,
  /** How long a node that was behind a read point is passed over for such reads. */
  behindMs: 250,
  /** Wait before a new round when every node refused. */
  roundMs: 20,
  /** Latency assumed of a node not read from yet. */
  unknownMs: 1,
  /** Nodes of other zones count as this much slower than they are. */
  otherZoneFactor: 1.5,
} as const;

interface NodeView {
  readonly node: NodeId;
  readonly near: boolean;
  latencyMs: number;
  behind: { readonly at: Lsn; readonly untilMs: number } | null;
}

export class PageFetcher {
  private readonly options: PageFetcherOptions;
  private readonly now: () => number;
  private readonly views: readonly NodeView[];
  private readonly latencies: number[] = [];
  private latencyAt = 0;

  constructor(options: PageFetcherOptions) {
    this.options = options;
    this.now = options.now ?? (() => performance.now());
    this.views = options.nodes.map(({ node, az }) => ({
      node,
      near: options.az === null || az === options.az,
      latencyMs: pageFetchLimits.unknownMs,
      behind: null,
    }));
  }

  async read(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
    { timeoutMs = pageFetchLimits.timeoutMs }: PagesWanted,
  ): Promise<PagesFetched> {
    const reads: Promise<PagesFetched>[] = [];
    for (let at = 0; at < pages.length; at += nodeLimits.readPagesMax) {
      reads.push(this.readSome(head, readPoint, pages.slice(at, at + nodeLimits.readPagesMax), timeoutMs));
    }
    const found: (Uint8Array | null)[] = [];
    for (const part of await Promise.all(reads)) {
      if (part.kind === 'unavailable') return part;
      found.push(...part.pages);
    }
    return { kind: 'pages', pages: found };
  }

  /** Delay after which a second node is asked: what nearly all reads take. */
  get hedgeMs(): number {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const nearlyAll = sorted[Math.floor(sorted.length * 0.95)] ?? pageFetchLimits.hedgeMinMs;
    return Math.min(pageFetchLimits.hedgeMaxMs, Math.max(pageFetchLimits.hedgeMinMs, nearlyAll));
  }

  private readSome(
    head: Epoch,
    readPoint: Lsn,
    pages: readonly PageNo[],
    timeoutMs: number,
  ): Promise<PagesFetched> {
    return new Promise((resolve) => {
      const deadlineMs = this.now() + timeoutMs;
      const timers = new Set<NodeJS.Timeout>();
      let reason: string | null = null;
      let asking = 0;
      let left: NodeView[] = [];
      const waitedFor = new Map<NodeView, number>();
      let done = false;
      const finish = (result: PagesFetched): void => {
        if (done) return;
        done = true;
        for (const timer of timers) clearTimeout(timer);
        resolve(result);
      };
      const later = (ms: number, run: () => void): void => {
        const timer = setTimeout(() => {
          timers.delete(timer);
          if (!done) run();
        }, ms);
        timers.add(timer);
      };
      const startRound = (): void => {
        left = this.ranked(readPoint);
        if (!askNext()) later(pageFetchLimits.roundMs, startRound);
        else later(this.hedgeMs, () => void askNext());
      };
      const askNext = (): boolean => {
        const view = left.shift();
        if (view === undefined) return false;
        asking += 1;
        const sentAtMs = this.now();
        waitedFor.set(view, sentAtMs);
        this.options.ask(
          view.node,
          { kind: 'readPages', head, readPoint, pages },
          // The read's own end comes first: that a node asked just before it has not answered is no news.
          Math.max(0, deadlineMs - sentAtMs) + pageFetchLimits.roundMs,
          (answer) => {
            asking -= 1;
            waitedFor.delete(view);
            if (answer.kind === 'pages' && answer.pages.length === pages.length) {
              this.answered(view, this.now() - sentAtMs);
              if (!done) this.overtaken(waitedFor);
              finish({ kind: 'pages', pages: answer.pages });
              return;
            }
            reason = reasonOf(view.node, answer);
            this.failed(view, answer, readPoint);
            if (!done && !askNext() && asking === 0) later(pageFetchLimits.roundMs, startRound);
          },
        );
        return true;
      };
      later(timeoutMs, () =>
        finish({
          kind: 'unavailable',
          reason: `no storage node served the read within ${timeoutMs} ms; last: ${reason ?? silence(waitedFor)}`,
        }),
      );
      startRound();
    });
  }

  /** Nodes to ask, best first; those believed behind the read point come last, since belief may be out of date. */
  private ranked(readPoint: Lsn): NodeView[] {
    const nowMs = this.now();
    const cost = (view: NodeView): number => {
      const behind = view.behind !== null && view.behind.at <= readPoint && nowMs < view.behind.untilMs;
      return view.latencyMs * (view.near ? 1 : pageFetchLimits.otherZoneFactor) + (behind ? 1e6 : 0);
    };
    return this.views.filter((view) => this.options.isUp(view.node)).sort((a, b) => cost(a) - cost(b));
  }

  private answered(view: NodeView, tookMs: number): void {
    view.latencyMs += (tookMs - view.latencyMs) / 8;
    // What was slow once is forgotten little by little, so that it gets another chance.
    for (const other of this.views)
      if (other !== view) other.latencyMs = Math.max(pageFetchLimits.unknownMs, other.latencyMs * 0.99);
    this.latencies[this.latencyAt] = tookMs;
    this.latencyAt = (this.latencyAt + 1) % pageFetchLimits.samples;
  }

  /** Another answered first: these are at least this slow, or frozen, and are not to be asked first next time. */
  private overtaken(waitedFor: ReadonlyMap<NodeView, number>): void {
    const nowMs = this.now();
    for (const [view, sentAtMs] of waitedFor) view.latencyMs = Math.max(view.latencyMs, nowMs - sentAtMs) * 2;
  }

  private failed(view: NodeView, answer: Answer, readPoint: Lsn): void {
    if (answer.kind === 'unanswered') view.latencyMs = Math.min(1_000, view.latencyMs * 2 + 1);
    else view.behind = { at: readPoint, untilMs: this.now() + pageFetchLimits.behindMs };
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

function silence(waitedFor: ReadonlyMap<NodeView, number>): string {
  const nodes = [...waitedFor.keys()].map(({ node }) => node);
  return nodes.length === 0 ? 'no storage node is reachable' : `no answer from ${nodes.join(', ')}`;
}
