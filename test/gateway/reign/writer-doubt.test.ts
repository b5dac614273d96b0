import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type DoubtLimits,
  defaultDoubtLimits,
  type WriterAnswer,
  WriterDoubt,
} from '../../../gateway/reign/core/writer-doubt.ts';

const limits: DoubtLimits = defaultDoubtLimits;
const lookMs = 50;

/** A watch over one writer that answers as `answers` says, at every question, `delayMs` later. */
class Bench {
  readonly doubt = new WriterDoubt(limits);
  nowMs = 10_000;
  asked = 0;
  private due: { readonly atMs: number; readonly target: string; readonly answer: WriterAnswer }[] = [];

  run(
    forMs: number,
    answer: WriterAnswer,
    options: { readonly target?: string | null; readonly connected?: boolean } = {},
  ) {
    const { target = 'g1.a', connected = true } = options;
    const until = this.nowMs + forMs;
    while (this.nowMs < until) {
      this.nowMs += lookMs;
      const ready = this.due.filter(({ atMs }) => atMs <= this.nowMs);
      this.due = this.due.filter(({ atMs }) => atMs > this.nowMs);
      for (const { target: about, answer: said } of ready) this.doubt.answered(about, said, this.nowMs);
      if (!this.doubt.look(target, connected, this.nowMs) || target === null) continue;
      this.asked += 1;
      this.due.push({ atMs: this.nowMs + (answer === 'silent' ? limits.answerMs : 1), target, answer });
    }
    return this;
  }

  get verdict() {
    return this.doubt.doubt(this.nowMs);
  }
}

const settled = () => new Bench().run(limits.settledMs + 500, 'alive');

describe('doubt of the writer of this region', () => {
  test('a writer that answers is asked all the time and never doubted', () => {
    const bench = settled().run(60_000, 'alive');
    expect(bench.verdict).toBe('none');
    expect(bench.asked).toBeGreaterThan(400);
  });

  test('a process that has ended is known within 300 ms', () => {
    expect(settled().run(300, 'nobody').verdict).toBe('gone');
  });

  test('a question that the process got before it ended keeps nothing up', () => {
    expect(settled().run(100, 'silent').run(300, 'nobody').verdict).toBe('gone');
  });

  test('that nobody listened once is no sign', () => {
    expect(settled().run(lookMs, 'nobody').run(lookMs, 'alive').run(60_000, 'alive').verdict).toBe('none');
  });

  test('after this gateway was connected again nobody is taken for gone at once', () => {
    const bench = settled()
      .run(500, 'alive', { connected: false })
      .run(limits.settledMs - 300, 'nobody');
    expect(bench.verdict).toBe('none');
    expect(bench.run(700, 'nobody').verdict).toBe('gone');
  });

  test('a frozen writer is known when it has said nothing for silentMs, not sooner', () => {
    const bench = settled().run(limits.silentMs - 300, 'silent');
    expect(bench.verdict).toBe('none');
    expect(bench.run(1_000, 'silent').verdict).toBe('silent');
  });

  test('what this process missed while it was frozen itself counts for nothing', () => {
    const bench = settled().run(limits.silentMs - 200, 'silent');
    bench.nowMs += 5_000;
    expect(bench.run(200, 'silent').verdict).toBe('none');
  });

  test('without a connection nothing is said of others', () => {
    expect(settled().run(10_000, 'silent', { connected: false }).verdict).toBe('none');
    expect(settled().run(10_000, 'unable').verdict).toBe('none');
  });

  test('another start of a writer begins with a clean slate', () => {
    const bench = settled().run(300, 'nobody');
    bench.run(lookMs, 'alive', { target: 'g1.b' });
    expect(bench.verdict).toBe('none');
    expect(bench.run(300, 'alive', { target: null }).verdict).toBe('none');
  });

  test('a late answer about another start changes nothing', () => {
    const { doubt } = settled();
    doubt.look('g1.b', true, 20_000);
    doubt.answered('g1.a', 'nobody', 20_010);
    doubt.answered('g1.a', 'nobody', 20_020);
    expect(doubt.doubt(20_030)).toBe('none');
  });

  test('whatever came before, an answer ends all doubt', () => {
    const kinds: readonly WriterAnswer[] = ['alive', 'nobody', 'silent', 'unable'];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...kinds), fc.integer({ min: 50, max: 3_000 }), fc.boolean()), {
          maxLength: 12,
        }),
        (steps) => {
          const bench = new Bench();
          for (const [answer, forMs, connected] of steps) bench.run(forMs, answer, { connected });
          bench.run(limits.answerMs + limits.askMs + 4 * lookMs, 'alive');
          expect(bench.verdict).toBe('none');
        },
      ),
      { numRuns: 300 },
    );
  });
});
