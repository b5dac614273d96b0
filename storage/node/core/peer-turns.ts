/**
 * Which peer is asked for the log that a line of history lacks. Each line goes through the peers by itself: lines that took turns
 * with one counter would each meet the same peer again and again, and never hear all of them.
 */
import type { Floor } from '../../history/floor.ts';
import type { Epoch, Lsn } from '../../redo/ids.ts';

interface Asked<Peer> {
  readonly from: Lsn;
  /** Those that have no log there, with their floors where those lie above. */
  readonly lacking: Map<Peer, Floor | null>;
}

export class PeerTurns<Peer> {
  /** By path. */
  private readonly asked = new Map<Epoch, Asked<Peer>>();
  private turn = 0;

  /**
   * The peer to ask for the log of a path from `from` on: whoever gave some last, as long as it does; one that has not been asked
   * for this, before one that has. @param up the peers that can be reached, the nearest first. @returns null when there is none.
   */
  choose(head: Epoch, from: Lsn, up: readonly Peer[]): Peer | null {
    const known = this.asked.get(head);
    const asked = known?.from === from ? known : { from, lacking: new Map<Peer, Floor | null>() };
    this.asked.set(head, asked);
    const inTurn = up.map((_, offset) => up[(this.turn + offset) % up.length]);
    const fresh = inTurn.find((peer) => peer !== undefined && !asked.lacking.has(peer));
    return fresh ?? inTurn[0] ?? null;
  }

  /** The peer that was asked has sent some of it. */
  brought(head: Epoch): void {
    this.asked.delete(head);
  }

  /**
   * The peer that was asked has none of it. @param floor of the peer, where what was asked lies below it.
   * @returns the lowest floor, when every peer that is up has none and some have images instead; else null.
   */
  lacks(head: Epoch, peer: Peer, floor: Floor | null, up: readonly Peer[]): Floor | null {
    this.turn += 1;
    const lacking = this.asked.get(head)?.lacking;
    lacking?.set(peer, floor);
    if (lacking === undefined || up.some((other) => !lacking.has(other))) return null;
    // One that was wiped as well has nothing to give, and no floor.
    const floors = up.flatMap((other) => lacking.get(other) ?? []);
    return floors.toSorted((a, b) => a.lsn - b.lsn)[0] ?? null;
  }

  /** The peers are others from now on. */
  clear(): void {
    this.asked.clear();
  }
}
