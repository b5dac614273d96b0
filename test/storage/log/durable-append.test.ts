import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { DurableAppender, durableAppendBounds } from '../../../storage/log/durable-append.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A file in the temporary directory of this machine, or another one. */
class Bench {
  readonly path: string;
  readonly appender: DurableAppender;

  constructor(directory = tmpdir()) {
    const path = mkdtempSync(join(directory, 'sextant-append-'));
    cleanups.push(() => rmSync(path, { recursive: true, force: true }));
    this.path = join(path, 'file');
    const fd = openSync(this.path, 'w+', 0o600);
    this.appender = new DurableAppender(this.path, fd);
    cleanups.push(() => {
      this.appender.close();
      closeSync(fd);
    });
  }

  append(position: number, ...buffers: readonly Uint8Array[]): void {
    expect(this.appender.append(buffers, position)).toEqual({ kind: 'ok', value: undefined });
  }

  /** The file holds exactly this, and zeros behind it. */
  holds(expected: Buffer): void {
    const bytes = readFileSync(this.path);
    expect(bytes.subarray(0, expected.length).equals(expected)).toBe(true);
    expect(bytes.subarray(expected.length).every((byte) => byte === 0)).toBe(true);
  }
}

const pattern = (length: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => 1 + ((at * 7 + seed) % 250)));

describe('an append', () => {
  it('lies where it was put, behind what was there, whatever the lengths', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.integer({ min: 1, max: 1_500 }), { minLength: 1, maxLength: 4 })),
        (batches) => {
          const bench = new Bench();
          let whole: Buffer = Buffer.alloc(0);
          for (const [at, lengths] of batches.entries()) {
            const buffers = lengths.map((length, index) => pattern(length, at * 31 + index));
            bench.append(whole.length, ...buffers);
            whole = Buffer.concat([whole, ...buffers]);
          }
          bench.holds(whole);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('may be larger than what is written in one call, and than the space that is made at once', () => {
    const bench = new Bench();
    const small = pattern(100, 1);
    const large = pattern(2 * durableAppendBounds.writeBytes + 777, 2);
    bench.append(0, small);
    bench.append(100, large);
    bench.append(100 + large.length, small);
    bench.holds(Buffer.concat([small, large, small]));
  });

  it('makes space ahead, so that most appends do not change the size of the file', () => {
    const bench = new Bench();
    const sizes = new Set<number>();
    const one = pattern(400, 3);
    for (let at = 0; at < 1_000; at++) {
      bench.append(at * one.length, one);
      sizes.add(statSync(bench.path).size);
    }
    bench.holds(Buffer.concat(Array.from({ length: 1_000 }, () => one)));
    expect(sizes.size).toBeLessThanOrEqual(3);
  });

  it('goes on behind what another process left, in the middle of a block or not', () => {
    const bench = new Bench();
    const first = pattern(1_234, 4);
    bench.append(0, first);
    const fd = openSync(bench.path, 'r+');
    const again = new DurableAppender(bench.path, fd);
    const second = pattern(777, 5);
    expect(again.append([second], first.length).kind).toBe('ok');
    again.close();
    closeSync(fd);
    bench.holds(Buffer.concat([first, second]));
  });

  it('goes on where the file was cut, once it was told', () => {
    const bench = new Bench();
    const first = pattern(2_000, 6);
    bench.append(0, first);
    truncateSync(bench.path, 700);
    bench.appender.forget();
    const second = pattern(50, 7);
    bench.append(700, second);
    bench.holds(Buffer.concat([first.subarray(0, 700), second]));
  });

  it('works on a file system that keeps its files in memory', () => {
    const bench = new Bench('/dev/shm');
    const one = pattern(3_000, 8);
    for (let at = 0; at < 5; at++) bench.append(at * one.length, one);
    bench.holds(Buffer.concat([one, one, one, one, one]));
  });

  it('is an error, and not an exception, where it cannot be', () => {
    const bench = new Bench();
    expect(bench.appender.append([pattern(5, 1)], 1_000)).toMatchObject({ kind: 'failed', code: 'EIO' });
    const gone = new DurableAppender(join(bench.path, 'nowhere'), -1);
    expect(gone.append([pattern(5, 1)], 0)).toMatchObject({ kind: 'failed', code: 'ENOTDIR' });
  });
});
