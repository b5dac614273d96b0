import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ControlView } from '../../../regions/control/core/control-port.ts';
import {
  acquire,
  beginFailover,
  beginSwitchover,
  type ControlRecord,
  completeMove,
  initialControlRecord,
  release,
} from '../../../regions/control/core/control-record.ts';
import { moveLimits } from '../../../regions/control/core/move-limits.ts';
import {
  beginMove,
  cancelProblem,
  type MoveEvent,
  type MovePhase,
  type MoveState,
  resumedMove,
  stepMove,
} from '../../../regions/moves/core/move-machine.ts';
import { epoch, lsn, regionId } from '../../../storage/redo/ids.ts';
import { next } from '../control-records.ts';

const [us, eu, ap] = [regionId('us-east-1'), regionId('eu-west-1'), regionId('ap-northeast-1')];
const [old, fresh] = [
  { gateway: 'g1', incarnation: 'us' },
  { gateway: 'g1', incarnation: 'eu' },
];

/** The record as it is before, during and after each kind of move to eu-west-1. */
const held = next(acquire(initialControlRecord(us), { region: us, holder: old, lapsed: false }));
const about = { id: 'm', to: eu, startedAtMs: 0 };
const switching = next(beginSwitchover(held, about));
const drained = next(release(switching, { holder: old, drainedTo: lsn(100) }));
const failing = next(beginFailover(held, { ...about, allowDataLoss: true, lapsed: true }));
const taken = next(completeMove(drained, { id: 'm', region: eu, holder: fresh }));
const elsewhere = next(
  acquire(initialControlRecord(ap, epoch(5)), { region: ap, holder: old, lapsed: false }),
);
const records = { held, switching, drained, failing, taken, elsewhere };

const view = (record: ControlRecord, seq = record.n): ControlView => ({ seq, record });
const looked = (change: Partial<Extract<MoveEvent, { kind: 'looked' }>> = {}): MoveEvent => ({
  kind: 'looked',
  view: view(held),
  stillMs: 0,
  lapsed: false,
  better: null,
  vdl: lsn(90),
  writing: null,
  unready: null,
  ...change,
});
const begin = (kind: MoveState['kind']): MoveState =>
  beginMove({ id: 'm', kind, target: eu, from: us }, 0).move;
const in_ = (kind: MoveState['kind'], phase: MovePhase, change: Partial<MoveState> = {}): MoveState => ({
  ...begin(kind),
  phase,
  ...change,
});

/** One row: from a phase, by an event, to a phase, with what it says to do. */
type Row = readonly [string, MoveState, MoveEvent, MovePhase, readonly string[], number?];
const late = moveLimits.failoverMs;
const rows: readonly Row[] = [
  [
    'the record says that it begins',
    in_('switchover', 'preparing'),
    { kind: 'changed', view: view(switching) },
    'draining',
    [],
  ],
  [
    'the target is about to be ready',
    in_('switchover', 'waiting-for-target'),
    looked({ unready: { code: 'TARGET_BEHIND', message: 'x', passes: true } }),
    'waiting-for-target',
    [],
    moveLimits.switchoverTargetMs - 1,
  ],
  ['the target is ready', in_('switchover', 'waiting-for-target'), looked(), 'preparing', ['begin']],
  [
    'the target is not ready in time',
    in_('switchover', 'waiting-for-target'),
    looked({ unready: { code: 'TARGET_BEHIND', message: 'x', passes: true } }),
    'ended',
    [],
    moveLimits.switchoverTargetMs,
  ],
  [
    'waiting does not help the target any more',
    in_('switchover', 'waiting-for-target'),
    looked({ unready: { code: 'TARGET_NOT_READY', message: 'x', passes: false } }),
    'ended',
    [],
  ],
  ['it is cancelled', in_('switchover', 'waiting-for-target'), { kind: 'cancelled' }, 'ended', []],
  [
    'it is refused',
    in_('switchover', 'preparing'),
    { kind: 'refused', code: 'moving', reason: 'x' },
    'ended',
    [],
  ],
  [
    'the record cannot be changed',
    in_('switchover', 'preparing'),
    { kind: 'unavailable', reason: 'x' },
    'ended',
    [],
  ],
  [
    'the old writer has released',
    in_('switchover', 'draining'),
    looked({ view: view(drained) }),
    'catching-up',
    [],
  ],
  [
    'the old writer drains on',
    in_('switchover', 'draining'),
    looked({ view: view(switching) }),
    'draining',
    [],
  ],
  [
    'the old writer does not drain in time',
    in_('switchover', 'draining'),
    looked({ view: view(switching) }),
    'giving-up',
    ['abort'],
    late,
  ],
  [
    'the target has taken over',
    in_('switchover', 'catching-up'),
    looked({ view: view(taken) }),
    'promoting',
    [],
  ],
  ['another region has', in_('switchover', 'catching-up'), looked({ view: view(elsewhere) }), 'ended', []],
  [
    'the target does not take over in time',
    in_('switchover', 'catching-up'),
    looked({ view: view(drained) }),
    'giving-up',
    ['abort'],
    late,
  ],
  ['it is cancelled', in_('switchover', 'catching-up'), { kind: 'cancelled' }, 'giving-up', ['abort']],
  [
    'the gateway of the target writes',
    in_('switchover', 'promoting', { taken: epoch(2) }),
    looked({ view: view(taken), writing: epoch(2) }),
    'ended',
    [],
  ],
  [
    'it wrote in an earlier reign',
    in_('switchover', 'promoting', { taken: epoch(2) }),
    looked({ view: view(taken), writing: epoch(1) }),
    'promoting',
    [],
  ],
  [
    'the holder has not renewed for long',
    in_('failover', 'waiting-for-lease'),
    looked({ stillMs: moveLimits.sealAfterMs }),
    'waiting-for-lease',
    ['seal'],
  ],
  [
    'the holder has renewed just now',
    in_('failover', 'waiting-for-lease'),
    looked({}),
    'waiting-for-lease',
    [],
  ],
  [
    'the lease has lapsed',
    in_('failover', 'waiting-for-lease'),
    looked({ lapsed: true }),
    'deposing',
    ['depose'],
  ],
  [
    'its storage is sealed',
    in_('failover', 'waiting-for-lease', { fenced: epoch(1) }),
    looked({}),
    'deposing',
    ['depose'],
  ],
  [
    'the storage of an earlier reign is sealed',
    in_('failover', 'waiting-for-lease', { fenced: epoch(0) }),
    looked({}),
    'waiting-for-lease',
    [],
  ],
  [
    'the lease has lapsed and a survivor holds more',
    in_('failover', 'waiting-for-lease'),
    looked({ lapsed: true, better: ap }),
    'pulling',
    ['pull'],
  ],
  ['it holds as much', in_('failover', 'pulling'), looked({}), 'deposing', ['depose']],
  [
    'pulling stands still',
    in_('failover', 'pulling', { pulled: { vdl: lsn(90), atMs: 0 } }),
    looked({ better: ap }),
    'deposing',
    ['depose'],
    moveLimits.pullStillMs,
  ],
  [
    'pulling gets on',
    in_('failover', 'pulling', { pulled: { vdl: lsn(80), atMs: 0 } }),
    looked({ better: ap }),
    'pulling',
    ['pull'],
    moveLimits.pullStillMs,
  ],
  [
    'somebody renewed in between',
    in_('failover', 'deposing'),
    { kind: 'refused', code: 'held', reason: 'x' },
    'waiting-for-lease',
    [],
  ],
  [
    'the primary holds more and fell silent a moment ago',
    in_('failover', 'deposing'),
    { kind: 'refused', code: 'primary-silent', reason: 'x' },
    'waiting-for-lease',
    [],
  ],
  [
    'the judgement is against it',
    in_('failover', 'deposing'),
    { kind: 'refused', code: 'TARGET_BEHIND', reason: 'x' },
    'ended',
    [],
  ],
  [
    'the old writer is deposed',
    in_('failover', 'deposing'),
    { kind: 'changed', view: view(failing) },
    'promoting',
    [],
  ],
  [
    'it was cancelled meanwhile',
    in_('failover', 'deposing', { why: { code: 'CANCELLED', message: '' } }),
    { kind: 'changed', view: view(failing) },
    'giving-up',
    ['abort'],
  ],
  [
    'nobody takes over in time',
    in_('failover', 'promoting'),
    looked({ view: view(failing) }),
    'ended',
    [],
    late,
  ],
  [
    'nobody takes over, and it is driven by another region',
    in_('failover', 'promoting', { isGuarded: true }),
    looked({ view: view(failing) }),
    'giving-up',
    ['abort'],
    late,
  ],
  ['it is cancelled', in_('failover', 'promoting'), { kind: 'cancelled' }, 'giving-up', ['abort']],
  [
    'it is cancelled too late',
    in_('failover', 'promoting', { taken: epoch(2) }),
    { kind: 'cancelled' },
    'promoting',
    [],
  ],
  [
    'the target takes over all the same',
    in_('switchover', 'giving-up'),
    looked({ view: view(taken) }),
    'promoting',
    [],
  ],
  [
    'the record cannot be changed back yet',
    in_('switchover', 'giving-up'),
    { kind: 'unavailable', reason: 'x' },
    'giving-up',
    ['abort'],
  ],
  [
    'the record is changed back',
    in_('switchover', 'giving-up'),
    { kind: 'changed', view: view(held) },
    'ended',
    [],
  ],
];

describe('a move in a phase', () => {
  for (const [name, move, event, phase, effects, nowMs = 1] of rows) {
    test(`${move.kind}, ${move.phase}: ${name}`, () => {
      const step = stepMove(move, event, nowMs);
      expect([step.move.phase, step.effects.map(({ kind }) => kind)]).toEqual([phase, effects]);
      expect(step.move.phase === 'ended').toBe(step.move.outcome !== null);
    });
  }

  test('a failover of a writer that renews is over after the second renewal', () => {
    let move = begin('failover');
    for (const seq of [5, 6, 7]) move = stepMove(move, looked({ view: view(held, seq) }), seq).move;
    expect(move.outcome).toMatchObject({ kind: 'failed', code: 'PRIMARY_ALIVE' });
  });

  test('what was seen before its own change decides nothing', () => {
    const begun = in_('switchover', 'draining', { since: 10 });
    expect(stepMove(begun, looked({ view: view(held, 9) }), 1).move).toEqual(begun);
    expect(stepMove(begun, looked({ view: view(held, 10) }), 1).move.outcome).toMatchObject({
      code: 'ABORTED',
    });
  });
});

describe('any move', () => {
  const event: fc.Arbitrary<MoveEvent> = fc.oneof(
    fc
      .record({
        view: fc.constantFrom(null, ...Object.values(records).map((record) => view(record))),
        stillMs: fc.constantFrom(0, 60_000),
        lapsed: fc.boolean(),
        better: fc.constantFrom(null, ap),
        vdl: fc.constantFrom(lsn(90), lsn(100)),
        writing: fc.constantFrom(null, epoch(1), epoch(2)),
      })
      .map((facts) => looked(facts)),
    fc.constantFrom<MoveEvent>(
      { kind: 'changed', view: view(switching) },
      { kind: 'changed', view: view(failing) },
      { kind: 'refused', code: 'held', reason: 'x' },
      { kind: 'refused', code: 'TARGET_BEHIND', reason: 'x' },
      { kind: 'unavailable', reason: 'x' },
      { kind: 'fenced', epoch: epoch(1) },
      { kind: 'cancelled' },
    ),
  );
  const history = fc.array(fc.tuple(event, fc.constantFrom(0, 100, 9_000)), { maxLength: 30 });

  test('has an outcome exactly when it has ended, and nothing follows', () => {
    fc.assert(
      fc.property(fc.constantFrom('switchover', 'failover'), history, (kind, events) => {
        let move = begin(kind);
        let nowMs = 0;
        for (const [each, afterMs] of events) {
          nowMs += afterMs;
          const step = stepMove(move, each, nowMs);
          if (move.phase === 'ended') expect(step).toEqual({ move, effects: [] });
          move = step.move;
          expect(move.outcome !== null).toBe(move.phase === 'ended');
        }
      }),
    );
  });

  test('is done only with a writer of the epoch in which the target took over', () => {
    fc.assert(
      fc.property(fc.constantFrom('switchover', 'failover'), history, (kind, events) => {
        let move = begin(kind);
        for (const [each] of events) move = stepMove(move, each, 1).move;
        if (move.outcome?.kind === 'done')
          expect(move.outcome.epoch).toBeGreaterThanOrEqual(move.taken ?? 99);
      }),
    );
  });

  test('may be cancelled until the target has taken over', () => {
    expect(cancelProblem(in_('failover', 'promoting'))).toBeNull();
    expect(cancelProblem(in_('failover', 'promoting', { taken: epoch(2) }))).toContain(
      'taken over in epoch 2',
    );
  });

  test('goes on where the record says that it is', () => {
    const resume = (record: ControlRecord): MovePhase | null =>
      record.move === null ? null : resumedMove(record.move, view(record), false, 5).phase;
    expect([switching, drained, failing].map(resume)).toEqual(['draining', 'catching-up', 'promoting']);
  });
});
