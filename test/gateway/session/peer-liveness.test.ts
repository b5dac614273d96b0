import { describe, expect, it } from 'vitest';
import { type PeerAnswer, PeerLiveness } from '../../../gateway/session/core/peer-liveness.ts';

const limits = { peerAskMs: 400, peerMisses: 2 };

/** Asks whenever it is due, every 100 ms, with the answers given. @returns when the peer was gone, ms. */
function goneAtMs(answers: readonly PeerAnswer[]): number | null {
  const peers = new PeerLiveness(limits);
  peers.opened('a', 0);
  const left = [...answers];
  for (let nowMs = 0; nowMs <= 5_000; nowMs += 100) {
    if (peers.due(nowMs).length === 0) continue;
    const answer = left.shift();
    if (answer === undefined) return null;
    if (peers.answered('a', answer, nowMs)) return nowMs;
  }
  return null;
}

describe('the gateways that have transactions at this writer', () => {
  it('are gone when two questions in turn find nobody, or get no answer', () => {
    expect(goneAtMs(['nobody', 'nobody'])).toBe(500);
    expect(goneAtMs(['silent', 'silent'])).toBe(500);
    expect(goneAtMs(['silent', 'nobody'])).toBe(500);
  });

  it('are there as long as every second question is answered', () => {
    expect(goneAtMs(['nobody', 'alive', 'silent', 'alive', 'nobody', 'alive'])).toBeNull();
  });

  it('are asked once at a time, and not while they are heard', () => {
    const peers = new PeerLiveness(limits);
    peers.opened('a', 0);
    expect(peers.due(399)).toEqual([]);
    expect(peers.due(400)).toEqual(['a']);
    expect(peers.due(9_000)).toEqual([]);
    peers.heard('a', 9_000);
    expect(peers.answered('a', 'silent', 9_100)).toBe(false);
    expect(peers.due(9_300)).toEqual([]);
    expect(peers.due(9_400)).toEqual(['a']);
  });

  it('are not asked any more once they have no streams', () => {
    const peers = new PeerLiveness(limits);
    peers.opened('a', 0);
    peers.ended('a');
    expect(peers.due(1_000)).toEqual([]);
    expect(peers.answered('a', 'nobody', 1_000)).toBe(false);
  });
});
