/**
 * A gateway that does not write: finds a point to read at, then follows this region's log and feeds the engine with what is
 * durable. History may fork below what was read (a failover): the engine then begins anew where the paths part.
 */
import { EpochTree, type Fork } from '../../storage/core/epoch-tree.ts';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  mainBranch,
  maxLsn,
  minLsn,
  zeroLsn,
} from '../../storage/core/ids.ts';
import { quorumLimits } from '../../storage/core/limits.ts';
import { type RegionClient, type TailFrames, TailReader } from '../../storage/shell/index.ts';

/** A point on a path that is durable in this region. */
export interface ReadPoint {
  readonly head: Epoch;
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
}

const attachRetryMs = 100;
const attachAnswerMs = 1_500;

/**
 * Asks the nodes where to begin. Three have to answer: fewer might all have come back empty, and an empty database
 * must never be shown in place of one that is not (G25).
 */
export async function findReadPoint(region: RegionClient, signal: AbortSignal): Promise<ReadPoint | null> {
  while (!signal.aborted) {
    const answers = await Promise.all(
      region.nodes.map((node) =>
        region.request(
          node,
          {
            kind: 'fetch',
            branch: mainBranch,
            head: null,
            from: zeroLsn,
            bytesMax: 1,
            waitMs: 0,
            durableOnly: true,
            known: { head: genesisEpoch, vdl: zeroLsn },
          },
          attachAnswerMs,
        ),
      ),
    );
    const points = answers.flatMap((answer) =>
      answer.kind === 'fetched' ? [{ head: answer.head, forks: answer.forks, vdl: answer.vdl }] : [],
    );
    if (points.length >= Math.min(quorumLimits.readQuorum, region.nodes.length)) {
      return points.reduce((best, point) =>
        point.head > best.head || (point.head === best.head && point.vdl > best.vdl) ? point : best,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, attachRetryMs));
  }
  return null;
}

/** What the follower feeds. */
export interface FollowerTarget {
  apply(frames: Uint8Array, vdl: Lsn): void;
  /** Begins anew at a point below what was applied. */
  reopen(at: ReadPoint): void;
  /** The path that is read has changed; reads of pages go along it. */
  onHead(point: ReadPoint, forkLsn: Lsn): void;
  /** What is durable in the region has moved. */
  onVdl(head: Epoch, vdl: Lsn): void;
}

/** Redo the engine has been given and has not folded, at which the log is not read on. */
const behindBytesMax = 16 * 1024 * 1024;

export class Follower {
  private readonly target: FollowerTarget;
  private readonly tail: TailReader;
  private point: ReadPoint;
  private paused = false;
  private folded: Lsn;

  constructor(region: RegionClient, start: ReadPoint, target: FollowerTarget) {
    this.target = target;
    this.point = start;
    this.folded = start.vdl;
    this.tail = new TailReader({
      region,
      head: null,
      known: { head: start.head, forks: start.forks },
      from: start.vdl,
      durableOnly: true,
      onFrames: (tail) => this.frames(tail),
    });
  }

  /** The engine's read point has moved. */
  foldedTo(readPoint: Lsn): void {
    this.folded = maxLsn(this.folded, readPoint);
    if (this.paused && this.point.vdl - this.folded < behindBytesMax / 2) {
      this.paused = false;
      this.tail.resume();
    }
  }

  close(): void {
    this.tail.close();
  }

  private frames(tail: TailFrames): void {
    if (tail.head !== this.point.head) this.switchTo(tail);
    const vdl = tail.vdl;
    if (tail.frames.length > 0 || vdl > this.point.vdl) this.target.apply(tail.frames, vdl);
    if (vdl > this.point.vdl) {
      this.point = { ...this.point, vdl };
      this.target.onVdl(this.point.head, vdl);
    }
    if (!this.paused && this.point.vdl - this.folded > behindBytesMax) {
      this.paused = true;
      this.tail.pause();
    }
  }

  /** Another reign: what was applied stays when its path holds it, else the engine begins anew where they part. */
  private switchTo(tail: TailFrames): void {
    const { head, forks } = tail;
    const forkLsn = forks.find((fork) => fork.epoch === head)?.forkLsn ?? zeroLsn;
    if (tail.from < this.point.vdl) {
      this.point = { head, forks, vdl: tail.from };
      this.folded = minLsn(this.folded, tail.from);
      this.target.onHead(this.point, forkLsn);
      this.target.reopen(this.point);
      return;
    }
    this.point = { head, forks, vdl: this.point.vdl };
    this.target.onHead(this.point, forkLsn);
  }
}

/** What of a write at (epoch, lsn) is part of the history that ends in `head`: reads wait for this much of it. */
export function visiblePart(
  written: { readonly epoch: Epoch; readonly lsn: Lsn },
  head: Epoch,
  forks: readonly Fork[],
): Lsn {
  const tree = new EpochTree(forks);
  if (tree.has(written.epoch) && written.epoch !== genesisEpoch)
    return minLsn(written.lsn, tree.visibleUntil(head, written.epoch));
  return minLsn(written.lsn, tree.startOf(head));
}
