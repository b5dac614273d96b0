import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { defaultServiceLimits } from '../../../gateway/session/core/service-limits.ts';
import { WriterWatch, type WriterWatchOptions } from '../../../gateway/session/writer-watch.ts';
import { nodeId, regionId } from '../../../storage/redo/ids.ts';

function newWatch(want: WriterWatchOptions['want']): WriterWatch {
  return new WriterWatch({
    cluster: 'test',
    region: regionId('us-east-1'),
    me: { gateway: nodeId('g1'), incarnation: 'a' },
    limits: defaultServiceLimits,
    record: () => null,
    recordAgeMs: () => 0,
    phase: () => 'writing',
    isSuspended: () => true,
    isOpen: () => true,
    ...(want !== undefined && { want }),
    quorumLost: () => false,
  });
}

describe('who waits for a writer', () => {
  it('keeps nobody from being heard, though each look brings the next change (G71)', async () => {
    const watch = newWatch(() => void Promise.resolve().then(() => watch.changed()));
    let heard = false;
    let looks = 0;
    setTimeout(() => {
      heard = true;
    }, 1);
    for (; !heard && looks < 1_000_000; looks += 1) {
      watch.want();
      await watch.next(60_000);
    }
    expect([heard, looks < 1_000_000]).toEqual([true, true]);
  });

  it('looks once, however many changes one turn of the event loop brings', async () => {
    const watch = newWatch(undefined);
    let looks = 0;
    const waiter = async (): Promise<void> => {
      for (;;) {
        await watch.next(60_000);
        looks += 1;
        if (looks === 2) return;
      }
    };
    const waiting = waiter();
    for (let change = 0; change < 5; change += 1) watch.changed();
    await delay(20);
    expect(looks).toBe(1);
    watch.changed();
    await waiting;
  });

  it('looks again after its own time when there is no news', async () => {
    const watch = newWatch(undefined);
    const fromMs = performance.now();
    await watch.next(20);
    expect(performance.now() - fromMs).toBeGreaterThan(15);
  });
});
