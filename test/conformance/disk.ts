/** What every disk has to do, whoever implements it. Run by `disk.test.ts` against each. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type Disk,
  type DiskDone,
  type DiskFile,
  type DiskOpenMode,
  type DiskResult,
  diskFailureReason,
  onDisk,
  readFully,
  writeFully,
} from '../../storage/log/disk.ts';
import { appended, lengthOf, logName, ok, pattern, replaced, stateName } from './disk-work.ts';

/** What ended whoever wrote: its process alone, or the power of its machine. */
export type End = 'process' | 'power';

export interface Interrupted {
  /** The same disk, after the end. */
  readonly disk: Disk;
  /** Of `disk-work.ts`, what had been called back by then. */
  readonly acknowledged: number;
}

export interface DiskFixture {
  readonly disk: Disk;
  /** An empty directory on it, another one each time. */
  directory(): string;
  /** Runs `appendForEver` in `directory` for a while and ends whoever runs it. */
  interruptAppends(directory: string, end: End): Promise<Interrupted>;
  /** The same with `replaceForEver`. */
  interruptReplacing(directory: string, end: End): Promise<Interrupted>;
  /** An empty file on a disk without space. */
  full(directory: string): Promise<DiskFile>;
  /** Lets time pass until `done` is settled. */
  settle<T>(done: Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

/** @param ends those that can be brought about with this disk. */
export function diskConformance(name: string, ends: readonly End[], start: () => Promise<DiskFixture>): void {
  describe(`disk: ${name}`, () => {
    let fixture: DiskFixture;
    let directory: string;
    let disk: Disk;
    beforeAll(async () => {
      fixture = await start();
    });
    afterAll(() => fixture.stop());
    beforeEach(() => {
      ({ disk } = fixture);
      directory = fixture.directory();
    });

    const outcome = <T>(operation: (done: DiskDone<T>) => void): Promise<DiskResult<T>> =>
      fixture.settle(onDisk(operation));
    const value = async <T>(operation: (done: DiskDone<T>) => void): Promise<T> =>
      ok(await outcome(operation));
    const code = async <T>(operation: (done: DiskDone<T>) => void): Promise<string> => {
      const result = await outcome(operation);
      return result.kind === 'failed' ? result.code : 'ok';
    };
    const open = (path: string, mode: DiskOpenMode, on = disk): Promise<DiskFile> =>
      value((done) => on.open(path, mode, done));
    const at = (file: string): string => `${directory}/${file}`;
    const contentOf = async (path: string, on = disk): Promise<Buffer> => {
      const file = await open(path, 'existing', on);
      const bytes = Buffer.alloc(await value<number>((done) => file.sizeBytes(done)));
      expect(await value<number>((done) => readFully(file, bytes, 0, done))).toBe(bytes.length);
      await value<void>((done) => file.close(done));
      return bytes;
    };
    /** Writes a whole file and flushes it, with its name. */
    const put = async (path: string, bytes: Uint8Array): Promise<void> => {
      const file = await open(path, 'create');
      await value<void>((done) => file.append([bytes], 0, done));
      await value<void>((done) => file.close(done));
      await value<void>((done) => disk.syncDirectory(directory, done));
    };
    /** `bytes` begins with `expected` and has only zeros behind it. */
    const beginsWith = (bytes: Buffer, expected: Uint8Array): void => {
      expect(Buffer.compare(bytes.subarray(0, expected.length), expected)).toBe(0);
      expect(bytes.subarray(expected.length).every((byte) => byte === 0)).toBe(true);
    };

    test('nothing is called back inside the call that asks, and everything once', async () => {
      const file = await open(at('a'), 'create');
      const order: string[] = [];
      const all = [
        onDisk<void>((done) => file.append([pattern(10, 1)], 0, noted('append', done))),
        onDisk<number>((done) => file.sizeBytes(noted('size', done))),
        onDisk<readonly string[]>((done) => disk.list(directory, noted('list', done))),
        onDisk<DiskFile>((done) => disk.open(at('none'), 'existing', noted('open', done))),
      ];
      function noted<T>(what: string, done: DiskDone<T>): DiskDone<T> {
        return (result) => {
          order.push(what);
          done(result);
        };
      }
      expect(order).toEqual([]);
      await fixture.settle(Promise.all(all));
      expect([...order].sort()).toEqual(['append', 'list', 'open', 'size']);
    });

    test('a file that has to exist and does not is ENOENT; one that is created begins empty, and stays as it is when it is there', async () => {
      expect(await code<DiskFile>((done) => disk.open(at('a'), 'existing', done))).toBe('ENOENT');
      const file = await open(at('a'), 'create');
      expect(await value<number>((done) => file.sizeBytes(done))).toBe(0);
      await value<void>((done) => file.append([pattern(20, 1)], 0, done));
      beginsWith(await contentOf(at('a')), pattern(20, 1));
      await open(at('a'), 'create');
      beginsWith(await contentOf(at('a')), pattern(20, 1));
    });

    test('a file that is opened to be replaced is empty at once, for everybody', async () => {
      await put(at('a'), pattern(50, 2));
      const file = await open(at('a'), 'replace');
      expect((await contentOf(at('a'))).length).toBe(0);
      await value<void>((done) => writeFully(file, [pattern(5, 3)], 0, done));
      expect(Buffer.compare(await contentOf(at('a')), pattern(5, 3))).toBe(0);
    });

    test('appends lie back to back, whatever their lengths, with zeros behind them at most', async () => {
      const file = await open(at('log'), 'create');
      const all: Uint8Array[] = [];
      for (const number of Array(12).keys()) {
        const buffers = appended(number);
        await value<void>((done) => file.append(buffers, lengthOf(all), done));
        all.push(...buffers);
        beginsWith(await contentOf(at('log')), Buffer.concat(all));
      }
    });

    test('a read gives what is there, and less only at the end of the file', async () => {
      const file = await open(at('a'), 'create');
      await value<void>((done) => writeFully(file, [pattern(100, 4), pattern(100, 5)], 0, done));
      const whole = Buffer.concat([pattern(100, 4), pattern(100, 5)]);
      for (const [from, length, expected] of [
        [0, 200, 200],
        [50, 100, 100],
        [150, 100, 50],
        [200, 10, 0],
        [999, 10, 0],
      ] as const) {
        const into = new Uint8Array(length);
        const read = await value<number>((done) => readFully(file, into, from, done));
        expect([from, read]).toEqual([from, expected]);
        expect(Buffer.compare(into.subarray(0, read), whole.subarray(from, from + read))).toBe(0);
      }
    });

    test('a file that was cut is as long as that, and goes on from there', async () => {
      const file = await open(at('log'), 'create');
      await value<void>((done) => file.append([pattern(5_000, 6)], 0, done));
      await value<void>((done) => file.truncate(700, done));
      expect(await value<number>((done) => file.sizeBytes(done))).toBe(700);
      await value<void>((done) => file.append([pattern(50, 7)], 700, done));
      const expected = Buffer.concat([pattern(5_000, 6).subarray(0, 700), pattern(50, 7)]);
      beginsWith(await contentOf(at('log')), expected);
    });

    test('a rename puts one file in the place of another; a name that is not there is ENOENT', async () => {
      await put(at('old'), pattern(30, 8));
      const file = await open(at('new'), 'replace');
      await value<void>((done) => writeFully(file, [pattern(40, 9)], 0, done));
      await value<void>((done) => file.fdatasync(done));
      await value<void>((done) => disk.rename(at('new'), at('old'), done));
      expect(Buffer.compare(await contentOf(at('old')), pattern(40, 9))).toBe(0);
      expect(await code<DiskFile>((done) => disk.open(at('new'), 'existing', done))).toBe('ENOENT');
      expect(await code<void>((done) => disk.rename(at('none'), at('old'), done))).toBe('ENOENT');
      expect(Buffer.compare(await contentOf(at('old')), pattern(40, 9))).toBe(0);
      await value<void>((done) => disk.rename(at('old'), at('moved'), done));
      expect(Buffer.compare(await contentOf(at('moved')), pattern(40, 9))).toBe(0);
    });

    test('what is removed is gone, and cannot be removed again', async () => {
      await put(at('a'), pattern(10, 1));
      await value<void>((done) => disk.remove(at('a'), done));
      expect(await code<void>((done) => disk.remove(at('a'), done))).toBe('ENOENT');
      expect(await code<DiskFile>((done) => disk.open(at('a'), 'existing', done))).toBe('ENOENT');
    });

    test('a directory is listed with the names of its files and no others', async () => {
      await put(at('b'), pattern(1, 1));
      await put(at('a'), pattern(1, 1));
      await open(at('c'), 'replace');
      expect([...(await value<readonly string[]>((done) => disk.list(directory, done)))].sort()).toEqual([
        'a',
        'b',
        'c',
      ]);
    });

    test('a disk without space says so, as something that passes', async () => {
      const file = await fixture.full(directory);
      const bytes = pattern(5_000, 1);
      for (const operation of [
        (done: DiskDone<void>) => file.append([bytes], 0, done),
        (done: DiskDone<void>) => writeFully(file, [bytes], 0, done),
      ]) {
        const result = await outcome<void>(operation);
        expect(result).toMatchObject({ kind: 'failed', code: 'ENOSPC' });
        expect(result.kind === 'failed' && diskFailureReason(result)).toBe('disk-full');
      }
    });

    for (const end of ends) {
      const what = end === 'process' ? 'its process was killed' : 'its machine lost power';
      test(`what was appended is there after ${what}, and of the rest nothing but its own bytes and zeros`, async () => {
        const { disk: after, acknowledged } = await fixture.interruptAppends(directory, end);
        expect(acknowledged).toBeGreaterThan(3);
        const bytes = await contentOf(at(logName), after);
        const whole = Buffer.concat(
          Array.from({ length: acknowledged }, (_, number) => appended(number)).flat(),
        );
        expect(Buffer.compare(bytes.subarray(0, whole.length), whole)).toBe(0);
        // Nobody knows how many more were begun.
        const more: Uint8Array[] = [];
        for (let number = acknowledged; lengthOf(more) < bytes.length; number += 1)
          more.push(...appended(number));
        const next = Buffer.concat(more);
        const rest = bytes.subarray(whole.length);
        expect(rest.every((byte, index) => byte === 0 || byte === next[index])).toBe(true);
      });

      test(`a file that is replaced is whole after ${what}, and not older than what was acknowledged`, async () => {
        const { disk: after, acknowledged } = await fixture.interruptReplacing(directory, end);
        expect(acknowledged).toBeGreaterThan(3);
        const bytes = await contentOf(at(stateName), after);
        const candidates = [acknowledged - 1, acknowledged].map(replaced);
        expect(candidates.some((candidate) => Buffer.compare(bytes, candidate) === 0)).toBe(true);
      });
    }
  });
}
