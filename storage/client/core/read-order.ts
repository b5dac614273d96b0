/**
 * Which storage node a page read asks first: the one that answered fastest lately and is believed complete for the read
 * point. Also tells how long nearly all reads take, which is when a second node is asked.
 */
import type { Lsn, NodeId } from '../../redo/ids.ts';

export const readOrderLimits = {
  /** A second node is asked no sooner than this. */
  hedgeMinMs: 5,
  /** A second node is asked no later than this, however slow reads have been. */
  hedgeMaxMs: 250,
  /** Reads whose latency is remembered. */
  samples: 128,
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
  private readonly latencies: number[] = [];
  private latencyAt = 0;

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

  /** Nodes to ask, best first. Those believed behind the read point come last, since that belief may be out of date. */
  ranked(readPoint: Lsn, nowMs: number): readonly NodeId[] {
    const cost = (view: NodeView): number => {
      const behind = view.behind !== null && view.behind.at <= readPoint && nowMs < view.behind.untilMs;
      return view.latencyMs * (view.near ? 1 : readOrderLimits.otherZoneFactor) + (behind ? 1e6 : 0);
    };
    return [...this.views.values()].sort((a, b) => cost(a) - cost(b)).map(({ node }) => node);
  }

  /** Delay after which a second node is asked: what nearly all reads take. */
  get hedgeMs(): number {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const nearlyAll = sorted[Math.floor(sorted.length * 0.95)] ?? readOrderLimits.hedgeMinMs;
    return Math.min(readOrderLimits.hedgeMaxMs, Math.max(readOrderLimits.hedgeMinMs, nearlyAll));
  }

  /** A node has served a read. */
  served(node: NodeId, tookMs: number): void {
    const view = this.views.get(node);
    if (view === undefined) return;
    view.latencyMs += (tookMs - view.latencyMs) / 8;
    // What was slow once is forgotten little by little, so that it gets another chance.
    for (const other of this.views.values())
      if (other !== view) other.latencyMs = Math.max(readOrderLimits.unknownMs, other.latencyMs * 0.99);
    this.latencies[this.latencyAt] = tookMs;
    this.latencyAt = (this.latencyAt + 1) % readOrderLimits.samples;
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
