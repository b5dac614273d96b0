import { describe, expect, it } from 'vitest';
import {
  chooseForStatement,
  chooseForTransaction,
  chooseToStop,
  type ReaderLimits,
  type ReaderView,
} from '../../../../gateway/engine/core/reader-choice.ts';

const limits: ReaderLimits = { readerThreads: 3, slowMs: 10, readerWaitMs: 200, slowShareMs: 1_000 };

/** Threads as `queuedMs/pinned/runningMs/fetchingMs`, numbered from 1. */
const threads = (...texts: string[]): ReaderView[] =>
  texts.map((text, index) => {
    const [queuedMs = 0, pinned = 0, runningMs = 0, fetchingMs = 0] = text.split('/').map(Number);
    return { id: index + 1, queuedUs: queuedMs * 1_000, pinned, runningMs, fetchingMs, busyShare: 0 };
  });

describe('the thread a read outside transactions runs on', () => {
  const cases: [string, ReaderView[], number, { thread: number | null; start: boolean }][] = [
    ['the first of those that do nothing', threads('0/0/0', '0/0/0'), 0, { thread: 1, start: false }],
    [
      'the first one although it has more queued, while that is little',
      threads('0.9/0/0', '0/0/0'),
      0,
      { thread: 1, start: false },
    ],
    [
      'the one with least queued when the first has much',
      threads('3/0/2', '1/0/0'),
      0,
      { thread: 2, start: false },
    ],
    ['never one with a slow statement', threads('0/0/10', '9/0/1'), 0, { thread: 2, start: false }],
    ['not where a transaction lives', threads('0/1/0', '5/0/2'), 0, { thread: 2, start: false }],
    [
      'where a transaction lives when there is no other, and another is started',
      threads('0/1/0'),
      0,
      { thread: 1, start: true },
    ],
    ['none when all are slow, and another is started', threads('1/0/99'), 0, { thread: null, start: true }],
    [
      'none while the only one waits for pages, since a new one would ask for them again',
      threads('1/0/99/95'),
      0,
      { thread: null, start: false },
    ],
    [
      'none while one of several waits for pages',
      threads('1/0/99', '1/0/50/45'),
      0,
      { thread: null, start: false },
    ],
    [
      'none, and another is started for one that has waited for pages too long',
      threads('1/0/101/100'),
      0,
      { thread: null, start: true },
    ],
    ['none, and one start is enough', threads('1/0/99'), 1, { thread: null, start: false }],
    [
      'none when there are as many threads as there may be',
      threads('1/0/99', '1/0/99', '1/0/99'),
      0,
      { thread: null, start: false },
    ],
  ];
  it.each(cases)('is %s', (_what, views, starting, choice) => {
    expect(chooseForStatement(views, starting, limits)).toEqual(choice);
  });
});

describe('the thread a read transaction lives on', () => {
  const cases: [string, ReaderView[], { thread: number | null; start: boolean }][] = [
    ['one where others live', threads('0/0/0', '2/1/0'), { thread: 2, start: false }],
    ['the last one when none lives anywhere', threads('0/0/0', '0/0/0'), { thread: 2, start: false }],
    [
      'the only one, and another is started for single statements',
      threads('0/0/0'),
      { thread: 1, start: true },
    ],
    [
      'another one when a slow statement holds the one where others live',
      threads('0/0/0', '1/1/50'),
      { thread: 1, start: true },
    ],
  ];
  it.each(cases)('is %s', (_what, views, choice) => {
    expect(chooseForTransaction(views, 0, limits)).toEqual(choice);
  });
});

describe('the slow read that is stopped for those who wait', () => {
  const full = threads('1/0/900', '1/0/5000', '1/0/3000');
  it('is the one that has run longest, once somebody has waited long enough and no thread can be added', () => {
    expect(chooseToStop(full, 0, 200, limits)).toBe(2);
  });
  it.each<[string, ReaderView[], number, number]>([
    ['nobody has waited long enough', full, 0, 199],
    ['a thread is being started', full, 1, 500],
    ['a thread may be added', threads('1/0/5000', '1/0/5000'), 0, 500],
    ['a thread is free', threads('1/0/5000', '1/0/5000', '0/0/0'), 0, 500],
    ['none has run for its share', threads('1/0/900', '1/0/900', '1/0/900'), 0, 500],
  ])('is none while %s', (_what, views, starting, waitedMs) => {
    expect(chooseToStop(views, starting, waitedMs, limits)).toBeNull();
  });
});
