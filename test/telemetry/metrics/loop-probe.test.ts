import { describe, expect, it } from 'vitest';
import { loopProbeLimits, ProbePace, watchLoop } from '../../../telemetry/metrics/loop-probe.ts';

const { everyMs, restingMs, quietProbes, quietShare, quietDelayMs } = loopProbeLimits;

/** A pace that has been quiet long enough to rest. */
function rested(): ProbePace {
  const pace = new ProbePace();
  for (let at = 0; at < quietProbes; at++) pace.next(0, 0);
  return pace;
}

describe('the pace of the event loop probe', () => {
  it('is quick until the loop has been quiet for a second, and slow from then on', () => {
    const pace = new ProbePace();
    const waits = Array.from({ length: quietProbes + 2 }, () => pace.next(0, quietShare));
    expect(waits).toEqual([...Array(quietProbes - 1).fill(everyMs), restingMs, restingMs, restingMs]);
  });

  it('is quick again after one probe that was late, or of a loop that was busy', () => {
    expect(rested().next(quietDelayMs + 1, 0)).toBe(everyMs);
    expect(rested().next(0, quietShare + 0.01)).toBe(everyMs);
    const pace = rested();
    pace.next(quietDelayMs + 1, 0);
    expect(pace.next(0, 0), 'and stays so for a second').toBe(everyMs);
  });

  it('a loop that is held up tells how late its probe was', async () => {
    const seen: number[] = [];
    const stop = watchLoop((seconds) => seen.push(seconds));
    const until = performance.now() + 4 * everyMs;
    while (performance.now() < until);
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop();
    expect(seen[0]).toBeGreaterThan((2 * everyMs) / 1_000);
    const count = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 2 * everyMs));
    expect(seen).toHaveLength(count);
  });
});
