import { describe, expect, it } from 'vitest';
import { type ReadinessFacts, whyNotReady } from '../../../gateway/process/core/readiness.ts';
import { acquire, initialControlRecord } from '../../../regions/control/core/control-record.ts';
import { epoch, regionId } from '../../../storage/redo/ids.ts';

const us = regionId('us-east-1');
const eu = regionId('eu-west-1');
const taken = acquire(initialControlRecord(us), {
  region: us,
  holder: { gateway: 'g1', incarnation: 'a' },
  lapsed: false,
});
if (taken.kind === 'refused') throw new Error(taken.reason);

const ready: ReadinessFacts = {
  region: us,
  isAttached: true,
  record: taken.record,
  isMember: true,
  recordProblem: null,
  head: epoch(1),
  hasWriter: true,
  suspendedMs: null,
  writerSilentMs: 0,
  writerStuckMs: 0,
  readersWaitedMs: 0,
  doubtMs: 1_000,
  trouble: null,
  stall: null,
  hold: null,
};
const unavailable = { kind: 'unavailable', reason: 'no answer' } as const;

describe('a gateway', () => {
  it('of a region that has gone from the deployment is not ready, and says how it comes back', () => {
    expect(whyNotReady({ ...ready, isMember: false })).toEqual([
      expect.stringMatching(/is none of the regions of this deployment.*sextant region add us-east-1/),
    ]);
  });

  it('is ready when nothing speaks against it', () => {
    expect(whyNotReady(ready)).toEqual([]);
  });

  const cases: readonly (readonly [string, Partial<ReadinessFacts>, readonly RegExp[]])[] = [
    [
      'cannot renew the lease under which it writes',
      { hasWriter: false, suspendedMs: 1_234 },
      [/suspended since 1234 ms/],
    ],
    [
      'has a PostgreSQL engine that cannot start',
      { trouble: 'the PostgreSQL engine that writes cannot start: no page' },
      [/engine that writes cannot start: no page/],
    ],
    ['has no point to read at', { isAttached: false }, [/fewer than three storage nodes/]],
    ['has not read the record', { record: null }, [/has not been read yet/]],
    [
      'cannot read the record for the first time',
      { record: null, recordProblem: unavailable },
      [/no answer/],
    ],
    ['cannot read the record just now', { recordProblem: unavailable }, []],
    [
      'is in the primary region and its record is gone',
      { recordProblem: { kind: 'absent' } },
      [/lost|no control record/],
    ],
    [
      'is in a secondary region and its record is gone',
      { region: eu, recordProblem: { kind: 'absent' } },
      [],
    ],
    ['is in the primary region without a writer', { hasWriter: false }, [/has no writer/]],
    ['is in a secondary region and knows no writer', { region: eu, hasWriter: false }, []],
    [
      'has a thread that is stuck',
      { writerSilentMs: 1_000.6, writerStuckMs: 990 },
      [/no sign of life for 1001 ms: a statement keeps it/],
    ],
    [
      'has a thread that gets no CPU',
      { writerSilentMs: 9_000, writerStuckMs: 120.4 },
      [/no sign of life for 9000 ms: it waited for a CPU for all but 120 ms/],
    ],
    [
      'has no reading thread free',
      { readersWaitedMs: 2_000 },
      [/no reading thread has been free for 2000 ms/],
    ],
    ['stands still', { stall: 'reads stand still' }, [/^reads stand still$/]],
    [
      'has several troubles',
      { isAttached: false, hasWriter: false, stall: 'reads stand still' },
      [/fewer than three/, /has no writer/, /stand still/],
    ],
  ];
  for (const [what, facts, reasons] of cases) {
    it(`that ${what} gives ${reasons.length === 0 ? 'no reason' : `as reasons ${reasons.join(', ')}`}`, () => {
      const told = whyNotReady({ ...ready, ...facts });
      expect(told).toHaveLength(reasons.length);
      for (const [at, reason] of reasons.entries()) expect(told[at]).toMatch(reason);
    });
  }
});
