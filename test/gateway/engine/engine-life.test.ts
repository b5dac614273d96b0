import { describe, expect, it } from 'vitest';
import { EngineLife } from '../../../gateway/engine/core/engine-life.ts';

describe('the life of an engine thread', () => {
  it('is doubted after as long as it has something to do and does not move', () => {
    const life = new EngineLife();
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 100) life.look(7, true, nowMs);
    expect(life.silentMs).toBe(1_000);
    life.look(8, true, 1_100);
    expect(life.silentMs).toBe(0);
  });

  it('is not doubted while it has nothing to do', () => {
    const life = new EngineLife();
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 100) life.look(7, false, nowMs);
    expect(life.silentMs).toBe(0);
  });

  it('is not doubted for time in which nobody looked: the whole process may have been stopped', () => {
    const life = new EngineLife();
    life.look(7, true, 0);
    life.look(7, true, 60_000);
    expect(life.silentMs).toBe(500);
  });

  it('counts from when the thread was given something to do, not from the last look before', () => {
    const life = new EngineLife();
    life.look(7, false, 0);
    life.rested(400);
    life.look(7, true, 500);
    expect(life.silentMs).toBe(100);
  });
});
