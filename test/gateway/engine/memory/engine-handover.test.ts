import { Worker } from 'node:worker_threads';
import { describe, expect, it, vi } from 'vitest';
import { type HandedOver, Handover } from '../../../../gateway/engine/engine-handover.ts';
import { MemoryReturn } from '../../../../gateway/hrana/memory-return.ts';

describe('large answers between the engine’s thread and the main thread', () => {
  it('are at most two until the main thread has been at its sockets', async () => {
    const handover = new Handover();
    const module = new URL('../../../../gateway/engine/engine-handover.ts', import.meta.url).href;
    const worker = new Worker(
      `import(${JSON.stringify(module)}).then(({ Handover }) => {
        const { parentPort, workerData } = require('node:worker_threads');
        const handover = new Handover(workerData);
        const large = { values: ['x'.repeat(2 << 20)], redo: null };
        for (let i = 0; i < 6; i++) {
          parentPort.postMessage(handover.admit({ values: [i], redo: null }));
          parentPort.postMessage(handover.admit(large));
        }
      });`,
      { eval: true, workerData: handover.buffers },
    );
    const received: HandedOver[] = [];
    const large: HandedOver[] = [];
    worker.on('message', (packed: HandedOver) => {
      received.push(packed);
      if (packed.isLarge === true) large.push(packed);
    });
    await vi.waitUntil(() => large.length === 2, { timeout: 20_000 });
    // The third small one may pass; the third large one has to wait.
    await vi.waitUntil(() => received.length === 5, { timeout: 20_000 });
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(received).toHaveLength(5);
    for (let taken = 0; taken < 6; taken++) {
      await vi.waitUntil(() => large.length === Math.min(6, taken + 2), { timeout: 20_000 });
      const next = large[taken];
      if (next !== undefined) handover.dealtWith(next);
    }
    await vi.waitUntil(() => received.length === 12, { timeout: 20_000 });
    await worker.terminate();
  });

  it('are at most two of all engines together, and those of an engine that has ended do not count', () => {
    const first = new Handover();
    const second = new Handover({ all: first.buffers.all });
    const large = { values: ['x'.repeat(2 << 20)], redo: null };
    const underWay = () => Atomics.load(new Int32Array(first.buffers.all), 0);
    first.admit(large);
    second.admit(large);
    expect(underWay()).toBe(2);
    second.end();
    second.dealtWith({ ...large, isLarge: true });
    expect(underWay()).toBe(1);
    second.end();
    expect(underWay()).toBe(1);
  });

  it('pass at once when they are small, however many', () => {
    const handover = new Handover();
    for (let i = 0; i < 10_000; i++)
      expect(handover.admit({ values: ['x'.repeat(100)], redo: null }).isLarge).toBeUndefined();
  });
});

describe('memory of large answers', () => {
  it('is collected once, some time after the last of them', () => {
    vi.useFakeTimers();
    try {
      let collections = 0;
      const memory = new MemoryReturn(() => {
        collections += 1;
      });
      memory.note(63 * 1024 * 1024);
      vi.advanceTimersByTime(60_000);
      expect(collections).toBe(0);
      for (let i = 0; i < 10; i++) {
        memory.note(60 * 1024 * 1024);
        vi.advanceTimersByTime(1_000);
      }
      expect(collections).toBe(0);
      vi.advanceTimersByTime(1_001);
      expect(collections).toBe(1);
      memory.note(64 * 1024 * 1024);
      vi.advanceTimersByTime(5_000);
      expect(collections).toBe(1);
      vi.advanceTimersByTime(30_000);
      expect(collections).toBe(2);
      memory.close();
    } finally {
      vi.useRealTimers();
    }
  });
});
