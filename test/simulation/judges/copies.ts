/**
 * What a region builds on lies on four of its disks: at the moment a writer's recovery is over (S7), and at the end. The
 * counts are taken from the durable bytes of the disks, whatever the nodes believe of themselves.
 */
import type { Epoch, Lsn } from '../../../storage/redo/ids.ts';
import { quorumLimits } from '../../../storage/redo/limits.ts';
import type { Judge } from './judge.ts';

export type Copies = {
  readonly region: string;
  readonly atUs: number;
  readonly when: 'recovered' | 'end';
  readonly head: Epoch;
  readonly vdl: Lsn;
  /** Disks that hold the whole path to `head` up to `vdl`. */
  readonly complete: number;
  /** Disks whose bytes a fault destroyed since they were last complete: they held it and are excused. */
  readonly destroyed: number;
};

export class CopiesJudge implements Judge {
  readonly name = 'copies';
  readonly verdict = 'correctness';
  private readonly found: string[] = [];

  counted({ region, atUs, when, head, vdl, complete, destroyed }: Copies): void {
    if (complete + destroyed >= quorumLimits.writeQuorum) return;
    const what = when === 'recovered' ? 'recovered' : 'ends with';
    this.found.push(
      `${region} ${what} epoch ${head} at ${vdl} (${atUs} us); ${complete} of six disks hold all of it, ${destroyed} were destroyed`,
    );
  }

  violations(): readonly string[] {
    return this.found;
  }
}
