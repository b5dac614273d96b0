/**
 * Which gateways that have transactions open here are still there. Pure. A gateway that has not been heard for a moment is
 * asked; when nobody listens on its subject, or it does not answer, twice in turn, it is gone and its streams with it.
 */

export interface PeerLimits {
  /** A peer that has not been heard for this long is asked. */
  readonly peerAskMs: number;
  /** So many questions in turn without an answer, and it is gone. */
  readonly peerMisses: number;
}

/** What came of asking a peer. */
export type PeerAnswer = 'alive' | 'nobody' | 'silent';

interface Peer {
  streams: number;
  heardAtMs: number;
  asking: boolean;
  misses: number;
}

export class PeerLiveness {
  private readonly limits: PeerLimits;
  private readonly peers = new Map<string, Peer>();

  constructor(limits: PeerLimits) {
    this.limits = limits;
  }

  /** A stream of a peer begins here. */
  opened(name: string, nowMs: number): void {
    const peer = this.peers.get(name);
    if (peer === undefined) this.peers.set(name, { streams: 1, heardAtMs: nowMs, asking: false, misses: 0 });
    else peer.streams += 1;
    this.heard(name, nowMs);
  }

  /** A stream of a peer has ended; one without streams is not asked about. */
  ended(name: string): void {
    const peer = this.peers.get(name);
    if (peer === undefined) return;
    peer.streams -= 1;
    if (peer.streams <= 0) this.peers.delete(name);
  }

  /** Something has come from a peer that has streams here. */
  heard(name: string, nowMs: number): void {
    const peer = this.peers.get(name);
    if (peer === undefined) return;
    peer.heardAtMs = nowMs;
    peer.misses = 0;
  }

  /** The peers to ask now; each is asked once until `answered`. */
  due(nowMs: number): readonly string[] {
    const due: string[] = [];
    for (const [name, peer] of this.peers) {
      if (peer.asking || nowMs - peer.heardAtMs < this.limits.peerAskMs) continue;
      peer.asking = true;
      due.push(name);
    }
    return due;
  }

  /** @returns true when the peer is gone: its streams are to be ended. */
  answered(name: string, answer: PeerAnswer, nowMs: number): boolean {
    const peer = this.peers.get(name);
    if (peer === undefined || !peer.asking) return false;
    peer.asking = false;
    if (answer === 'alive') {
      this.heard(name, nowMs);
      return false;
    }
    // Heard by another way while it was being asked.
    if (nowMs - peer.heardAtMs < this.limits.peerAskMs) return false;
    peer.misses += 1;
    return peer.misses >= this.limits.peerMisses;
  }
}
