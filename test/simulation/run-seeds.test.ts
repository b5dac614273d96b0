import { describe, expect, it } from 'vitest';
import type { Violation } from './judges/judge.ts';
import {
  concludeRun,
  exitCodes,
  type RunOne,
  type RunResult,
  runSeed,
  runSeeds,
  runSeedsInLanes,
} from './run-seeds.ts';
import { makeWorld } from './testing.ts';

const fine: RunResult = {
  hash: 'h',
  violations: [],
  stats: { writes: 2 },
  description: 'toy',
  tail: ['last'],
  crash: undefined,
};
const broken: Violation = { judge: 'durability', verdict: 'correctness', text: 'w1 is gone' };
const stuck: Violation = { judge: 'convergence', verdict: 'liveness', text: 'too late' };

const run = async (args: string, runOne: RunOne) => {
  const lines: string[] = [];
  const code = await runSeeds(args.split(' '), runOne, {
    line: (text) => lines.push(text),
    progress: () => {},
  });
  return { code, lines, text: lines.join('\n') };
};

describe('runSeeds', () => {
  it('runs the seeds asked for, without a profile each in turn, and sums their counters', async () => {
    const seen: string[] = [];
    const { code, text } = await run('--seeds 5 --from 3', (seed, profile) => {
      seen.push(`${seed} ${profile}`);
      return fine;
    });
    expect(code).toBe(exitCodes.ok);
    expect(seen).toEqual(['3 region-loss', '4 calm', '5 lite', '6 swarm', '7 region-loss']);
    expect(text).toBe('5 seeds, 0 failed: writes 10');
  });

  it('stops at the first failure, shows the trace and the findings, and prints the one command to repeat it', async () => {
    const { code, text } = await run('--seeds 9 --profile swarm', (seed) =>
      seed === 4 ? { ...fine, violations: [broken] } : fine,
    );
    expect(code).toBe(exitCodes.correctness);
    expect(text).toContain(
      '  last\ndurability (correctness): w1 is gone\nrepeat: npm run simulate -- --seed 4 --profile swarm',
    );
    expect(text).toContain('5 seeds, 1 failed');
  });

  it('answers with the code of the kind of failure, the worst one when it keeps going', async () => {
    const outcomes: RunOne = (seed) => {
      if (seed === 3) throw new Error('invariant S1');
      return {
        ...fine,
        violations: seed === 1 ? [stuck] : seed === 2 ? [stuck, broken] : [],
        crash: seed === 4 ? 'S2' : undefined,
      };
    };
    const codeOf = async (args: string): Promise<number> => (await run(args, outcomes)).code;
    expect(await codeOf('--seed 0')).toBe(exitCodes.ok);
    expect(await codeOf('--seed 1')).toBe(exitCodes.liveness);
    expect(await codeOf('--seed 2')).toBe(exitCodes.correctness);
    expect(await codeOf('--seed 3')).toBe(exitCodes.crash);
    expect(await codeOf('--seed 4')).toBe(exitCodes.crash);
    expect(await codeOf('--seeds 3 --keep-going')).toBe(exitCodes.correctness);
    expect(await codeOf('--seeds 4 --keep-going')).toBe(exitCodes.crash);
  });

  it('compares two runs of each seed when asked', async () => {
    let runs = 0;
    const { code, text } = await run('--seed 1 --twice', async () => {
      runs += 1;
      return { ...fine, hash: `h${runs}` };
    });
    expect(code).toBe(exitCodes.correctness);
    expect(text).toContain('the same seed gave h1 and h2');
  });

  it('prints one JSON document on request', async () => {
    const { code, lines } = await run('--seeds 2 --profile lite --json', () => fine);
    expect(code).toBe(0);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      exitCode: 0,
      runs: [{ seed: 0, hash: 'h', stats: { writes: 2 } }, { seed: 1 }],
    });
  });

  it('prints every event only when asked', async () => {
    const printing: RunOne = (_seed, _profile, print) => {
      print?.('an event');
      return fine;
    };
    expect(
      (await run('--seed 1 --trace --twice', printing)).lines.filter((line) => line === 'an event'),
    ).toHaveLength(1);
    expect((await run('--seed 1', printing)).text).not.toContain('an event');
  });

  it('refuses a wrong command line', async () => {
    for (const args of ['--seed x', '--profile stormy', '--seeds 0', '--seed 1 --seeds 2', '--unknown']) {
      expect([args, (await run(args, () => fine)).code]).toEqual([args, exitCodes.usage]);
    }
  });
});

describe('runSeedsInLanes', () => {
  it('says the same as one lane does, whichever seed is ready first', async () => {
    const runOne: RunOne = (seed) => ({ ...fine, hash: `h${seed}`, violations: seed === 5 ? [broken] : [] });
    for (const args of ['--seeds 9', '--seeds 9 --keep-going --json', '--seeds 3 --twice', '--seeds 0']) {
      const lines: string[] = [];
      const output = { line: (text: string) => lines.push(text), progress: () => {} };
      const waiting: (() => void)[] = [];
      const done = runSeedsInLanes(
        args.split(' '),
        3,
        async (seed, flags) => {
          // The later of those under way are ready first.
          await new Promise<void>((resolve) => {
            waiting.push(resolve);
            if (waiting.length === 3) for (const ready of waiting.splice(0).reverse()) ready();
            else
              setImmediate(() =>
                setImmediate(() =>
                  waiting
                    .splice(0)
                    .reverse()
                    .forEach((ready) => void ready()),
                ),
              );
          });
          return runSeed(seed, flags, runOne, output);
        },
        output,
      );
      const one = await run(args, runOne);
      expect([args, await done, lines]).toEqual([args, one.code, one.lines]);
    }
  });
});

describe('concludeRun', () => {
  it('keeps the trace of a run that throws', async () => {
    const world = makeWorld(1);
    world.schedule(5, 'the culprit', () => {
      throw new Error('invariant S1');
    });
    const result = await concludeRun(world, 'toy', () => {
      world.runToIdle();
      return { violations: [], stats: {} };
    });
    expect(result.crash).toContain('invariant S1');
    expect(result.tail).toEqual(['5 0 the culprit']);
    expect(result.stats).toEqual({ events: 1 });
  });
});
