import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeControlRecord, encodeControlRecord } from '../../../regions/control/control-store-wire.ts';
import {
  allottedIn,
  branchesOf,
  branchLimits,
  branchNamed,
  headOfBranch,
  sameBranches,
} from '../../../regions/control/core/branch-list.ts';
import { createBranch, deleteBranch, reignOfBranch } from '../../../regions/control/core/branch-record.ts';
import {
  abortMove,
  acquire,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  checkControlRecord,
  checkControlStep,
  completeMove,
  epochBefore,
  initialControlRecord,
  type RefusalCode,
  release,
  renew,
  setPolicy,
  setRegions,
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { judgeFailover, type Survivor } from '../../../regions/control/core/survivors.ts';
import { branchName, epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';
import { eu, g1, g2, next, us } from '../control-records.ts';

const dev = branchName('dev');
const stage = branchName('stage');

const create = (record: ControlRecord, name = dev, parent = 1, at = 100): Transition =>
  createBranch(record, { from: mainBranch, name, parent: epoch(parent), forkLsn: lsn(at), createdAtMs: 7 });

const vacant = initialControlRecord(us);
const held = next(acquire(vacant, { region: us, holder: g1, lapsed: false }));
const branched = next(create(held));
const reigned = next(reignOfBranch(branched, { name: dev, holder: g1 }));
const switching = next(beginSwitchover(branched, { id: 's1', to: eu, startedAtMs: 1 }));
const failing = next(
  beginFailover(branched, { id: 'f1', to: eu, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
);

const states = { vacant, held, branched, reigned, switching, failing };
const order: readonly (keyof typeof states)[] = [
  'vacant',
  'held',
  'branched',
  'reigned',
  'switching',
  'failing',
];

const attempts: Record<string, (record: ControlRecord) => Transition> = {
  'create dev': (r) => create(r, dev, 0, 0),
  'create stage': (r) => create(r, stage, 0, 0),
  'create main': (r) => create(r, mainBranch),
  'delete dev': (r) => deleteBranch(r, { name: dev }),
  'delete main': (r) => deleteBranch(r, { name: mainBranch }),
  'reign of dev by the holder': (r) => reignOfBranch(r, { name: dev, holder: g1 }),
  'reign of dev by another': (r) => reignOfBranch(r, { name: dev, holder: g2 }),
  'reign of main by the holder': (r) => reignOfBranch(r, { name: mainBranch, holder: g1 }),
};
type Row = readonly ('next' | RefusalCode)[];
/** One column per state, in `order`. */
const table: Record<keyof typeof attempts, Row> = {
  'create dev': ['next', 'next', 'branch-exists', 'branch-exists', 'branch-exists', 'branch-exists'],
  'create stage': ['next', 'next', 'next', 'next', 'moving', 'moving'],
  'create main': Array<RefusalCode>(6).fill('branch-exists'),
  'delete dev': ['no-branch', 'no-branch', 'next', 'next', 'next', 'next'],
  'delete main': Array<RefusalCode>(6).fill('main-branch'),
  'reign of dev by the holder': ['no-branch', 'no-branch', 'next', 'next', 'moving', 'not-holder'],
  'reign of dev by another': [
    'no-branch',
    'no-branch',
    'not-holder',
    'not-holder',
    'not-holder',
    'not-holder',
  ],
  'reign of main by the holder': Array<RefusalCode>(6).fill('no-branch'),
};

describe('branches in the control record', () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    test(`${name}: allowed or refused as the table says in each state`, () => {
      const outcomes = order.map((state) => {
        const transition = attempt(states[state]);
        return transition.kind === 'next' ? 'next' : transition.code;
      });
      expect(outcomes).toEqual(table[name]);
    });
  }

  test('a branch takes the next epoch and leaves that of main as it is', () => {
    const branch = { name: dev, epoch: 2, origin: 2, parent: 1, forkLsn: 100, createdAtMs: 7, by: null };
    expect(branched).toEqual({ ...held, n: 2, allotted: 2, branches: [branch] });
    expect(headOfBranch(branched, mainBranch)).toBe(1);
    expect(headOfBranch(branched, dev)).toBe(2);
    expect(headOfBranch(branched, stage)).toBeNull();
  });

  test('the holder takes a new epoch of a branch each time, and where it left stays', () => {
    expect(branchNamed(reigned, dev)).toEqual({ ...branchNamed(branched, dev), epoch: 3, by: g1 });
    const again = next(reignOfBranch(reigned, { name: dev, holder: g1 }));
    expect(branchNamed(again, dev)).toMatchObject({ epoch: 4, origin: 2, parent: 1, forkLsn: 100 });
  });

  test('a reign of main goes on above the epochs of branches, and knows the one before it', () => {
    const successor = next(acquire(reigned, { region: us, holder: g2, lapsed: true }));
    expect(successor).toMatchObject({ epoch: 4, before: 1, branches: reigned.branches });
    expect('allotted' in successor).toBe(false);
    expect(epochBefore(successor)).toBe(1);
    const third = next(acquire(successor, { region: us, holder: g1, lapsed: true }));
    expect(third).toMatchObject({ epoch: 5 });
    expect('before' in third).toBe(false);
  });

  test('a survivor that followed the reign before has joined, whatever epochs branches took since', () => {
    const record = next(acquire(reigned, { region: us, holder: g2, lapsed: true }));
    const follower = (at: number): Survivor => ({
      region: eu,
      held: { epoch: epoch(at), vdl: lsn(500), forks: [] },
      followed: us,
      heardMsAgo: 10,
      primaryVdl: lsn(500),
      levelMsAgo: 10,
    });
    const judge = (at: number) =>
      judgeFailover({ target: eu, record, survivors: [follower(at)], sacrifice: [] });
    expect(judge(1)).toMatchObject({ kind: 'possible', primaryVdl: 500 });
    expect(judge(0)).toMatchObject({ kind: 'refused', code: 'TARGET_NOT_JOINED' });
  });

  test('an epoch of a deleted branch is not allotted again', () => {
    const gone = next(deleteBranch(reigned, { name: dev }));
    expect(gone).toEqual({ ...held, n: 4, allotted: 3 });
    expect(next(create(gone))).toMatchObject({ allotted: 4, branches: [{ name: dev, origin: 4 }] });
  });

  test('a branch outlives the one that it was made from', () => {
    const both = next(create(reigned, stage, 3, 200));
    expect(branchesOf(next(deleteBranch(both, { name: dev })))).toMatchObject([{ name: stage, parent: 3 }]);
  });

  test('the 33rd branch is refused with the limit and the way out', () => {
    let record = held;
    for (let at = 0; at < branchLimits.branchesMax; at++) record = next(create(record, branchName(`b${at}`)));
    expect(create(record)).toMatchObject({
      kind: 'refused',
      code: 'too-many-branches',
      reason: expect.stringMatching(/32.*sextant branch delete/),
    });
    expect(decodeControlRecord(encodeControlRecord(record))).toEqual({ kind: 'record', record });
  });

  test('who asks for a branch that is not there is told which are', () => {
    expect(deleteBranch(held, { name: dev })).toMatchObject({ reason: expect.stringMatching(/main alone/) });
    expect(deleteBranch(branched, { name: stage })).toMatchObject({
      reason: 'there is no branch stage; there are main, dev',
    });
  });

  test('records and steps that no transition produces are broken invariants (R69, R70)', () => {
    const [branch] = branchesOf(branched);
    if (branch === undefined) throw new Error('there is a branch');
    const broken = (...branches: (typeof branch)[]) => ({ ...branched, branches });
    expect(() => checkControlRecord(broken())).toThrow('R69');
    expect(() => checkControlRecord(broken(branch, branch))).toThrow('R69');
    expect(() => checkControlRecord(broken({ ...branch, name: mainBranch }))).toThrow('R69');
    expect(() => checkControlRecord(broken({ ...branch, epoch: epoch(3), by: g1 }))).toThrow('R70');
    expect(() => checkControlRecord(broken({ ...branch, epoch: epoch(1) }))).toThrow('R70');
    expect(() => checkControlRecord(broken({ ...branch, parent: epoch(2) }))).toThrow('R70');
    expect(() => checkControlRecord(broken({ ...branch, by: g1 }))).toThrow('R70');
    expect(() => checkControlRecord({ ...held, allotted: epoch(1) })).toThrow('R70');
    expect(() => checkControlRecord({ ...held, before: epoch(0) })).toThrow('R20');
    const step = (after: ControlRecord) => () => checkControlStep(branched, { ...after, n: 3 });
    expect(step({ ...branched, holder: null, allotted: epoch(3) })).toThrow('R70');
    expect(step({ ...reigned, holder: g2 })).toThrow();
    expect(step({ ...held, allotted: epoch(3) })).toThrow('R70');
    expect(step({ ...held, holder: null, allotted: epoch(2) })).toThrow('R69');
    const moved = branchesOf(reigned).map((one) => ({ ...one, forkLsn: lsn(99) }));
    expect(step({ ...reigned, branches: moved })).toThrow('R69');
    const foreign = branchesOf(reigned).map((one) => ({ ...one, by: g2 }));
    expect(step({ ...reigned, branches: foreign })).toThrow('R70');
    const successor = next(acquire(branched, { region: us, holder: g2, lapsed: true }));
    const { branches: _, ...forgotten } = successor;
    expect(step(forgotten)).toThrow('R69');
    const { before: __, ...orphaned } = successor;
    expect(step(orphaned)).toThrow('R20');
  });

  test('in any history no epoch is allotted twice, and other changes leave the branches as they are', () => {
    const others: ((record: ControlRecord) => Transition)[] = [
      (r) => acquire(r, { region: r.primary, holder: g1, lapsed: true }),
      (r) => acquire(r, { region: r.primary, holder: g2, lapsed: true }),
      (r) => renew(r, r.holder ?? g1),
      (r) => release(r, { holder: r.holder ?? g1, drainedTo: lsn(4_096) }),
      (r) => beginSwitchover(r, { id: 's', to: r.primary === us ? eu : us, startedAtMs: 1 }),
      (r) =>
        beginFailover(r, {
          id: 'f',
          to: r.primary === us ? eu : us,
          allowDataLoss: true,
          startedAtMs: 1,
          lapsed: true,
        }),
      (r) => completeMove(r, { id: r.move?.id ?? '', region: r.move?.to ?? us, holder: g2 }),
      (r) => abortMove(r, { id: r.move?.id ?? '' }),
      (r) => setPolicy(r, { automatic: r.policy === undefined }),
      (r) => setRegions(r, r.regions?.length === 2 ? [us, eu, regionId('ap')] : [us, eu]),
    ];
    const mine: ((record: ControlRecord) => Transition)[] = [
      (r) => create(r, dev, allottedIn(r)),
      (r) => create(r, stage, allottedIn(r)),
      (r) => deleteBranch(r, { name: dev }),
      (r) => deleteBranch(r, { name: stage }),
      (r) => reignOfBranch(r, { name: dev, holder: r.holder ?? g1 }),
      (r) => reignOfBranch(r, { name: stage, holder: r.holder ?? g1 }),
    ];
    const all = [...others, ...mine];
    fc.assert(
      fc.property(fc.array(fc.nat(all.length - 1), { maxLength: 60 }), (choices) => {
        let record = vacant;
        for (const choice of choices) {
          const transition = all[choice]?.(record);
          if (transition?.kind !== 'next') continue;
          const after = transition.record;
          checkControlStep(record, after);
          const heads = (r: ControlRecord): Map<string, number> =>
            new Map([['main', r.epoch], ...branchesOf(r).map((b): [string, number] => [b.name, b.epoch])]);
          const before = heads(record);
          const taken = [...heads(after)].filter(([name, head]) => before.get(name) !== head);
          expect(allottedIn(after)).toBe(allottedIn(record) + taken.length);
          for (const [, head] of taken) expect(head).toBe(allottedIn(record) + 1);
          if (choice < others.length) expect(sameBranches(record, after)).toBe(true);
          else expect(after.epoch).toBe(record.epoch);
          expect(decodeControlRecord(encodeControlRecord(after))).toEqual({ kind: 'record', record: after });
          record = after;
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('a branch that another leaves is not deleted before that one (R69)', () => {
  const at = (record: ControlRecord, name: string, from: string, forkLsn: number): ControlRecord =>
    next(
      createBranch(record, {
        ...{ name: branchName(name), from: branchName(from), parent: epoch(1) },
        ...{ forkLsn: lsn(forkLsn), createdAtMs: 7 },
      }),
    );
  const onDev = at(branched, 'stage', 'dev', 150);
  expect(deleteBranch(onDev, { name: dev })).toMatchObject({
    ...{ kind: 'refused', code: 'has-branches' },
    reason: expect.stringContaining('stage leaves dev'),
  });
  expect(
    next(deleteBranch(next(deleteBranch(onDev, { name: stage })), { name: dev })).branches,
  ).toBeUndefined();
  // What leaves below where dev left is a branch of main, also when it was asked for from dev or from a branch of dev.
  const below = at(at(onDev, 'low', 'dev', 100), 'lower', 'stage', 90);
  expect(branchesOf(below).map(({ name, leaves }) => [name, leaves])).toEqual([
    ['dev', undefined],
    ['stage', 2],
    ['low', undefined],
    ['lower', undefined],
  ]);
  expect(at(onDev, 'mid', 'stage', 120).branches?.at(-1)?.leaves).toBe(2);
  expect(decodeControlRecord(encodeControlRecord(onDev))).toEqual({ kind: 'record', record: onDev });
  expect(
    createBranch(branched, {
      ...{ name: stage, from: branchName('gone'), parent: epoch(1), forkLsn: lsn(9), createdAtMs: 7 },
    }),
  ).toMatchObject({ kind: 'refused', code: 'no-branch' });
});
