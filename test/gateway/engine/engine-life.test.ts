import { describe, expect, it } from 'vitest';
import { EngineLife, type ThreadTime, threadTimeIn } from '../../../gateway/engine/core/engine-life.ts';

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

const running = (cpuMs: number): ThreadTime => ({ cpuMs, wantsCpu: true });
const asleep = (cpuMs: number): ThreadTime => ({ cpuMs, wantsCpu: false });

describe('what is held against a silent thread', () => {
  // Ten minutes of silence, looked at four times a second; what the thread had done by then, and what counts of it.
  const silenceMs = 600_000;
  const everyMs = 250;
  it.each<[string, (silentMs: number) => ThreadTime | null, number]>([
    ['is all of it when the thread spins', (ms) => running(70_000 + ms), silenceMs - everyMs],
    ['is all of it when the thread sleeps', () => asleep(70_000), silenceMs - everyMs],
    ['is all of it where the system does not say', () => null, silenceMs],
    ['is nothing when the thread gets no CPU', () => running(70_000), 0],
    [
      'is what it got of a CPU where others took most of it',
      (ms) => running(Math.floor(ms / 1_000) * 10),
      6_000,
    ],
    [
      'is what it computed while it also slept for moments, as it does when memory is tidied up beside it',
      (ms) => ({ cpuMs: Math.floor(ms / 250) * 10, wantsCpu: ms % 500 === 0 }),
      23_990,
    ],
  ])('%s', (_, at, counts) => {
    const life = new EngineLife();
    life.look(7, true, 0);
    for (let nowMs = everyMs; nowMs <= silenceMs; nowMs += everyMs) {
      life.look(7, true, nowMs);
      if (life.isDue) life.weigh(at(nowMs));
    }
    expect([life.silentMs, life.stuckMs]).toEqual([silenceMs, counts]);
  });

  it('begins anew with every sign of life', () => {
    const life = new EngineLife();
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 250) {
      life.look(7, true, nowMs);
      if (life.isDue) life.weigh(running(nowMs));
    }
    expect(life.stuckMs).toBe(750);
    life.look(8, true, 1_250);
    expect([life.stuckMs, life.isDue]).toEqual([0, false]);
    life.look(8, true, 1_500);
    life.weigh(running(90_000));
    expect(life.stuckMs).toBe(0);
  });

  it('is asked for ten times a second, however often the thread is looked at', () => {
    const life = new EngineLife();
    let asked = 0;
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 5) {
      life.look(7, true, nowMs);
      if (!life.isDue) continue;
      asked += 1;
      life.weigh(running(0));
    }
    expect(asked).toBe(10);
  });
});

describe('what Linux says of a thread', () => {
  it.each<[string, ThreadTime | null]>([
    [
      '312 (WorkerThread) R 300 312 300 0 -1 4194368 9 0 0 0 1500 23 0 0 39 19 12 0 9 1 2',
      { cpuMs: 15_230, wantsCpu: true },
    ],
    [
      '312 (an (odd) R name) S 300 312 300 0 -1 4194368 9 0 0 0 7 0 0 0 20 0 12 0 9 1 2',
      { cpuMs: 70, wantsCpu: false },
    ],
    ['312 (WorkerThread) D 300 312 300 0 -1 4194368 9 0 0 0 0 0 0 0 20 0 12', { cpuMs: 0, wantsCpu: false }],
    ['', null],
    ['312 (WorkerThread) R 300', null],
  ])('%j', (stat, time) => {
    expect(threadTimeIn(stat)).toEqual(time);
  });
});
