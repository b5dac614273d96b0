import { describe, expect, it } from 'vitest';
import { makeWorld } from '../testing.ts';
import { Prng } from './prng.ts';
import { Trace } from './trace.ts';

describe('world', () => {
  it('runs events by time and, at the same time, in the order they were scheduled', () => {
    const world = makeWorld(1);
    const prng = Prng.fromSeed(9);
    const ran: { timeUs: number; number: number }[] = [];
    for (let number = 0; number < 500; number += 1) {
      const timeUs = prng.below(20);
      world.at(timeUs, 'event', () => ran.push({ timeUs, number }));
    }
    expect(world.runToIdle()).toBe('idle');
    const sorted = [...ran].sort((a, b) => a.timeUs - b.timeUs || a.number - b.number);
    expect(ran).toHaveLength(500);
    expect(ran).toEqual(sorted);
  });

  it('forgets what was cancelled, also when cancelled by an event of the same moment', () => {
    const world = makeWorld(1);
    const ran: string[] = [];
    world.schedule(5, 'canceller', () => {
      ran.push('canceller');
      expect(world.cancel(second)).toBe(true);
    });
    const second = world.schedule(5, 'cancelled', () => ran.push('cancelled'));
    world.runToIdle();
    expect(ran).toEqual(['canceller']);
    expect(world.cancel(second)).toBe(false);
    expect(world.pending).toBe(0);
  });

  it('stops at the deadline, on the predicate and when the budget is spent, and says which', () => {
    const world = makeWorld(1, 50);
    const tick = (): void => {
      world.schedule(10, 'tick', tick);
    };
    tick();
    expect(world.runFor(95)).toBe('deadline');
    expect(world.nowUs).toBe(95);
    expect(world.steps).toBe(9);
    expect(world.runUntil(() => world.nowUs >= 150, 1000)).toBe('met');
    expect(world.runToIdle()).toBe('budget');
  });

  it('refuses the past and being entered from inside an event', () => {
    const world = makeWorld(1);
    world.schedule(10, 'nested', () => {
      expect(() => world.at(9, 'late', () => {})).toThrow('in the past');
      expect(() => world.runToIdle()).toThrow('from inside');
    });
    expect(world.runToIdle()).toBe('idle');
  });

  it('hands out a stream of chance once', () => {
    const world = makeWorld(1);
    world.prng('disk');
    expect(() => world.prng('disk')).toThrow('already has a consumer');
  });
});

describe('trace', () => {
  it('hashes lines, their order and where they end', () => {
    const hash = (...lines: string[]): string => {
      const trace = new Trace();
      for (const line of lines) trace.add(line);
      return trace.hash();
    };
    expect(hash('a', 'b')).toBe(hash('a', 'b'));
    expect(new Set([hash('a', 'b'), hash('b', 'a'), hash('ab'), hash('ab', ''), hash()]).size).toBe(5);
    expect(hash('a')).toMatch(/^[0-9a-f]{16}$/);
  });

  it('keeps the last lines, oldest first, and prints all when asked', () => {
    const printed: string[] = [];
    const trace = new Trace({ keptLinesMax: 3, print: (line) => printed.push(line) });
    for (const line of ['1', '2', '3', '4', '5']) trace.add(line);
    expect(trace.tail()).toEqual(['3', '4', '5']);
    expect(printed).toEqual(['1', '2', '3', '4', '5']);
    expect(trace.lines).toBe(5);
  });
});
