import { describe, expect, it } from 'vitest';
import { type RecoveryEnd, roleEventOf } from '../../../gateway/reign/core/recovery-end.ts';
import type { RoleEvent } from '../../../regions/control/writer/core/writer-role-events.ts';
import { epoch, lsn } from '../../../storage/redo/ids.ts';

describe('the end of a recovery', () => {
  const reign = epoch(7);
  const timedOut = (mayHaveForked: boolean): RoleEvent => ({
    kind: 'recoveryTimedOut',
    epoch: reign,
    mayHaveForked,
  });
  const table: readonly (readonly [RecoveryEnd, RoleEvent | null])[] = [
    [
      { kind: 'recovered', outcome: { vdl: lsn(9) } },
      { kind: 'recovered', epoch: reign, vdl: lsn(9) },
    ],
    [{ kind: 'fenced' }, { kind: 'fenced', epoch: reign }],
    [{ kind: 'failed' }, { kind: 'recoveryFailed', epoch: reign }],
    [{ kind: 'timeout', phase: 'sealing' }, timedOut(false)],
    [{ kind: 'timeout', phase: 'surveying' }, timedOut(false)],
    [{ kind: 'timeout', phase: 'replicating' }, timedOut(false)],
    [{ kind: 'timeout', phase: 'forking' }, timedOut(true)],
    [{ kind: 'aborted' }, null],
  ];
  for (const [end, event] of table) {
    it(`${end.kind}${end.kind === 'timeout' ? ` while ${end.phase}` : ''} is told as ${event?.kind ?? 'nothing'}`, () => {
      expect(roleEventOf(reign, end)).toEqual(event);
    });
  }
});
