import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type DiskFile, type DiskResult, nodeDisk } from '../../../storage/log/disk.ts';
import { slowableDisk, slowDiskOrder } from '../../../storage/log/slow-disk.ts';

const directory = mkdtempSync(join(tmpdir(), 'sextant-slow-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const done = <T>(start: (done: (result: DiskResult<T>) => void) => void): Promise<T> =>
  new Promise((resolve, reject) =>
    start((result) => (result.kind === 'ok' ? resolve(result.value) : reject(new Error(result.message)))),
  );

describe('a disk that a drill can slow down', () => {
  it('takes longer for an append from the order on, until the order that ends it, and writes what it is given', async () => {
    const { disk, slow } = slowableDisk(nodeDisk);
    const file: DiskFile = await done((end) => disk.open(join(directory, 'log'), 'create', end));
    let position = 0;
    const append = async (): Promise<number> => {
      const began = performance.now();
      await done<void>((end) => file.append([Buffer.from('redo')], position, end));
      position += 4;
      return performance.now() - began;
    };
    await append();
    slow(120);
    expect(await append()).toBeGreaterThanOrEqual(119);
    expect(await append()).toBeGreaterThanOrEqual(119);
    slow(0);
    const quick = [await append(), await append(), await append()];
    expect(Math.min(...quick)).toBeLessThan(100);
    const into = Buffer.alloc(position);
    await done<number>((end) => file.read(into, 0, end));
    expect(into.toString()).toBe('redo'.repeat(6));
    await done<void>((end) => file.close(end));
  });

  it('follows no other message than that order', () => {
    expect(slowDiskOrder({ kind: 'slow-disk', delayMs: 80 })).toBe(80);
    for (const other of [
      null,
      'slow-disk',
      { kind: 'slow-disk' },
      { kind: 'slow-disk', delayMs: -1 },
      { kind: 'x', delayMs: 1 },
    ])
      expect(slowDiskOrder(other)).toBeNull();
  });
});
