import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeControlRecord, encodeControlRecord } from '../../../regions/control/control-store-wire.ts';
import { createBranch } from '../../../regions/control/core/branch-record.ts';
import {
  acquire,
  beginSwitchover,
  type ControlRecord,
  checkControlStep,
  initialControlRecord,
  renew,
} from '../../../regions/control/core/control-record.ts';
import { branchesFrom, mayLetGoTo, raisePromise } from '../../../regions/control/core/promised-record.ts';
import { beginRewind } from '../../../regions/control/core/rewind-record.ts';
import type { Held } from '../../../regions/control/core/survivors.ts';
import { branchName, epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';
import { fork } from '../../storage/samples.ts';
import { eu, g1, next, us } from '../control-records.ts';

const held = next(acquire(initialControlRecord(us), { region: us, holder: g1, lapsed: false }));
const forks = [fork(1, 0, 0)];
const path: Held = { epoch: epoch(1), vdl: lsn(900), forks };
const raise = (record: ControlRecord, upTo: number, by: Partial<{ region: string; path: Held }> = {}) =>
  raisePromise(record, { region: us, path, upTo: lsn(upTo), ...by });
const branched = (at: number): ControlRecord =>
  next(
    createBranch(held, {
      from: mainBranch,
      name: branchName('dev'),
      parent: epoch(1),
      forkLsn: lsn(at),
      createdAtMs: 7,
    }),
  );

describe('R96: a promise', () => {
  it('is raised by the primary, on the path of its reign', () => {
    const record = next(raise(held, 300));
    expect(record.promised).toEqual({ epoch: 1, lsn: 300 });
    expect(decodeControlRecord(encodeControlRecord(record))).toEqual({ kind: 'record', record });
    expect(next(raise(record, 400)).promised?.lsn).toBe(400);
  });

  it.each([
    ['another region', held, { region: eu }, 'not-primary'],
    [
      'a primary whose nodes follow an older reign',
      held,
      { path: { ...path, epoch: epoch(0) } },
      'not-primary',
    ],
    [
      'a primary during a move',
      next(beginSwitchover(held, { id: 's', to: eu, startedAtMs: 1 })),
      {},
      'moving',
    ],
    [
      'a primary during a rewind',
      next(beginRewind(held, { id: 'r', to: { epoch: epoch(1), lsn: lsn(5) }, startedAtMs: 1 })),
      { path: { ...path, epoch: epoch(2), forks: [...forks, fork(2, 1, 5)] } },
      'rewinding',
    ],
    ['who would take it back', next(raise(held, 300)), {}, 'promised'],
    ['who would let go where a branch leaves', branched(0), {}, 'promised'],
  ])('is raised by no one else: %s', (_, record, by, code) =>
    expect(raise(record, 200, by)).toMatchObject({ kind: 'refused', code }),
  );

  it('stays where a branch leaves that was made meanwhile', () =>
    expect(next(raise(branched(250), 700)).promised?.lsn).toBe(250));

  it('is kept by every other change, and refused as part of one', () => {
    const record = next(raise(held, 300));
    expect(next(renew(record, g1)).promised).toEqual(record.promised);
    const { promised: _, ...without } = record;
    expect(() => checkControlStep(record, { ...without, n: record.n + 1 })).toThrow('R96');
    expect(() =>
      checkControlStep(record, { ...record, promised: { epoch: epoch(1), lsn: lsn(200) }, n: record.n + 1 }),
    ).toThrow('R96');
    expect(() =>
      checkControlStep(held, {
        ...record,
        n: held.n + 1,
        holder: null,
        promised: { epoch: epoch(1), lsn: lsn(1) },
      }),
    ).toThrow('R96');
  });

  it('means on another path what both have in common', () => {
    const record = next(raise(held, 300));
    const on = (at: number): Held => ({ epoch: epoch(2), vdl: lsn(950), forks: [...forks, fork(2, 1, at)] });
    expect([mayLetGoTo(record, on(500)), branchesFrom(record, on(500))]).toEqual([300, 300]);
    expect([mayLetGoTo(record, on(100)), branchesFrom(record, on(100))]).toEqual([100, 100]);
  });

  it('lets nothing go where paths cannot be compared, and no branch leave below it', () => {
    const record = next(raise(held, 300));
    const strange: Held = { epoch: epoch(9), vdl: lsn(900), forks: [] };
    expect([mayLetGoTo(record, strange), branchesFrom(record, strange)]).toEqual([0, 300]);
    expect([mayLetGoTo(held, path), branchesFrom(held, path)]).toEqual([0, 0]);
  });

  it('is never above a branch, whatever is raised and branched in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(900)), { maxLength: 20 }), (steps) => {
        let record = held;
        for (const [index, [raises, at]] of steps.entries()) {
          const place = { parent: epoch(1), forkLsn: lsn(at), createdAtMs: 7 };
          // Who makes a branch looks at the record that is to be changed.
          const outcome = raises
            ? raise(record, at)
            : at < branchesFrom(record, path)
              ? null
              : createBranch(record, { from: mainBranch, name: branchName(`b${index}`), ...place });
          if (outcome?.kind === 'next') record = outcome.record;
          for (const { forkLsn } of record.branches ?? [])
            expect(mayLetGoTo(record, path)).toBeLessThanOrEqual(forkLsn);
        }
      }),
    );
  });
});
