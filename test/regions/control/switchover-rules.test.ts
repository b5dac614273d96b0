import { expect, test } from 'vitest';
import {
  acquire,
  beginSwitchover,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import {
  type SwitchoverQuestion,
  switchoverProblem,
} from '../../../regions/control/core/switchover-rules.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const held = next(
  acquire(initialControlRecord(us), {
    region: us,
    holder: { gateway: 'g1', incarnation: 'a' },
    lapsed: false,
  }),
);
const may: SwitchoverQuestion = {
  target: eu,
  record: held,
  writer: 'g1',
  primaryHeard: true,
  following: true,
  lagMs: moveLimits.switchoverLagMsMax,
  stalledMs: 0,
  writableNodes: 4,
  gateways: 1,
  headless: false,
};

test('a region without a gateway is no target, and is told how it gets one', () => {
  const refused = switchoverProblem({ ...may, gateways: 0, headless: true });
  expect(refused).toMatchObject({ code: 'TARGET_NOT_READY' });
  expect(refused?.message).toContain('is headless: it has no gateway');
  expect(refused?.message).toContain(`sextant gateway add ${eu}`);
});

test('a switchover may begin to a region that follows closely and could write, with a whole zone of it lost', () => {
  expect(switchoverProblem(may)).toBeNull();
});

const cases: readonly (readonly [string, Partial<SwitchoverQuestion>, string, RegExp])[] = [
  ['to the primary itself', { target: us }, 'ALREADY_PRIMARY', /us-east-1 is the primary region already/],
  [
    'during another move',
    { record: next(beginSwitchover(held, { id: 'm', to: eu, startedAtMs: 0 })) },
    'MOVE_IN_PROGRESS',
    /switchover m to eu-west-1 is under way/,
  ],
  ['from a region whose writer is not heard', { writer: null }, 'NO_WRITER', /use a failover/],
  [
    'from a region where nobody holds the lease',
    { record: { ...held, holder: null } },
    'NO_WRITER',
    /use a failover/,
  ],
  [
    'to a region that does not receive',
    { following: false },
    'TARGET_NOT_READY',
    /not receiving from us-east-1/,
  ],
  [
    'to a region without a write quorum',
    { writableNodes: 3 },
    'TARGET_NOT_READY',
    /3 of its 6 storage nodes/,
  ],
  ['to a region that stands still', { stalledMs: 3_200 }, 'TARGET_BEHIND', /stored nothing for 3200 ms/],
  [
    'to a region that lags',
    { lagMs: moveLimits.switchoverLagMsMax + 1 },
    'TARGET_BEHIND',
    /it is 5001 ms behind/,
  ],
  ['to a region whose lag is unknown', { lagMs: null }, 'TARGET_BEHIND', /not known yet/],
  ['to a region without a gateway', { gateways: 0 }, 'TARGET_NOT_READY', /no gateway/],
];
for (const [name, change, code, message] of cases) {
  test(`a switchover is refused ${name}`, () => {
    expect(switchoverProblem({ ...may, ...change })).toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
}
