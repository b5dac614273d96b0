import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { InterruptCell } from '../../../gateway/engine/core/interrupt-cell.ts';

const flags = () => ({ memory: new SharedArrayBuffer(8), addresses: [3, 5] });
const raised = ({ memory }: { readonly memory: SharedArrayBuffer }): number[] => [...new Uint8Array(memory)];
const none = [0, 0, 0, 0, 0, 0, 0, 0];
const both = [0, 0, 0, 1, 0, 1, 0, 0];

describe('a cell by which a statement is stopped', () => {
  test('G94: raises flags for the operation that is meant, and for no other', () => {
    const cell = new InterruptCell();
    const its = flags();
    cell.stop(7, its);
    expect(cell.isStopped).toBe(false);
    cell.arm(8, 0, 1_000);
    cell.stop(7, its);
    expect([raised(its), cell.isStopped, cell.disarm()]).toEqual([none, false, false]);
    cell.arm(7, 0, 1_000);
    cell.stop(7, its);
    expect([raised(its), cell.isStopped, cell.disarm(), cell.isStopped]).toEqual([both, true, true, false]);
    cell.stop(7, its);
    expect(cell.disarm()).toBe(false);
  });

  test.each([0, 1_000, 0x7fff_fff0, 0xffff_fff0])(
    'stops what is late, by a clock that stands at %d',
    (now) => {
      const cell = new InterruptCell();
      const its = flags();
      cell.arm(1, now, 50);
      cell.stopLate(now + 49, its);
      expect([raised(its), cell.isInTime(now + 49), cell.isInTime(now + 50)]).toEqual([none, true, false]);
      cell.stopLate(now + 50, its);
      expect([raised(its), cell.isInTime(now + 49)]).toEqual([both, false]);
      cell.disarm();
      cell.arm(2, now, Number.POSITIVE_INFINITY);
      expect(cell.isInTime(now + 86_400_000)).toBe(true);
    },
  );

  test('G94: however two threads meet, what is lowered after one operation is not raised in the next', async () => {
    const cell = new InterruptCell();
    const its = flags();
    const url = new URL('../../../gateway/engine/core/interrupt-cell.ts', import.meta.url).href;
    const program = `const { workerData: { url, buffer, its } } = require('node:worker_threads');
      import(url).then(({ InterruptCell }) => {
        const cell = new InterruptCell(buffer);
        const words = new Int32Array(buffer);
        for (;;) cell.stop(Atomics.load(words, 1) | 1, its);
      });`;
    const worker = new Worker(program, { eval: true, workerData: { url, buffer: cell.buffer, its } });
    const bytes = new Uint8Array(its.memory);
    let stopped = 0;
    let wrong = 0;
    const until = performance.now() + 20_000;
    // Only operations of odd numbers are meant; a stop that aims at one may come when the next has begun.
    for (let id = 1; (stopped < 200 || id < 20_000) && performance.now() < until; id++) {
      cell.arm(id, 0, 1_000);
      for (let at = 0; at < id % 50; at++) if (id % 2 === 0 && Atomics.load(bytes, 3) !== 0) wrong += 1;
      if (cell.disarm()) {
        stopped += 1;
        bytes.fill(0);
      }
      if (bytes[3] !== 0 || bytes[5] !== 0) wrong += 1;
    }
    await worker.terminate();
    expect(wrong).toBe(0);
    expect(stopped).toBeGreaterThan(0);
  }, 60_000);
});
