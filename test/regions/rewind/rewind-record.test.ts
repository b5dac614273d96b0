import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeControlRecord, encodeControlRecord } from '../../../regions/control/control-store-wire.ts';
import { createBranch, reignOfBranch } from '../../../regions/control/core/branch-record.ts';
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
  type Transition,
} from '../../../regions/control/core/control-record.ts';
import { renewalsSeen } from '../../../regions/control/core/record-claims.ts';
import { beginRewind, endRewind } from '../../../regions/control/core/rewind-record.ts';
import { branchName, epoch, lsn, mainBranch } from '../../../storage/redo/ids.ts';
import { eu, g1, g2, next, us } from '../control-records.ts';

const to = { epoch: epoch(1), lsn: lsn(100) };

const begin = (record: ControlRecord, id = 'w1', at = to): Transition =>
  beginRewind(record, { id, to: at, startedAtMs: 7 });

const vacant = initialControlRecord(us);
const held = next(acquire(vacant, { region: us, holder: g1, lapsed: false }));
const rewinding = next(begin(held));
const released = next(release(rewinding, { holder: g1, drainedTo: lsn(5) }));
const switching = next(beginSwitchover(held, { id: 's1', to: eu, startedAtMs: 1 }));
const failing = next(
  beginFailover(rewinding, { id: 'f1', to: eu, allowDataLoss: true, startedAtMs: 1, lapsed: true }),
);
const states = { vacant, held, rewinding, released, switching, failing };

/** One column per state. */
const table: Record<string, [(record: ControlRecord) => Transition, ...('next' | RefusalCode)[]]> = {
  'begin a rewind': [begin, 'no-writer', 'next', 'rewinding', 'rewinding', 'moving', 'moving'],
  'begin one to an epoch that was never allotted': [
    (r) => begin(r, 'w9', { epoch: epoch(40), lsn: lsn(1) }),
    'no-writer',
    'no-epoch',
    'rewinding',
    'rewinding',
    'moving',
    'moving',
  ],
  'end it as the holder': [
    (r) => endRewind(r, { id: 'w1', holder: g1 }),
    'not-holder',
    'no-rewind',
    'next',
    'not-holder',
    'no-rewind',
    'not-holder',
  ],
  'end it as another': [
    (r) => endRewind(r, { id: 'w1', holder: g2 }),
    ...Array<RefusalCode>(6).fill('not-holder'),
  ],
  'begin a switchover': [
    (r) => beginSwitchover(r, { id: 's2', to: eu, startedAtMs: 1 }),
    'next',
    'next',
    'rewinding',
    'rewinding',
    'moving',
    'moving',
  ],
};

describe('R75: a rewind in the control record', () => {
  for (const [what, [attempt, ...row]] of Object.entries(table))
    test(what, () => {
      const found = Object.values(states).map((record) => {
        const transition = attempt(record);
        return transition.kind === 'next' ? 'next' : transition.code;
      });
      expect(found).toEqual(row);
    });

  test('takes the next epoch under the same holder, and is kept by who takes over until the holder ends it', () => {
    expect(rewinding).toMatchObject({
      epoch: 2,
      holder: g1,
      rewind: { id: 'w1', branch: 'main', to, epoch: 2 },
    });
    const taken = next(acquire(released, { region: us, holder: g2, lapsed: false }));
    expect(taken).toMatchObject({ epoch: 3, holder: g2, rewind: { epoch: 2 } });
    const elsewhere = next(completeMove(failing, { id: 'f1', region: eu, holder: g2 }));
    expect(elsewhere).toMatchObject({ epoch: 3, primary: eu, rewind: { epoch: 2 } });
    const ended = next(endRewind(elsewhere, { id: 'w1', holder: g2 }));
    expect(ended).not.toHaveProperty('rewind');
    expect(ended.epoch).toBe(3);
  });

  test('takes its epoch above those of branches, and says which one of main was before', () => {
    const branched = next(
      createBranch(held, {
        from: mainBranch,
        name: branchName('dev'),
        parent: epoch(1),
        forkLsn: lsn(9),
        createdAtMs: 7,
      }),
    );
    const reigned = next(reignOfBranch(branched, { name: branchName('dev'), holder: g1 }));
    const after = next(begin(reigned));
    expect(after).toMatchObject({ epoch: 4, rewind: { epoch: 4 } });
    expect(epochBefore(after)).toBe(1);
  });

  test('is no renewal: it says nothing of whether the holder lives', () => {
    const seen = renewalsSeen(null, { seq: 1, record: held });
    expect(renewalsSeen(seen, { seq: 2, record: rewinding }).count).toBe(0);
    expect(renewalsSeen(seen, { seq: 2, record: next(renew(held, g1)) }).count).toBe(1);
  });

  test('a record with one is written down and read back', () => {
    for (const record of Object.values(states)) {
      const read = decodeControlRecord(encodeControlRecord(record));
      expect(read).toEqual({ kind: 'record', record });
    }
  });

  test.each([
    ['ended by nobody', released, { ...released, n: released.n + 1, rewind: undefined }],
    ['begun beside another change', held, { ...rewinding, holder: g2 }],
    ['begun without an epoch', held, { ...rewinding, epoch: epoch(1) }],
    [
      'moved elsewhere',
      rewinding,
      { ...rewinding, n: rewinding.n + 1, rewind: { ...rewinding.rewind, id: 'w2' } },
    ],
  ])('a rewind that is %s is caught', (_, before, after) => {
    const { rewind, ...rest } = after;
    const record = (rewind === undefined ? rest : after) as ControlRecord;
    expect(() => checkControlStep(before, record)).toThrow(/R\d\d/);
  });

  test('whatever is done, in whatever order, no rule is broken', () => {
    const acts: readonly ((record: ControlRecord, step: number) => Transition)[] = [
      (r, step) => begin(r, `w${step}`),
      (r) => endRewind(r, { id: r.rewind?.id ?? 'none', holder: r.holder ?? g1 }),
      (r, step) =>
        acquire(r, { region: r.primary, holder: { ...g1, incarnation: `i${step}` }, lapsed: true }),
      (r) => release(r, { holder: r.holder ?? g1, drainedTo: lsn(7) }),
      (r) => renew(r, r.holder ?? g1),
      (r, step) => beginSwitchover(r, { id: `s${step}`, to: r.primary === us ? eu : us, startedAtMs: 1 }),
      (r, step) =>
        beginFailover(r, {
          id: `f${step}`,
          to: r.primary === us ? eu : us,
          allowDataLoss: true,
          startedAtMs: 1,
          lapsed: true,
        }),
      (r) => completeMove(r, { id: r.move?.id ?? '', region: r.move?.to ?? us, holder: null }),
      (r) => abortMove(r, { id: r.move?.id ?? '' }),
      (r, step) => setPolicy(r, { automatic: step % 2 === 0 }),
    ];
    let begun = 0;
    fc.assert(
      fc.property(fc.array(fc.nat(acts.length - 1), { maxLength: 40 }), (picks) => {
        let record = vacant;
        for (const [step, pick] of picks.entries()) {
          const transition = acts[pick]?.(record, step);
          if (transition?.kind !== 'next') continue;
          checkControlStep(record, transition.record);
          record = transition.record;
          checkControlRecord(record);
          if (record.rewind !== undefined) begun += 1;
        }
      }),
      // A list drawn by chance seldom has a holder and then a rewind: some hundred of so many do.
      { numRuns: 5_000 },
    );
    expect(begun).toBeGreaterThan(0);
  });
});
