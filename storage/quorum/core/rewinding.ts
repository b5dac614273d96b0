/**
 * The rewind that a recovery makes on its way: whether it has to, along which path, and whether it can. Where it cannot, the branch
 * goes on from where it was durable. Pure: recovery asks, and forks there (S41).
 */
import { commonPoint, type EpochTree } from '../../history/epoch-tree.ts';
import { describeFloor, floorOn } from '../../history/floor.ts';
import { type Epoch, type Lsn, zeroLsn } from '../../redo/ids.ts';
import { floorOf, type Peer } from './recovery-peer.ts';
import type { RewindGoal, RewindOutcome } from './recovery-types.ts';

/** What is known once enough nodes were surveyed along `Rewinding.head`. */
export interface RewindSurvey {
  readonly tree: EpochTree;
  /** Up to where that path is durable here. */
  readonly vdl: Lsn;
  readonly surveyed: readonly Peer[];
  readonly isQuorum: (holds: (peer: Peer) => boolean) => boolean;
}

export class Rewinding {
  /** The path to survey: it holds the place, or it is the branch's own. */
  readonly head: Epoch;
  /** The newest reign of the branch before. */
  private readonly newest: Epoch;
  private readonly goal: RewindGoal;
  private outcomeNow: RewindOutcome | null = null;

  constructor(goal: RewindGoal, tree: EpochTree, newest: Epoch) {
    this.goal = goal;
    this.newest = newest;
    const { since, to } = goal;
    // Whoever finishes what another began does not go back twice.
    if (newest >= since) this.outcomeNow = { kind: 'found' };
    else if (!tree.has(to.epoch)) this.giveUp(`no storage node of this region knows epoch ${to.epoch}`);
    const isOnPath =
      this.outcomeNow !== null || commonPoint(tree, { head: to.epoch, lsn: to.lsn }, newest) === to.lsn;
    this.head = isOnPath ? newest : to.epoch;
  }

  /** Null while it is not known. */
  get outcome(): RewindOutcome | null {
    return this.outcomeNow;
  }

  /** What the fork leaves on purpose; null where it leaves nothing. */
  get left(): Epoch | null {
    return this.outcomeNow?.kind === 'done' ? this.newest : null;
  }

  /** @returns where to fork along `head`; null when the branch has to be surveyed along its own path first, `newest`. */
  settle(survey: RewindSurvey): Lsn | null {
    const { to } = this.goal;
    if (this.outcomeNow === null) {
      const obstacle = this.obstacle(survey);
      if (obstacle === null) this.outcomeNow = { kind: 'done' };
      else this.giveUp(obstacle);
    }
    if (this.outcomeNow?.kind === 'done') return to.lsn;
    return this.head === this.newest ? survey.vdl : null;
  }

  private giveUp(reason: string): void {
    this.outcomeNow = { kind: 'given-up', reason };
  }

  /** A node whose floor lies above the place, or whose images do, vouches for nothing there (S18, S24). */
  private obstacle({ tree, vdl, surveyed, isQuorum }: RewindSurvey): string | null {
    const { epoch, lsn } = this.goal.to;
    if (lsn > vdl) return `LSN ${lsn} of epoch ${epoch} is not durable here: that path ends at ${vdl}`;
    const reaches = (peer: Peer): boolean => {
      if (peer.survey === null) return false;
      const floor = floorOn(tree, floorOf(peer), this.head);
      return floor !== null && floor <= lsn && (peer.survey.readableFrom ?? zeroLsn) <= lsn;
    };
    if (isQuorum(reaches)) return null;
    const short = surveyed
      .filter((peer) => !reaches(peer))
      .map((peer) => `${peer.node} from ${describeFloor(floorOf(peer))} on`);
    return `LSN ${lsn} of epoch ${epoch} is not kept by four storage nodes any more (${short.join(', ')})`;
  }
}
