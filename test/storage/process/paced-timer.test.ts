import { expect, test } from 'vitest';
import { PacedTimer } from '../../../storage/process/paced-timer.ts';
import { machine, type Runtime } from '../../../storage/process/runtime.ts';

/** A runtime that says which timers run. */
function timers(): { readonly runtime: Runtime; readonly running: number[] } {
  const running: number[] = [];
  const every = (periodMs: number) => {
    running.push(periodMs);
    return { stop: () => void running.splice(running.indexOf(periodMs), 1) };
  };
  return { runtime: { ...machine, every }, running };
}

test('a timer changes its pace, has one timer at any time, and none once it is stopped', () => {
  const { runtime, running } = timers();
  const timer = new PacedTimer(runtime, 50, () => undefined);
  expect(running).toEqual([50]);
  timer.pace(100);
  expect(running).toEqual([100]);
  timer.pace(50);
  expect(running).toEqual([50]);
  timer.stop();
  timer.pace(100);
  timer.stop();
  expect(running).toEqual([]);
});

test('the pace that it has begins no timer anew, however often it is asked for', () => {
  const { runtime, running } = timers();
  let begun = 0;
  const counting = {
    ...runtime,
    every: (periodMs: number, run: () => void) => {
      begun += 1;
      return runtime.every(periodMs, run);
    },
  };
  const timer = new PacedTimer(counting, 50, () => undefined);
  for (let time = 0; time < 10; time++) timer.pace(50);
  expect([begun, running]).toEqual([1, [50]]);
});
