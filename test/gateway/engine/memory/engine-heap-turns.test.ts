import { Worker } from 'node:worker_threads';
import { expect, it, vi } from 'vitest';
import { Handover } from '../../../../gateway/engine/engine-handover.ts';
import { HeapTurns, sharedCounts } from '../../../../gateway/engine/engine-heap-turns.ts';

const always = (): boolean => true;
const never = (): boolean => false;
/** Who comes now gets a turn without being asked whether it is wanted. */
const isFree = (all: SharedArrayBuffer, atOnce: number): boolean => {
  const turns = new HeapTurns({ all, own: sharedCounts() }, atOnce);
  const asked = vi.fn(never);
  turns.take(asked);
  turns.giveBack();
  return asked.mock.calls.length === 0;
};

it('a thread waits for a turn until another one gives its own back', async () => {
  const all = sharedCounts();
  const first = new HeapTurns({ all, own: sharedCounts() }, 1);
  first.take(always);
  const module = new URL('../../../../gateway/engine/engine-heap-turns.ts', import.meta.url).href;
  const worker = new Worker(
    `import(${JSON.stringify(module)}).then(({ HeapTurns }) => {
      const { parentPort, workerData } = require('node:worker_threads');
      const turns = new HeapTurns(workerData, 1);
      let asked = 0;
      turns.take(() => {
        if (asked++ === 0) parentPort.postMessage('waits');
        return true;
      });
      parentPort.postMessage('has it');
    });`,
    { eval: true, workerData: { all, own: sharedCounts() } },
  );
  const heard: unknown[] = [];
  worker.on('message', (message: unknown) => heard.push(message));
  await vi.waitUntil(() => heard.length > 0, { timeout: 20_000 });
  expect(heard).toEqual(['waits']);
  first.giveBack();
  await vi.waitUntil(() => heard.length > 1, { timeout: 20_000 });
  expect(heard).toEqual(['waits', 'has it']);
  expect(isFree(all, 1)).toBe(false);
  await worker.terminate();
});

it('a thread whose statement is not wanted any more waits for nothing, and what it took counts', () => {
  const all = sharedCounts();
  const [first, second] = [1, 2].map(() => new HeapTurns({ all, own: sharedCounts() }, 1));
  first?.take(always);
  second?.take(never);
  first?.giveBack();
  expect(isFree(all, 1)).toBe(false);
  second?.giveBack();
  expect(isFree(all, 1)).toBe(true);
});

it('a turn that is kept for long makes nobody wait for longer than two seconds', () => {
  const all = sharedCounts();
  const [first, second] = [1, 2].map(() => new HeapTurns({ all, own: sharedCounts() }, 1));
  first?.take(always);
  const sinceMs = performance.now();
  second?.take(always);
  expect(performance.now() - sinceMs).toBeGreaterThanOrEqual(1_990);
});

it('a turn is taken once, given back once, and given back for a thread that has ended', () => {
  const { all } = new Handover().buffers;
  const handover = new Handover({ all });
  handover.turns.take(always);
  handover.turns.take(always);
  expect(isFree(all, 1)).toBe(false);
  expect(isFree(all, 2)).toBe(true);
  handover.end();
  handover.turns.giveBack();
  expect(isFree(all, 1)).toBe(true);
});
