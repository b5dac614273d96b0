import { describe, expect, it } from 'vitest';
import { visiblePart } from '../../../gateway/reign/follower.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';

const fork = (of: number, parent: number, at: number): Fork => ({
  epoch: epoch(of),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});

describe('what a session read waits for', () => {
  it('is the write itself while its reign is on the path', () => {
    const forks = [fork(1, 0, 0), fork(2, 1, 500)];
    expect(visiblePart({ epoch: epoch(1), lsn: lsn(400) }, epoch(2), forks)).toBe(400);
    expect(visiblePart({ epoch: epoch(2), lsn: lsn(700) }, epoch(2), forks)).toBe(700);
  });

  it('is no more than the history that is left when a failover has forked below it', () => {
    const forks = [fork(1, 0, 0), fork(3, 1, 300)];
    expect(visiblePart({ epoch: epoch(1), lsn: lsn(400) }, epoch(3), forks)).toBe(300);
    expect(visiblePart({ epoch: epoch(2), lsn: lsn(900) }, epoch(3), forks)).toBe(300);
  });
});
