import { describe, expect, test } from 'vitest';
import {
  acquire,
  type ControlRecord,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { beginRewind } from '../../../regions/control/core/rewind-record.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';
import { Bench, bench, failingOverTo, me, us } from '../control/writer-role/writer-role-bench.ts';
import { next } from '../control-records.ts';

const to = { epoch: epoch(1), lsn: lsn(100) };
const rewound = (record: ControlRecord): ControlRecord =>
  next(beginRewind(record, { id: 'w1', to, startedAtMs: 0 }));

describe('R76: a writer that the record asks to go back', () => {
  test('drains, goes back under the same lease, and ends the rewind once it writes', () => {
    const at = bench('writing');
    at.change(rewound(at.record));
    expect(at.show()).toEqual(['drain']);
    expect(at.effects.at(-1)).toEqual({ kind: 'drain', epoch: 1, to: null });
    expect(at.tick(10)).toEqual([]);
    expect(at.step({ kind: 'drained', epoch: epoch(1), lsn: lsn(200) })).toEqual(['close', 'recover']);
    expect(at.effects.slice(-2)).toMatchObject([
      { kind: 'close', epoch: 1, reason: 'rewound' },
      { kind: 'recover', epoch: 2, rewind: { id: 'w1', to } },
    ]);
    expect(at.record.holder).toEqual(me);
    // What ended for the old reign ends nothing of the new one.
    expect(at.step({ kind: 'quorumLost', epoch: epoch(1) })).toEqual([]);
    expect(at.step({ kind: 'recovered', epoch: epoch(2), vdl: lsn(100) })).toEqual(['open', 'write']);
    expect(at.record.rewind).toBeDefined();
    at.answer(at.apply());
    expect(at.record.rewind).toBeUndefined();
    expect([at.role.phase, at.role.epoch]).toEqual(['writing', 2]);
    expect(at.role.mayAcknowledge(at.nowMs)).toBe(true);
  });

  test('is finished by who takes over, whether the first got as far as forking or not', () => {
    const held = acquire(initialControlRecord(us), {
      region: us,
      holder: { ...me, incarnation: 'before' },
      lapsed: false,
    });
    const at = new Bench(rewound(next(held)));
    at.show();
    at.answer(at.apply());
    expect(at.effects.at(-1)).toMatchObject({ kind: 'recover', epoch: 3, rewind: { epoch: 2, to } });
    at.step({ kind: 'recovered', epoch: epoch(3), vdl: lsn(100) });
    at.answer(at.apply());
    expect(at.record).toMatchObject({ epoch: 3, holder: me });
    expect(at.record.rewind).toBeUndefined();
  });

  test('gives its lease back when it loses the quorum meanwhile; the record keeps the rewind for the next', () => {
    const at = bench('writing');
    at.change(rewound(at.record));
    at.show();
    at.step({ kind: 'quorumLost', epoch: epoch(1) });
    at.answer(at.apply());
    expect(at.record).toMatchObject({ holder: null, rewind: { id: 'w1' } });
  });

  test('tries a recovery that took too long again with what it has to go back to', () => {
    const at = bench('writing');
    at.change(rewound(at.record));
    at.show();
    at.step({ kind: 'drained', epoch: epoch(1), lsn: lsn(200) });
    at.step({ kind: 'recoveryTimedOut', epoch: epoch(2), mayHaveForked: false });
    expect(at.effects.at(-1)).toMatchObject({ kind: 'recover', epoch: 2, rewind: { id: 'w1' } });
  });

  test('is deposed by a failover like any other, and the target finishes what it began', () => {
    const at = bench('writing');
    at.change(rewound(at.record));
    at.show();
    at.change(failingOverTo(at.record));
    expect(at.show()).toContain('close');
    expect(at.record.rewind).toMatchObject({ id: 'w1' });
  });
});
