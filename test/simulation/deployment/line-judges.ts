/** The judges that every line of history has, `main` and each branch, and what all of them are told in the same way. */
import type { Epoch, Lsn, NodeId, PgId } from '../../../storage/redo/ids.ts';
import { DurabilityJudge } from '../judges/durability.ts';
import { MonotonicJudge } from '../judges/monotonic.ts';
import { QuorumJudge } from '../judges/quorum.ts';
import { RpoJudge } from '../judges/rpo.ts';
import { SingleWriterJudge } from '../judges/single-writer.ts';
import type { World } from '../world/world.ts';

export type Point = { readonly epoch: Epoch; readonly vdl: Lsn };

export abstract class LineJudges {
  readonly durability = new DurabilityJudge();
  readonly singleWriter = new SingleWriterJudge({ excuseReportedLosses: false });
  readonly monotonic = new MonotonicJudge();
  readonly quorum = new QuorumJudge();
  readonly rpo: RpoJudge;
  protected readonly world: World;
  /** Where each region was last said to be. */
  readonly points = new Map<string, Point>();

  constructor(world: World, driftPpmMax: number) {
    this.world = world;
    this.rpo = new RpoJudge(driftPpmMax);
  }

  /** In words, after an epoch; empty for `main`. */
  protected abstract get ofLine(): string;

  primaryDurable(region: string, epoch: Epoch, vdl: Lsn): void {
    this.monotonic.primary(epoch, vdl);
    this.durableIn(region, { epoch, vdl }, true);
  }

  shipped(to: string, epoch: Epoch, vdl: Lsn): void {
    this.monotonic.shipped(to, epoch, vdl);
  }

  secondaryDurable(region: string, epoch: Epoch, vdl: Lsn): void {
    this.rpo.durable(region, epoch, vdl);
    this.durableIn(region, { epoch, vdl }, false);
  }

  appendAnswered(reign: Epoch, node: NodeId, scls: readonly (readonly [PgId, Lsn])[]): void {
    this.quorum.answered(this.world.nowUs, reign, node, scls);
  }

  nodeLost(reign: Epoch, node: NodeId): void {
    this.quorum.lost(reign, node);
  }

  quorumLost(region: string, epoch: Epoch, reason: string): void {
    this.world.note(`${region} lost its quorum in epoch ${epoch}${this.ofLine}: ${reason}`);
    this.quorum.reignEnded(this.world.nowUs, region, epoch, reason);
  }

  /** A region is elsewhere than it was. */
  protected moved(_region: string, _to: Point): void {}

  private durableIn(region: string, to: Point, writes: boolean): void {
    const known = this.points.get(region);
    if (known?.epoch === to.epoch && known.vdl === to.vdl) return;
    this.points.set(region, to);
    this.monotonic.durable(region, to.epoch, to.vdl, writes);
    this.moved(region, to);
  }
}
