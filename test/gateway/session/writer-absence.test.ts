import { describe, expect, test } from 'vitest';
import { type WriterAbsence, writerAbsence } from '../../../gateway/session/core/writer-absence.ts';
import {
  acquire,
  beginSwitchover,
  initialControlRecord,
} from '../../../regions/control/core/control-record.ts';
import { regionId } from '../../../storage/redo/ids.ts';
import { next } from '../../regions/control-records.ts';

const [us, eu] = [regionId('us-east-1'), regionId('eu-west-1')];
const free = initialControlRecord(eu);
const held = next(acquire(free, { region: eu, holder: { gateway: 'g1', incarnation: 'a' }, lapsed: false }));

describe('a statement that found no writer is told', () => {
  const cases: readonly (readonly [string, Partial<WriterAbsence>, string, RegExp])[] = [
    [
      'that the record cannot be read',
      { record: null },
      'SEXTANT_NO_WRITER',
      /could not read the control record/,
    ],
    [
      'how old the record is, and to ask elsewhere, when it cannot be read any more',
      { ageMs: 14_000, isQuorumLost: true },
      'SEXTANT_NO_WRITER',
      /was current 14 s ago, and may be outdated.*gateway of another region/,
    ],
    ['of a lost quorum', { isQuorumLost: true }, 'SEXTANT_QUORUM_LOST', /Fewer than four/],
    [
      'of a move',
      { record: next(beginSwitchover(held, { id: 'm', to: us, startedAtMs: 0 })) },
      'SEXTANT_MOVE_IN_PROGRESS',
      /switchover to us-east-1/,
    ],
    [
      'that nobody became the writer',
      { record: free },
      'SEXTANT_NO_WRITER',
      /became the writer.*consider a failover/,
    ],
    [
      'that the writer is not reached from here, which is no reason for a failover',
      {},
      'SEXTANT_NO_WRITER',
      /did not reach g1 of eu-west-1, which holds the lease/,
    ],
  ];
  test.each(cases)('%s', (_name, change, code, says) => {
    const error = writerAbsence({
      record: held,
      ageMs: 0,
      isQuorumLost: false,
      isMine: false,
      writeWaitMs: 10_000,
      ...change,
    });
    expect(error.code).toBe(code);
    expect(error.message).toMatch(says);
    // It may have been a read.
    expect(error.message).toMatch(/the statement did not run/);
    expect(error.message).not.toMatch(/took the write/);
  });
});
