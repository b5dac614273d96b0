import { describe, expect, test } from 'vitest';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import {
  bytesBeyond,
  type FailoverVerdict,
  type Held,
  holdsMore,
  judgeFailover,
  type Survivor,
} from '../../../regions/control/core/survivors.ts';
import type { Fork } from '../../../storage/history/epoch-tree.ts';
import { epoch, lsn, mainBranch, regionId } from '../../../storage/redo/ids.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const fork = (reign: number, parent: number, at: number): Fork => ({
  epoch: epoch(reign),
  branch: mainBranch,
  parent: epoch(parent),
  forkLsn: lsn(at),
});
/** us-east-1 reigned from 0 on; ap-northeast-1 went on from 1,000; eu-west-1 went on from there at 2,000. */
const path = [fork(1, 0, 0), fork(2, 1, 1_000), fork(3, 2, 2_000)];
const held = (reign: number, vdl: number, forks = path.slice(0, reign)): Held => ({
  epoch: epoch(reign),
  vdl: lsn(vdl),
  forks,
});

describe('what one region holds and another lacks', () => {
  const cases: readonly (readonly [
    string,
    Held,
    Held,
    { readonly bytes: number | null; readonly more: boolean },
  ])[] = [
    ['on one path, the difference', held(2, 1_500), held(2, 1_700), { bytes: 200, more: true }],
    ['on one path, nothing when level', held(2, 1_500), held(2, 1_500), { bytes: 0, more: false }],
    ['on one path, nothing when behind', held(2, 1_500), held(2, 1_400), { bytes: 0, more: false }],
    [
      'of a newer reign, all beyond its fork, however long the tail beside it',
      held(1, 1_900),
      held(2, 1_500),
      { bytes: 500, more: true },
    ],
    [
      'of a newer reign, nothing when it has not reached the fork of it',
      held(1, 900),
      held(2, 600),
      { bytes: 0, more: false },
    ],
    ['of an older reign, what is history', held(2, 600), held(1, 900), { bytes: 300, more: true }],
    [
      'of an older reign, nothing that was left behind',
      held(2, 1_000),
      held(1, 1_900),
      { bytes: 900, more: false },
    ],
    [
      'of a newer reign whose path is not known, an unknown number',
      held(1, 900, []),
      held(2, 1_500, []),
      { bytes: null, more: true },
    ],
    [
      'of an older reign whose path is not known, nothing',
      held(2, 600, []),
      held(1, 900, []),
      { bytes: null, more: false },
    ],
    ['of any reign, everything when one is empty', held(0, 0), held(2, 1_500), { bytes: 1_500, more: true }],
  ];
  test.each(cases)('is %s', (_name, mine, other, expected) => {
    expect({ bytes: bytesBeyond(mine, other), more: holdsMore(other, mine) }).toEqual(expected);
  });
});

/** ap-northeast-1 is the primary, in epoch 2. */
const record: ControlRecord = (() => {
  const holder = { gateway: 'g1', incarnation: 'a' };
  const taken = acquire(initialControlRecord(ap, epoch(1)), { region: ap, holder, lapsed: false });
  if (taken.kind === 'refused') throw new Error(taken.reason);
  return taken.record;
})();
const survivor = (region: Survivor['region'], change: Partial<Survivor> = {}): Survivor => ({
  region,
  held: held(2, 1_500),
  followed: ap,
  heardMsAgo: 100,
  primaryVdl: lsn(1_600),
  levelMsAgo: 0,
  ...change,
});

describe('a failover to eu-west-1', () => {
  const judge = (survivors: readonly Survivor[], ...sacrifice: Survivor['region'][]): FailoverVerdict =>
    judgeFailover({ target: eu, record, survivors, sacrifice });
  const cases: readonly (readonly [
    string,
    readonly Survivor[],
    { readonly code: string; readonly says: readonly string[] } | null,
    (readonly Survivor['region'][])?,
  ])[] = [
    ['is possible when it is the only one heard', [survivor(eu)], null],
    ['is possible when another holds as much', [survivor(eu), survivor(us)], null],
    [
      'is refused while another holds more, with both positions, the bytes and the way out',
      [survivor(eu), survivor(us, { held: held(2, 1_550) })],
      {
        code: 'TARGET_BEHIND',
        says: [
          'us-east-1, heard 100 ms ago, holds LSN 1550 of epoch 2; eu-west-1 holds LSN 1500 of epoch 2: 50 B of redo would be thrown away',
          'sextant failover --to us-east-1 --allow-data-loss',
          '--sacrifice us-east-1',
        ],
      },
    ],
    [
      'is refused in favour of the best of several',
      [
        survivor(eu, { held: held(1, 1_900) }),
        survivor(us, { held: held(2, 1_400) }),
        survivor(ap, { held: held(2, 1_450) }),
      ],
      { code: 'TARGET_BEHIND', says: ['ap-northeast-1', '450 B of redo'] },
    ],
    [
      'advises to let a primary that is alive catch it up',
      [survivor(eu), survivor(ap, { held: held(2, 1_600) })],
      { code: 'TARGET_BEHIND', says: ['start a gateway there, or wait until eu-west-1 has caught up'] },
    ],
    [
      'is possible past a better one that is given up by name',
      [survivor(eu), survivor(us, { held: held(2, 1_550) })],
      null,
      [us],
    ],
    [
      'is not possible past a better one when another is given up',
      [survivor(eu), survivor(us, { held: held(2, 1_550) })],
      { code: 'TARGET_BEHIND', says: ['us-east-1'] },
      [ap],
    ],
    [
      'is refused while it does not know what it holds: unknown is not 0',
      [survivor(eu, { held: null })],
      { code: 'TARGET_NOT_READY', says: ['fewer than three of the six'] },
    ],
    [
      'is refused while another that is alive does not know what it holds',
      [survivor(eu), survivor(us, { held: null })],
      { code: 'SURVIVOR_UNKNOWN', says: ['--sacrifice us-east-1'] },
    ],
    [
      'does not ask a primary that does not know what it holds',
      [survivor(eu), survivor(ap, { held: null })],
      null,
    ],
    [
      'is refused when it never followed the last primary, though nobody holds more',
      [survivor(eu, { held: held(1, 1_900), followed: us, primaryVdl: lsn(1_900) })],
      {
        code: 'TARGET_NOT_JOINED',
        says: [
          'has not joined: it holds LSN 1900 of epoch 1 and never followed epoch 2',
          '--sacrifice ap-northeast-1',
        ],
      },
    ],
    [
      'is possible without the last reign when the lost primary is given up by name',
      [survivor(eu, { held: held(1, 1_900), followed: us })],
      null,
      [ap],
    ],
    [
      'is possible when only the newest reign of the primary it followed never arrived',
      [survivor(eu, { held: held(1, 900), followed: ap })],
      null,
    ],
  ];
  for (const [name, survivors, refusal, sacrifice = []] of cases) {
    test(name, () => {
      const verdict = judge(survivors, ...sacrifice);
      expect(verdict.kind === 'refused' ? verdict.code : null).toBe(refusal?.code ?? null);
      for (const said of refusal?.says ?? [])
        expect(verdict.kind === 'refused' ? verdict.reason : '').toContain(said);
    });
  }

  test('knows what anybody heard of the lost primary, and nothing of a reign before', () => {
    const heard = judge([
      survivor(eu, { primaryVdl: null }),
      survivor(us, { held: held(2, 1_400), primaryVdl: lsn(1_650) }),
    ]);
    expect(heard).toEqual({ kind: 'possible', vdl: 1_500, primaryVdl: 1_650 });
    const alone = judgeFailover({
      target: eu,
      record: { ...record, epoch: epoch(5) },
      survivors: [survivor(eu, { held: held(2, 1_500) })],
      sacrifice: [ap],
    });
    expect(alone).toEqual({ kind: 'possible', vdl: 1_500, primaryVdl: null });
  });
});
