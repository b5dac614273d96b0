import { describe, expect, test } from 'vitest';
import type { Branch } from '../../../regions/control/core/branch-list.ts';
import { createBranch, reignOfBranch } from '../../../regions/control/core/branch-record.ts';
import {
  acquire,
  beginFailover,
  type ControlRecord,
  completeMove,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import type { BranchPlace } from '../../../regions/replication/core/branch-lanes.ts';
import { isWritten, mayLend, owedBytes } from '../../../regions/replication/core/branch-loans.ts';
import { type RegionReport, regionReportSchema } from '../../../regions/status/core/report.ts';
import { branchName, epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';
import { eu, g1, g2, next, us } from '../control-records.ts';

const ap = regionId('ap-northeast-1');
const dev = branchName('dev');
const at = (head: number, vdl: number): BranchPlace => ({ head: epoch(head), vdl: lsn(vdl) });

/** A branch that was written in `us`, whose reign has epoch 3; `eu` has taken over since, in epoch 4. */
const written = next(
  reignOfBranch(
    next(
      createBranch(next(acquire(initialControlRecord(us), { region: us, holder: g1, lapsed: false })), {
        name: dev,
        from: mainBranch,
        parent: epoch(1),
        forkLsn: lsn(100),
        createdAtMs: 7,
      }),
    ),
    { name: dev, holder: g1 },
  ),
);
const moving = next(
  beginFailover(written, { id: 'f', to: eu, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
);
const moved = next(completeMove(moving, { id: 'f', region: eu, holder: g2 }));
const over = next(reignOfBranch(moved, { name: dev, holder: g2 }));

const branchIn = (record: ControlRecord): Branch => {
  const branch = record.branches?.[0];
  if (branch === undefined) throw new Error('the record names a branch');
  return branch;
};

const lends = (
  record: ControlRecord,
  mine: BranchPlace,
  primary: BranchPlace | null | undefined,
  more: readonly (readonly [typeof us, BranchPlace | null])[] = [],
  me = us,
): boolean =>
  mayLend({
    record,
    branch: branchIn(record),
    me,
    mine,
    others: new Map([...(primary === undefined ? [] : [[eu, primary] as const]), ...more]),
  });

describe('R92: who sends the primary what it lacks of a branch', () => {
  test.each<[string, boolean, boolean]>([
    ['a region that holds more of the same reign', lends(moved, at(3, 300), at(3, 200)), true],
    [
      'a region that holds a reign that the primary never heard of',
      lends(moved, at(3, 300), at(2, 100)),
      true,
    ],
    ['nobody who holds no more', lends(moved, at(3, 300), at(3, 300)), false],
    ['nobody who follows an older reign', lends(moved, at(2, 900), at(3, 200)), false],
    ['nobody while the primary lacks the fork', lends(moved, at(3, 300), null), false],
    ['nobody while the primary is not heard', lends(moved, at(3, 300), undefined), false],
    ['nobody once the primary writes it', lends(over, at(3, 300), at(3, 200)), false],
    ['nobody where the primary itself wrote it last', lends(written, at(3, 300), at(3, 200), [], eu), false],
    ['nobody while a move is under way', lends(moving, at(3, 300), at(3, 200)), false],
    ['not the primary', lends(moved, at(3, 300), undefined, [[us, at(3, 200)]], eu), false],
    ['not one of whom another has more', lends(moved, at(3, 300), at(3, 200), [[ap, at(3, 400)]]), false],
    ['one of whom another has less', lends(moved, at(3, 300), at(3, 200), [[ap, at(3, 250)]]), true],
    [
      'one beside a region that has not got the branch',
      lends(moved, at(3, 300), at(3, 200), [[ap, null]]),
      true,
    ],
    [
      'of two that hold the same, not the second by name',
      lends(moved, at(3, 300), at(3, 200), [[ap, at(3, 300)]]),
      false,
    ],
    [
      'of two that hold the same, the first',
      lends(moved, at(3, 300), at(3, 200), [[us, at(3, 300)]], ap),
      true,
    ],
  ])('%s', (_, found, expected) => {
    expect(found).toBe(expected);
  });

  test('what the primary is owed of a branch is what the region that holds most has more; 0 while it writes it itself', () => {
    const report = (region: string, place: BranchPlace | null): RegionReport =>
      regionReportSchema.parse({
        ...{ v: 1, region, agent: 'a', gateway: null, epoch: 4, vdl: 0, following: true, primaryVdl: null },
        ...{ nodes: [], lag: [], lossEpochs: [], sentAtMs: 0 },
        branches: place === null ? [] : [{ name: 'dev', epoch: place.head, vdl: place.vdl, lag: [] }],
      });
    const reports = [report(eu, at(3, 200)), report(us, at(3, 300)), report(ap, at(3, 250))];
    const owed = (record: ControlRecord, heard = reports): number =>
      owedBytes(record, branchIn(record), heard);
    expect(owed(moved)).toBe(100);
    expect(owed(moved, [report(eu, at(3, 300)), ...reports.slice(1)])).toBe(0);
    expect(owed(moved, [report(eu, at(2, 100)), report(us, at(3, 100))])).toBe(1);
    expect(owed(moved, reports.slice(1))).toBe(0);
    expect(owed(moved, [report(eu, null), ...reports.slice(1)])).toBe(0);
    // Epoch 1 is from before the branch was made: it is about another one of that name.
    expect(owed(moved, [report(eu, at(3, 200)), report(us, at(1, 900))])).toBe(0);
    expect([owed(over), owed(moving)]).toEqual([0, 0]);
  });

  test('a branch is written by whoever holds the lease and took its newest epoch, and by nobody else', () => {
    expect(isWritten(written, branchIn(written))).toBe(true);
    expect(isWritten(moving, branchIn(moving))).toBe(false);
    expect(isWritten(moved, branchIn(moved))).toBe(false);
    expect(isWritten(over, branchIn(over))).toBe(true);
  });
});
