import { describe, expect, test } from 'vitest';
import { type InVain, WriterSilence } from '../../../gateway/forward/core/writer-silence.ts';
import type { WriterStanding } from '../../../gateway/forward/core/writer-standing.ts';

const limits = { forwardSilenceMs: 5_000 };
const standings: readonly WriterStanding[] = ['writes', 'relieved', 'replaced', 'deposed'];

/** When a writer that was asked every `everyMs`, always with the same result, is given up; null if never within a minute. */
function givenUpAfter(how: InVain, standing: WriterStanding, everyMs = 100): number | null {
  const silence = new WriterSilence(limits, 0);
  for (let nowMs = everyMs; nowMs < 60_000; nowMs += everyMs) {
    silence.unanswered(how);
    if (silence.verdict(standing, nowMs) !== null) return nowMs;
  }
  return null;
}

describe('the fate of a statement is unknown (G113)', () => {
  test('after forwardSilenceMs of silence, and soon when a failover has deposed the writer', () => {
    const after = standings.map((standing) => givenUpAfter('silent', standing));
    expect(after).toEqual([5_100, 5_100, 5_100, 1_600]);
  });

  test('not at once when nobody listens, unless its region has another writer or a failover has deposed it', () => {
    const after = standings.map((standing) => givenUpAfter('nobody', standing));
    expect(after).toEqual([5_100, 5_100, 100, 100]);
  });

  test('later when the asking gateway itself has no connection, whatever is known of the writer', () => {
    for (const standing of standings) expect(givenUpAfter('unsent', standing)).toBe(10_100);
  });

  test('never after one question, however long that was on its way', () => {
    expect(givenUpAfter('silent', 'writes', 9_000)).toBe(18_000);
  });
});

test('a sign of life ends the silence: a connection that was made again brings the answer', () => {
  const silence = new WriterSilence(limits, 0);
  const verdicts: (string | null)[] = [];
  for (let nowMs = 100; nowMs < 30_000; nowMs += 100) {
    if (nowMs % 4_000 === 0) silence.heard(nowMs);
    else silence.unanswered('nobody');
    verdicts.push(silence.verdict('relieved', nowMs));
  }
  expect(new Set(verdicts)).toEqual(new Set([null]));
});

test('the reason names what was seen', () => {
  const reason = (how: InVain, standing: WriterStanding): string | null => {
    const silence = new WriterSilence(limits, 0);
    for (const _ of [1, 2]) silence.unanswered(how);
    return silence.verdict(standing, 11_000);
  };
  expect(reason('silent', 'writes')).toContain('said nothing for forwardSilenceMs = 5000');
  expect(reason('nobody', 'writes')).toContain('nobody has listened');
  expect(reason('nobody', 'replaced')).toContain('has gone');
  expect(reason('unsent', 'deposed')).toContain('this gateway has had no connection');
});
