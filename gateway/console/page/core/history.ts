/** The history tree as rows, the newest epoch first: the path that is history, and what failovers left beside it. Pure. */
import type { LiveEvent, Losses } from './api-types.ts';

type Fork = LiveEvent['forks'][number];
export type Loss = Losses['losses'][number];

export interface HistoryRow {
  readonly epoch: number;
  /** `head`: history goes on here. `path`: part of history. `aside`: an epoch that history has left whole. */
  readonly kind: 'head' | 'path' | 'aside';
  /** The epoch it continues, and from where; null for the first. */
  readonly parent: number | null;
  readonly forkLsn: number | null;
  /** Up to where it is part of history; null where it goes on, or is not. */
  readonly untilLsn: number | null;
  /** Commits of this epoch that are not part of history. */
  readonly loss: Loss | null;
  /** A region has said that it knows of some, and the list has not come yet. */
  readonly hasUnreadLoss: boolean;
}

export interface History {
  readonly rows: readonly HistoryRow[];
  /** Older epochs that are not shown, or not known here. */
  readonly hasOlder: boolean;
}

export function historyOf(
  forks: readonly Fork[],
  losses: readonly Loss[],
  lossEpochs: readonly number[],
  rowsMax = 12,
): History {
  const byEpoch = new Map(forks.map((fork) => [fork.epoch, fork]));
  const head = Math.max(0, ...byEpoch.keys());
  const until = pathEnds(byEpoch, head);
  const epochs = [...new Set([...byEpoch.keys(), ...losses.map(({ orphanEpoch }) => orphanEpoch)])];
  epochs.sort((a, b) => b - a);
  const rows = epochs.slice(0, rowsMax).map((epoch): HistoryRow => {
    const fork = byEpoch.get(epoch);
    const loss = losses.find(({ orphanEpoch }) => orphanEpoch === epoch) ?? null;
    return {
      epoch,
      kind: epoch === head ? 'head' : until.has(epoch) ? 'path' : 'aside',
      parent: fork?.parent ?? null,
      forkLsn: fork?.forkLsn ?? null,
      untilLsn: until.get(epoch) ?? null,
      loss,
      hasUnreadLoss: loss === null && lossEpochs.includes(epoch),
    };
  });
  const oldest = rows.at(-1);
  return { rows, hasOlder: epochs.length > rows.length || (oldest?.parent ?? 0) > 0 };
}

/** The epochs on the way to the head, and where each is left; the head by null. */
function pathEnds(byEpoch: ReadonlyMap<number, Fork>, head: number): ReadonlyMap<number, number | null> {
  const ends = new Map<number, number | null>();
  let until: number | null = null;
  let at: number = head;
  // Parents are older, so this ends; a fork that says otherwise is not followed.
  while (at > 0 && !ends.has(at)) {
    ends.set(at, until);
    const fork = byEpoch.get(at);
    if (fork === undefined || fork.parent >= at) break;
    until = until === null ? fork.forkLsn : Math.min(until, fork.forkLsn);
    at = fork.parent;
  }
  return ends;
}
