/**
 * Which storage node a page read asks first: the one that answered fastest lately and is believed complete for the read
 * point. Also tells how long nearly all reads take, which is when a second node is asked. A read of many pages takes
 * longer for that reason alone: it counts by what a small one would have taken, and is given more time.
 */
import type { Lsn, NodeId } from '../../redo/ids.ts';

export const readOrderLimits = {
  /** A second node is asked no sooner than this. */
  hedgeMinMs: 5,
  /** A second node is asked no later than this, however slow reads have been. */
  hedgeMaxMs: 250,
  /** Reads whose latency is remembered. */
  samples: 128,
  /** A read of at most so many pages is a small one: all of them take about as long. */
  smallPages: 16,
  /** What so many pages of a large read take at least, in ms: several of them may be under way at a node. */
  unknownSmallMs: 8,
  /** A node takes its turn in a large read while it costs at most so many times what the best one does. */
  turnFactor: 3,
  /** How long a node that was behind a read point is passed over for such reads. */
  behindMs: 250,
  /** Latency assumed of a node not read from yet. */
  unknownMs: 1,
  /** Latency is counted no higher than this when requests stay unanswered. */
  silentMaxMs: 1_000,
  /** Nodes of other zones count as this much slower than they are. */
  otherZoneFactor: 1.5,
} as const;

interface NodeView {
  readonly node: NodeId;
  readonly near: boolean;
  latencyMs: number;
  behind: { readonly at: Lsn; readonly untilMs: number } | null;
}

export class ReadOrder {
  private readonly az: string | null;
  private views: ReadonlyMap<NodeId, NodeView> = new Map();
  private readonly small = new Latencies();
  /** Of large reads, for each `smallPages` of them. */
  private readonly large = new Latencies();

  /** @param az the preferred zone; null for none. */
  constructor(nodes: readonly { readonly node: NodeId; readonly az: string }[], az: string | null) {
    this.az = az;
    this.use(nodes);
  }

  /** The region has these nodes from now on; what is known of those that stay is kept. */
  use(nodes: readonly { readonly node: NodeId; readonly az: string }[]): void {
    const { az, views } = this;
    this.views = new Map(
      nodes.map((target) => [
        target.node,
        views.get(target.node) ?? {
          node: target.node,
          near: az === null || target.az === az,
          latencyMs: readOrderLimits.unknownMs,
          behind: null,
        },
      ]),
    );
  }

  /**
   * Nodes to ask, best first. Those believed behind the read point come last, since that belief may be out of date.
   * @param turn counts large reads: each begins with another one of the good nodes, so that many of them are read in parallel
   */
  ranked(readPoint: Lsn, nowMs: number, turn = 0): readonly NodeId[] {
    const cost = (view: NodeView): number => {
      const behind = view.behind !== null && view.behind.at <= readPoint && nowMs < view.behind.untilMs;
      return view.latencyMs * (view.near ? 1 : readOrderLimits.otherZoneFactor) + (behind ? 1e6 : 0);
    };
    const order = [...this.views.values()].sort((a, b) => cost(a) - cost(b));
    const [best] = order;
    if (best === undefined || turn === 0) return order.map(({ node }) => node);
    const most = Math.max(cost(best), readOrderLimits.hedgeMinMs) * readOrderLimits.turnFactor;
    const good = order.filter((view) => cost(view) <= most).length;
    const first = good === 0 ? 0 : turn % good;
    const turned = [...order.slice(first, good), ...order.slice(0, first), ...order.slice(good)];
    return turned.map(({ node }) => node);
  }

  /** Delay after which a second node is asked for so many pages: what nearly all such reads take. */
  hedgeMs(pages: number): number {
    const { hedgeMinMs, hedgeMaxMs, unknownSmallMs } = readOrderLimits;
    const parts = partsOf(pages);
    const nearlyAll =
      parts === 1
        ? (this.small.nearlyAll ?? hedgeMinMs)
        : parts * Math.max(this.large.nearlyAll ?? unknownSmallMs, unknownSmallMs);
    return Math.min(hedgeMaxMs, Math.max(hedgeMinMs, nearlyAll));
  }

  /** A node has served a read of so many pages. */
  served(node: NodeId, tookMs: number, pages: number): void {
    const view = this.views.get(node);
    if (view === undefined) return;
    const parts = partsOf(pages);
    const smallMs = tookMs / parts;
    view.latencyMs += (smallMs - view.latencyMs) / 8;
    // What was slow once is forgotten little by little, so that it gets another chance.
    for (const other of this.views.values())
      if (other !== view) other.latencyMs = Math.max(readOrderLimits.unknownMs, other.latencyMs * 0.99);
    (parts === 1 ? this.small : this.large).add(smallMs);
  }

  /** Another node answered first. This one is at least this slow, or frozen, and is not to be asked first next time. */
  overtaken(node: NodeId, waitedMs: number): void {
    const view = this.views.get(node);
    if (view !== undefined) view.latencyMs = Math.max(view.latencyMs, waitedMs) * 2;
  }

  /** A request stayed unanswered. */
  silent(node: NodeId): void {
    const view = this.views.get(node);
    if (view !== undefined) view.latencyMs = Math.min(readOrderLimits.silentMaxMs, view.latencyMs * 2 + 1);
  }

  /** A node could not serve this read point. */
  refused(node: NodeId, readPoint: Lsn, nowMs: number): void {
    const view = this.views.get(node);
    if (view !== undefined) view.behind = { at: readPoint, untilMs: nowMs + readOrderLimits.behindMs };
  }
}

const partsOf = (pages: number): number => Math.max(1, pages / readOrderLimits.smallPages);

/** How long the last reads took. */
class Latencies {
  private readonly kept: number[] = [];
  private at = 0;

  add(ms: number): void {
    this.kept[this.at] = ms;
    this.at = (this.at + 1) % readOrderLimits.samples;
  }

  /** Not exceeded by 95 % of them; undefined while there are none. */
  get nearlyAll(): number | undefined {
    return [...this.kept].sort((a, b) => a - b)[Math.floor(this.kept.length * 0.95)];
  }
}
