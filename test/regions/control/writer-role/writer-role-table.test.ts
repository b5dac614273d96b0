import { describe, expect, test } from 'vitest';
import type {
  RoleEffect,
  RoleEvent,
  WriterPhase,
} from '../../../../regions/control/writer/core/writer-role-events.ts';
import { epoch, lsn } from '../../../../storage/redo/ids.ts';
import { type Bench, bench, failingOverTo, switchingTo, us } from './writer-role-bench.ts';

describe('writer role, event by event', () => {
  type Outcome = readonly [WriterPhase, ...RoleEffect['kind'][]] | 'throws';
  const events: Record<RoleEvent['kind'], (at: Bench) => RoleEvent> = {
    record: ({ seq, record }) => ({
      kind: 'record',
      view: { seq: seq + 1, record: record.primary === us ? failingOverTo(record) : switchingTo(record, us) },
    }),
    unseen: () => ({ kind: 'unseen' }),
    written: ({ seq }) => ({ kind: 'written', write: { kind: 'won', seq: seq + 1 } }),
    recovered: () => ({ kind: 'recovered', epoch: epoch(1), vdl: lsn(9) }),
    recoveryFailed: () => ({ kind: 'recoveryFailed', epoch: epoch(1) }),
    recoveryTimedOut: () => ({ kind: 'recoveryTimedOut', epoch: epoch(1), mayHaveForked: false }),
    fenced: () => ({ kind: 'fenced', epoch: epoch(1) }),
    quorumLost: () => ({ kind: 'quorumLost', epoch: epoch(1) }),
    engineLost: () => ({ kind: 'engineLost', epoch: epoch(1) }),
    drained: () => ({ kind: 'drained', epoch: epoch(1), lsn: lsn(700) }),
    regionVdl: () => ({ kind: 'regionVdl', head: epoch(1), vdl: lsn(9) }),
    holderFenced: () => ({ kind: 'holderFenced', reign: epoch(1) }),
    nodes: () => ({ kind: 'nodes', up: 3 }),
    shutdown: () => ({ kind: 'shutdown' }),
    tick: () => ({ kind: 'tick' }),
  };
  const stays = (phase: WriterPhase): Record<RoleEvent['kind'], Outcome> => ({
    record: [phase],
    unseen: [phase],
    written: 'throws',
    recovered: [phase],
    recoveryFailed: [phase],
    recoveryTimedOut: [phase],
    fenced: [phase],
    quorumLost: [phase],
    engineLost: [phase],
    drained: [phase],
    regionVdl: [phase],
    holderFenced: [phase],
    nodes: [phase],
    shutdown: [phase],
    tick: [phase],
  });
  const reigns = (phase: WriterPhase): Record<RoleEvent['kind'], Outcome> => ({
    ...stays(phase),
    record: ['reading', 'close', 'read'],
    fenced: ['reading', 'close', 'read'],
    quorumLost: ['releasing', 'close', 'write'],
    engineLost: ['releasing', 'close', 'write'],
    shutdown: ['releasing', 'close', 'write'],
  });
  const table: Record<WriterPhase, Record<RoleEvent['kind'], Outcome>> = {
    reading: stays('reading'),
    claiming: { ...stays('claiming'), written: ['recovering', 'recover'] },
    recovering: {
      ...reigns('recovering'),
      recovered: ['writing', 'open'],
      recoveryFailed: ['releasing', 'close', 'write'],
      recoveryTimedOut: ['recovering', 'recover'],
    },
    writing: reigns('writing'),
    draining: { ...reigns('draining'), drained: ['releasing', 'close', 'write'] },
    releasing: { ...stays('releasing'), written: ['reading'] },
  };

  const phases: readonly WriterPhase[] = [
    'reading',
    'claiming',
    'recovering',
    'writing',
    'draining',
    'releasing',
  ];
  for (const phase of phases) {
    for (const [kind, event] of Object.entries(events)) {
      const outcome = Object.entries(table[phase]).find(([name]) => name === kind)?.[1] ?? 'throws';
      test(`${phase}: ${kind} ${outcome === 'throws' ? 'is a broken invariant' : `leads to ${outcome.join(', ')}`}`, () => {
        const at = bench(phase);
        expect(at.role.phase).toBe(phase);
        const happens = event(at);
        if (outcome === 'throws') {
          expect(() => at.role.step(happens, at.nowMs)).toThrow('an outcome belongs to a write');
          return;
        }
        const effects = at.role.step(happens, at.nowMs).map((effect) => effect.kind);
        expect([at.role.phase, ...effects]).toEqual(outcome);
        expect(at.role.mayAcknowledge(at.nowMs)).toBe(
          ['recovering', 'writing', 'draining'].includes(outcome[0]),
        );
      });
    }
  }

  test('what belongs to another reign changes nothing', () => {
    const stranger = { epoch: epoch(7), vdl: lsn(0), lsn: lsn(0), mayHaveForked: true };
    const kinds = [
      'recovered',
      'recoveryFailed',
      'recoveryTimedOut',
      'fenced',
      'quorumLost',
      'drained',
    ] as const;
    for (const kind of kinds) {
      for (const phase of ['recovering', 'writing', 'draining'] as const) {
        const at = bench(phase);
        expect(at.step({ kind, ...stranger })).toEqual([]);
        expect(at.role.phase).toBe(phase);
      }
    }
  });
});
