import { describe, expect, it } from 'vitest';
import { FollowerRoom } from '../../../gateway/reign/core/follower-room.ts';
import { lsn } from '../../../storage/redo/ids.ts';

const bytesMax = 1_000;

describe('what a reader is given ahead of what it has folded', () => {
  it('pauses at the bound while there are commits to fold, and goes on at half of it', () => {
    const room = new FollowerRoom(lsn(0), bytesMax);
    expect(room.gave(lsn(1_000), () => lsn(990))).toBe(false);
    expect(room.gave(lsn(1_200), () => lsn(1_190))).toBe(true);
    expect(room.folded(lsn(600))).toBe(false);
    expect(room.folded(lsn(800))).toBe(true);
  });

  it('does not pause within a transaction, however large, since nothing of it is folded before its commit', () => {
    const room = new FollowerRoom(lsn(0), bytesMax);
    for (let at = 100; at < 50_000; at += 100) expect(room.gave(lsn(at), () => null)).toBe(false);
    expect(room.gave(lsn(50_000), () => lsn(50_000))).toBe(true);
    expect(room.folded(lsn(50_000))).toBe(true);
  });

  it('goes on when all commits it knows of are folded, although half a transaction lies beyond', () => {
    const room = new FollowerRoom(lsn(0), bytesMax);
    expect(room.gave(lsn(5_000), () => lsn(900))).toBe(true);
    expect(room.folded(lsn(900))).toBe(true);
    expect(room.gave(lsn(9_000), () => null)).toBe(false);
  });

  it('begins anew below what was given', () => {
    const room = new FollowerRoom(lsn(0), bytesMax);
    room.gave(lsn(5_000), () => lsn(4_900));
    room.folded(lsn(4_900));
    room.reopened(lsn(2_000));
    expect([room.foldedTo, room.givenTo]).toEqual([2_000, 2_000]);
    expect(room.gave(lsn(2_900), () => lsn(2_900))).toBe(false);
    expect(room.gave(lsn(3_100), () => lsn(3_100))).toBe(true);
  });
});
