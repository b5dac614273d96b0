import { describe, expect, it } from 'vitest';
import { EngineShared } from '../../../gateway/engine/core/engine-shared.ts';

describe('an operation that two threads share', () => {
  const pair = () => {
    const main = new EngineShared();
    return { main, worker: new EngineShared(main.buffer) };
  };

  it('is begun by the worker or taken back by the main thread, never both (G32)', () => {
    const { main, worker } = pair();
    main.offer(7, 1);
    expect(worker.begin(7)).toBe(true);
    expect(main.takeBack(7)).toBe(false);
    main.offer(8, 2);
    expect(main.takeBack(8)).toBe(true);
    expect(worker.begin(8)).toBe(false);
  });

  it('can be cancelled while it runs, and only then', () => {
    const { main, worker } = pair();
    main.offer(7, 1);
    main.cancel(7);
    expect(worker.isCancelled(7)).toBe(false);
    expect(worker.begin(7)).toBe(true);
    main.cancel(7);
    expect(worker.isCancelled(7)).toBe(true);
    main.cancel(0);
    expect(worker.isCancelled(0)).toBe(false);
  });

  it('has a number that begins again at 1 after the largest, since 0 means none', () => {
    expect(EngineShared.next(0)).toBe(1);
    expect(EngineShared.next(0x7fff_fffe)).toBe(0x7fff_ffff);
    expect(EngineShared.next(0x7fff_ffff)).toBe(1);
  });

  it('shows whether others wait behind it, and whether the thread gets on', () => {
    const { main, worker } = pair();
    main.offer(1, 1);
    expect(worker.hasWaiting).toBe(false);
    main.offer(2, 2);
    expect(worker.hasWaiting).toBe(true);
    const before = main.life;
    worker.beat();
    expect(main.life).not.toBe(before);
    worker.setRunning(2);
    expect(main.running).toBe(2);
  });
});
