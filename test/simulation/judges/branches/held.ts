/**
 * After healing every branch that the control record names is where it belongs (R72): each region that is there has it on four disks up
 * to what is durable of it in the primary region, and whoever writes it is answered again. A region that was never filled with images
 * can begin every branch (R96).
 */
import type { Epoch, Lsn } from '../../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../../storage/redo/limits.ts';
import type { Judge } from '../judge.ts';

/** What the disks of a region hold of a branch, when the time is over or nothing is lacking. */
export type HeldBranch = {
  readonly region: string;
  readonly branch: string;
  /** Its newest reign, and what is durable there. */
  readonly head: Epoch;
  readonly vdl: Lsn;
  /** Disks that know that reign and hold all of it up to there. */
  readonly complete: number;
  /** Disks whose bytes a fault destroyed since they were last complete. */
  readonly destroyed: number;
};

/** Whether so many disks are enough. */
export const isHeld = ({ complete, destroyed }: Pick<HeldBranch, 'complete' | 'destroyed'>): boolean =>
  complete + destroyed >= quorumLimits.writeQuorum;

export class HeldJudge implements Judge {
  readonly name = 'branches';
  readonly verdict = 'liveness';
  private readonly found: string[] = [];

  held(what: HeldBranch): void {
    if (isHeld(what)) return;
    const { region, branch, head, vdl, complete } = what;
    this.found.push(
      `${region} lacks the branch ${branch} long after healing: ${complete} of six disks have epoch ${head} up to ${vdl}`,
    );
  }

  /** A region that had all of its log let go, before it heard of the branch, what the branch needs (R96). */
  letGo(region: string, branch: string, nodes: number): void {
    this.found.push(
      `${region} let go what the branch ${branch} needs before it heard of it: ${nodes} of six disks reach down to it`,
    );
  }

  /** A branch that is written has had no write acknowledged since healing. */
  silent(branch: string): void {
    this.found.push(`no write to the branch ${branch} was acknowledged after healing`);
  }

  violations(): readonly string[] {
    return this.found;
  }
}
