/**
 * The servers that keep copies of the control record, as the leader of the copies tells: which of them are current, and so
 * count as votes, and since when the others are not. A server whose disk, JetStream or routes are lost goes on answering its
 * clients, and nothing but this says that the record has one copy less.
 */
import type { RegionId } from '../../../../storage/core.ts';
import { regionOfServer, type StreamGroup } from './leader-placement.ts';

export const controlCopiesLimits = {
  /** Between two looks. */
  lookEveryMs: 2_000,
  /** A server without a current copy for so long has lost it: elections and restarts are over by then. */
  lostMs: 10_000,
} as const;

/** One server and its copy. */
export interface ControlCopy {
  readonly server: string;
  readonly isCurrent: boolean;
  readonly isLeader: boolean;
  /** Since when it has no current copy, monotonic milliseconds; null while it has one. */
  readonly lostSinceMs: number | null;
}

export class ControlCopies {
  private copiesNow: readonly ControlCopy[] = [];
  private answers = false;

  /** @param group null when JetStream did not answer. Then, and without a leader, nothing new is known of any copy. */
  saw(group: StreamGroup | null, nowMs: number): void {
    this.answers = group !== null && group.leader !== null;
    if (group === null || group.leader === null) return;
    const { leader, replicas } = group;
    const before = new Map(this.copiesNow.map((copy) => [copy.server, copy]));
    this.copiesNow = [{ name: leader, isCurrent: true }, ...replicas].map(({ name, isCurrent }) => ({
      server: name,
      isCurrent,
      isLeader: name === leader,
      lostSinceMs: isCurrent ? null : (before.get(name)?.lostSinceMs ?? nowMs),
    }));
  }

  /** Whether JetStream answered the last look, and named a leader: a server that is cut off names none. */
  get isUp(): boolean {
    return this.answers;
  }

  /** As of the last look that was answered by a leader; empty before. */
  get copies(): readonly ControlCopy[] {
    return this.copiesNow;
  }

  /** Servers that have had no current copy for long enough, as long as JetStream answers. */
  lost(nowMs: number): readonly ControlCopy[] {
    if (!this.answers) return [];
    return this.copiesNow.filter(
      ({ lostSinceMs }) => lostSinceMs !== null && nowMs - lostSinceMs >= controlCopiesLimits.lostMs,
    );
  }

  /**
   * What is wrong with the servers that the agent of `region` answers for: its own region's and, in the primary region, those
   * of no region. Null while nothing is.
   */
  trouble(
    {
      region,
      regions,
      isPrimary,
    }: { readonly region: RegionId; readonly regions: readonly RegionId[]; readonly isPrimary: boolean },
    nowMs: number,
  ): string | null {
    const mine = this.lost(nowMs).filter(({ server }) => {
      const where = regionOfServer(server, regions);
      return where === region || (where === null && isPrimary);
    });
    if (mine.length === 0) return null;
    const votes = this.copiesNow.filter(({ isCurrent }) => isCurrent).length;
    const each = mine.map(
      ({ server, lostSinceMs }) =>
        `${server} since ${Math.round((nowMs - (lostSinceMs ?? nowMs)) / 1_000)} s`,
    );
    return (
      `a NATS server has no current copy of the control record, and no vote: ${each.join(', ')} ` +
      `(${votes} of ${this.copiesNow.length} are current): has it lost its disk, its JetStream or its routes? Start that server again`
    );
  }
}
