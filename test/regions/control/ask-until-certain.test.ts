import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { askUntilCertain } from '../../../regions/control/ask-until-certain.ts';

/** Answers each asking after its time with its word; a word of null is no certain one. Notes when it was asked. */
function leader(...answers: readonly (readonly [afterMs: number, word: string | null])[]) {
  const beganMs = performance.now();
  const askedAtMs: number[] = [];
  const ask = async (timeoutMs: number): Promise<string | null> => {
    const [afterMs, word] = answers[askedAtMs.length] ?? [0, null];
    askedAtMs.push(performance.now() - beganMs);
    return afterMs < timeoutMs ? delay(afterMs, word) : delay(timeoutMs, null);
  };
  const asked = (limitMs: number) =>
    askUntilCertain({
      ask,
      certain: (answer: string | null) => answer,
      againMs: 20,
      besideMs: limitMs / 2,
      deadlineMs: beganMs + limitMs,
    });
  return { asked, askedAtMs };
}

const never = 10_000;

describe('the leader of the control stream is asked', () => {
  test('again beside a question that it is silent about, and the late answer to the first one counts', async () => {
    const { asked, askedAtMs } = leader([300, 'first'], [never, 'second']);
    expect(await asked(400)).toBe('first');
    expect(askedAtMs).toHaveLength(2);
  });

  test('again when it died with the question', async () => {
    const { asked } = leader([never, 'lost'], [10, 'successor']);
    expect(await asked(400)).toBe('successor');
  });

  test('again soon when its answer makes nothing certain, and only as often as it answers', async () => {
    const { asked, askedAtMs } = leader([0, null], [0, null], [0, 'third']);
    expect(await asked(2_000)).toBe('third');
    expect(askedAtMs).toHaveLength(3);
  });

  test('no more after the time is up', async () => {
    const { asked, askedAtMs } = leader([never, 'late'], [never, 'later']);
    const beganMs = performance.now();
    expect(await asked(200)).toBeNull();
    expect(performance.now() - beganMs).toBeGreaterThan(190);
    await delay(100);
    expect(askedAtMs).toHaveLength(2);
  });
});
