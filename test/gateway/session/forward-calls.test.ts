import { describe, expect, it } from 'vitest';
import { type CallState, owesAnswers } from '../../../gateway/session/forward-calls.ts';

const done: CallState = { kind: 'done', parts: [new Uint8Array(1)], bytes: 1 };
const cases: readonly [string, CallState, number, boolean][] = [
  ['runs', { kind: 'running', waiting: [] }, 60_000, true],
  ['has just been answered, and is not forgotten by its caller', done, 100, true],
  ['was answered a while ago', done, 2_000, false],
  ['is not whole yet', { kind: 'receiving', parts: [], bytes: 0 }, 0, false],
  ['was refused', { kind: 'refused', reason: 'busy', message: 'later' }, 0, false],
  ['was asked for before it came', { kind: 'cancelled' }, 0, false],
];

describe('a gateway that stops', () => {
  it.each(cases)('knows whether a call that %s is owed an answer (G104)', (_, state, agoMs, owes) => {
    const nowMs = 100_000;
    expect(owesAnswers([{ state, touchedAtMs: nowMs - agoMs }], nowMs)).toBe(owes);
  });
});
