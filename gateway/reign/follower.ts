/**
 * A gateway that does not write: finds a point to read at, then follows this region's log and feeds the engine with what is
 * durable. History may fork below what was read (a failover): the engine then begins anew where the paths part.
 */
import { StallWatch } from '../../regions/core.ts';
import {
  type BranchName,
  type Epoch,
  EpochTree,
  every,
  type Fork,
  framePayload,
  genesisEpoch,
  isReadQuorum,
  type Lsn,
  lastCplIn,
  machine,
  mainBranch,
  maxLsn,
  minLsn,
  monotonicMs,
  nodesIn,
  pathRequest,
  pause,
  type RegionClient,
  type Runtime,
  setsOf,
  splitFrames,
  type TailFrames,
  TailReader,
  zeroLsn,
} from '../../storage/index.ts';
import { FollowerRoom } from './core/follower-room.ts';

/** A point on a path that is durable in this region. */
export interface ReadPoint {
  readonly head: Epoch;
  readonly forks: readonly Fork[];
  readonly vdl: Lsn;
}

const attachRetryMs = 100;
const attachAnswerMs = 1_500;

/** A line of history as a gateway reads it. */
export interface Line {
  readonly branch: BranchName;
  /** The epoch that it began with: a node that does not know it knows nothing of the line. Genesis for main. */
  readonly origin: Epoch;
}

export const mainLine: Line = { branch: mainBranch, origin: genesisEpoch };

/**
 * Asks the nodes where to begin. Three have to answer that know the line: fewer might all have come back empty, and an empty
 * database must never be shown in place of one that is not (G25). A branch that is not installed yet is waited for.
 */
export async function findReadPoint(
  region: Pick<RegionClient, 'membership' | 'nodes' | 'request'>,
  line: Line,
  signal: AbortSignal,
  runtime: Runtime = machine,
): Promise<ReadPoint | null> {
  while (!signal.aborted) {
    const sets = setsOf(region.membership);
    const answers = await Promise.all(
      nodesIn(sets).map(async (node) => ({
        node,
        answer: await region.request(node, pathRequest(line.branch, null), attachAnswerMs),
      })),
    );
    const found = answers.flatMap(({ node, answer }) =>
      answer.kind === 'fetched' && knows(answer, line) ? [{ node, answer }] : [],
    );
    const answered = new Set(found.map(({ node }) => node));
    const points = found.map(({ answer: { head, forks, vdl } }) => ({ head, forks, vdl }));
    if (isReadQuorum(sets, (node) => answered.has(node)) || answered.size === region.nodes.length) {
      return points.reduce((best, point) =>
        point.head > best.head || (point.head === best.head && point.vdl > best.vdl) ? point : best,
      );
    }
    await pause(runtime, attachRetryMs);
  }
  return null;
}

/** A branch deleted and made anew under its name has another origin. */
const knows = (answer: Pick<ReadPoint, 'head' | 'forks'>, { origin }: Line): boolean =>
  origin === genesisEpoch || answer.forks.some(({ epoch }) => epoch === origin);

/** What the follower feeds. */
export interface FollowerTarget {
  /**
   * Frames, without a gap behind those before. @param next where they end. @param seen the newest commit that is durable
   * and has been given; it may lie before `next`, within a transaction.
   */
  apply(frames: Uint8Array, next: Lsn, seen: Lsn): void;
  /** Begins anew at a point below what was applied. */
  reopen(at: ReadPoint): void;
  /** The path that is read has changed; reads of pages go along it. */
  onHead(point: ReadPoint, forkLsn: Lsn): void;
  /** What is durable in the region has moved. */
  onVdl(head: Epoch, vdl: Lsn): void;
  /** Reading has begun to stand still, or gets on again. */
  onStall(news: 'stalled' | 'recovered', readPoint: Lsn, vdl: Lsn): void;
}

/** Where the last commit in checked frames lies; null when they lie within one transaction. */
function lastCommitIn(frames: Uint8Array): Lsn | null {
  const split = splitFrames(frames);
  if (split.kind === 'bad') return null;
  for (const { header, bytes } of split.frames.toReversed()) {
    const at = lastCplIn(framePayload(bytes), header.base);
    if (at !== 'malformed' && at !== null) return at;
  }
  return null;
}

const lookEveryMs = 500;

export class Follower {
  private readonly target: FollowerTarget;
  private readonly tail: TailReader;
  private readonly room: FollowerRoom;
  private readonly watch = new StallWatch();
  private readonly stopLooking: () => void;
  private point: ReadPoint;
  /** Up to here the log has been read. */
  private next: Lsn;
  /** The newest durable commit that was given on. */
  private seen: Lsn;

  constructor(region: RegionClient, { branch }: Line, start: ReadPoint, target: FollowerTarget) {
    this.target = target;
    this.point = start;
    this.next = start.vdl;
    this.seen = start.vdl;
    this.room = new FollowerRoom(start.vdl);
    this.tail = new TailReader({
      region,
      branch,
      head: null,
      known: { head: start.head, forks: start.forks },
      from: start.vdl,
      durableOnly: true,
      onFrames: (tail) => this.frames(tail),
    });
    this.stopLooking = every(lookEveryMs, () => this.look());
  }

  /** The engine's read point has moved. */
  foldedTo(readPoint: Lsn): void {
    if (this.room.folded(readPoint)) this.tail.resume();
  }

  /** Why what is durable in this region is not shown here, in words for an operator; null while reading gets on. */
  get stallReason(): string | null {
    const forMs = this.watch.stalledMs(monotonicMs());
    if (forMs === 0) return null;
    return `reads have stood at LSN ${this.room.foldedTo} for ${Math.round(forMs / 1_000)} s, ${this.point.vdl} is durable in this region: the engine is busy or no storage node answers`;
  }

  close(): void {
    this.stopLooking();
    this.tail.close();
  }

  private look(): void {
    const { foldedTo, givenTo } = this.room;
    const isBehind = foldedTo < this.point.vdl;
    for (const news of this.watch.look({ isBehind, progress: foldedTo + givenTo }, monotonicMs()))
      if (news.kind !== 'rebuild') this.target.onStall(news.kind, foldedTo, this.point.vdl);
  }

  private frames(tail: TailFrames): void {
    if (tail.head !== this.point.head) this.switchTo(tail);
    const { vdl, next } = tail;
    const isWhole = next >= vdl;
    if (tail.frames.length > 0 || vdl > this.point.vdl) {
      this.seen = maxLsn(this.seen, isWhole ? vdl : (lastCommitIn(tail.frames) ?? zeroLsn));
      this.target.apply(tail.frames, next, this.seen);
    }
    this.next = next;
    if (vdl > this.point.vdl) {
      this.point = { ...this.point, vdl };
      this.target.onVdl(this.point.head, vdl);
    }
    if (this.room.gave(tail.next, () => lastCommitIn(tail.frames))) this.tail.pause();
  }

  /** Another reign: what was applied stays when its path holds it, else the engine begins anew where they part. */
  private switchTo(tail: TailFrames): void {
    const { head, forks } = tail;
    const forkLsn = forks.find((fork) => fork.epoch === head)?.forkLsn ?? zeroLsn;
    if (tail.from < this.next) {
      this.point = { head, forks, vdl: tail.from };
      this.seen = tail.from;
      this.room.reopened(tail.from);
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
