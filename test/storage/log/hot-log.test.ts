import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeDisk } from '../../../storage/log/disk.ts';
import { type AppendResult, HotLog, type LogPosition } from '../../../storage/log/hot-log.ts';
import { append, buffers, directory, firstFile, frame, header, open, persist } from './hot-log-bench.ts';
import { MemoryDisk } from './hot-log-memory-disk.ts';

describe('group commit', () => {
  it('gives back every frame, in order and verbatim, after a restart', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk);
    const frames = [frame(0, 10), frame(10, 5000), frame(5010, 1)];
    const positions = [...(await persist(log, frames.slice(0, 2))), ...(await persist(log, frames.slice(2)))];
    await log.close();
    const again = await open(disk);
    expect(buffers(again.found)).toEqual(frames.map((bytes) => Buffer.from(bytes)));
    expect(again.found.map(({ position }) => position)).toEqual(positions);
    expect(again.recovery).toEqual({
      files: 1,
      sealed: 0,
      unbelieved: [],
      frames: 3,
      frameBytes: 5011 + 3 * header,
      damage: [],
      damageCount: 0,
      damagedBytes: 0,
    });
  });

  it('flushes concurrent appends together and calls back in their order', async () => {
    const { log } = await open(new MemoryDisk());
    const order: number[] = [];
    const indexes = Array.from({ length: 200 }, (_, index) => index);
    const appendAll = (some: readonly number[]): Promise<readonly AppendResult[]> =>
      Promise.all(some.map((index) => append(log, [frame(index, 20)]).finally(() => order.push(index))));
    const first = appendAll(indexes.slice(0, 120));
    await new Promise(setImmediate);
    const results = [...(await first), ...(await appendAll(indexes.slice(120)))];
    expect(results.every(({ kind }) => kind === 'persisted')).toBe(true);
    expect(order).toEqual(indexes);
    expect(log.counters.appends).toBe(200);
    expect(log.counters.batches).toBeLessThan(10);
    expect(log.counters.bytesWritten).toBe(200 * (20 + header));
    expect(log.queuedBytes).toBe(0);
  });

  it('never calls an append back before the flush that covers it', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk);
    const answered = append(log, [frame(0, 100)]).then(() => disk.operations.push('open'));
    await answered;
    expect(disk.operations.slice(-2)).toEqual(['append', 'open']);
  });

  it('lets the sender reuse its buffer as soon as append returns', async () => {
    const { log } = await open(new MemoryDisk());
    const bytes = frame(0, 100);
    const original = Buffer.from(bytes);
    const persisted = persist(log, [bytes]);
    bytes.fill(0);
    const [position] = await persisted;
    expect(position && (await log.read(position))).toMatchObject({ kind: 'ok', bytes: original });
  });

  it('refuses appends beyond the bound of its queue instead of growing', async () => {
    const { log } = await open(new MemoryDisk(), { queueBytesMax: 300 + header });
    const first = append(log, [frame(0, 156)]);
    expect(log.queuedBytes).toBe(156 + header);
    const second = await append(log, [frame(1, 156)]);
    expect(second).toMatchObject({ kind: 'failed', reason: 'queue-full' });
    expect((await first).kind).toBe('persisted');
    expect((await append(log, [frame(1, 156)])).kind).toBe('persisted');
  });

  it('writes what was appended before it closes, and refuses what comes after', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk);
    const appended = append(log, [frame(0, 100)]);
    await log.close();
    expect((await appended).kind).toBe('persisted');
    expect(await append(log, [frame(1, 1)])).toMatchObject({ kind: 'failed', reason: 'closed' });
  });

  it('loses nothing it acknowledged when the power fails, whatever part of an unfinished write survives', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 20 }),
        fc.nat(20),
        fc.nat(),
        async (sizes, flushesBeforeCrash, seed) => {
          const disk = new MemoryDisk();
          const { log } = await open(disk, { fileBytesMax: 700 });
          let flushes = 0;
          let crashed = false;
          disk.fault = (operation) => {
            if (operation === 'append') flushes += 1;
            crashed ||= flushes > flushesBeforeCrash;
            return crashed ? 'EIO' : undefined;
          };
          const acknowledged: Buffer[] = [];
          const frames = sizes.map((size, index) => frame(index * 300, size));
          for (const bytes of frames) {
            const result = await append(log, [bytes]);
            if (result.kind === 'persisted') acknowledged.push(Buffer.from(bytes));
          }
          disk.fault = () => undefined;
          disk.crash((_path, unflushed) => seed % (unflushed + 1));
          const { found, recovery } = await open(disk, { fileBytesMax: 700 });
          expect(buffers(found).slice(0, acknowledged.length)).toEqual(acknowledged);
          expect(found.length).toBeLessThanOrEqual(acknowledged.length + 1);
          expect(recovery.damage).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('files', () => {
  it('rolls to the next file and flushes the directory before the first acknowledgement from it', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk, { fileBytesMax: 500 });
    const positions: LogPosition[] = [];
    for (let index = 0; index < 10; index += 1) {
      positions.push(...(await persist(log, [frame(index, 156)])));
      disk.crash();
    }
    expect(positions.map(({ file }) => file)).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    const again = await open(disk, { fileBytesMax: 500 });
    expect(again.found.map(({ position }) => position)).toEqual(positions);
    expect(again.recovery.files).toBe(5);
  });

  it('puts an append longer than a file into a file of its own', async () => {
    const { log } = await open(new MemoryDisk(), { fileBytesMax: 500 });
    await persist(log, [frame(0, 10)]);
    const positions = await persist(log, [frame(1, 400), frame(2, 400)]);
    expect(positions.map(({ file, offset }) => [file, offset])).toEqual([
      [2, 0],
      [2, 400 + header],
    ]);
    expect((await persist(log, [frame(3, 10)]))[0]?.file).toBe(3);
  });

  it('goes on behind the last frame after a restart', async () => {
    const disk = new MemoryDisk();
    const first = await open(disk);
    await persist(first.log, [frame(0, 10)]);
    await first.log.close();
    const second = await open(disk);
    expect(await persist(second.log, [frame(10, 10)])).toEqual([
      { file: 1, offset: 10 + header, length: 10 + header },
    ]);
    expect((await open(disk)).found).toHaveLength(2);
  });

  it('reads frames from memory while they are new and from disk when they no longer are', async () => {
    const { log } = await open(new MemoryDisk(), {
      fileBytesMax: 2000,
      tailBytesMax: 6 * (100 + header),
      openFilesMax: 2,
    });
    const frames = Array.from({ length: 40 }, (_, index) => frame(index * 100, 100));
    const positions: LogPosition[] = [];
    for (const bytes of frames) positions.push(...(await persist(log, [bytes])));
    const reads = await Promise.all(positions.map((position) => log.read(position)));
    expect(reads).toMatchObject(frames.map((bytes) => ({ kind: 'ok', bytes: Buffer.from(bytes) })));
    expect(log.counters.readsFromTail).toBe(6);
    expect(log.counters.readsFromDisk).toBe(34);
  });

  it('answers a read it cannot do with a value', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk, { tailBytesMax: 0 });
    const [position] = await persist(log, [frame(0, 100)]);
    if (position === undefined) throw new Error('no position');
    expect((await log.read({ ...position, length: 101 + header })).kind).toBe('failed');
    expect((await log.read({ ...position, file: 9 })).kind).toBe('failed');
    disk.fault = (operation) => (operation === 'read' ? 'EIO' : undefined);
    expect(await log.read(position)).toMatchObject({ kind: 'failed', message: 'EIO: injected' });
  });
});

describe('a disk that fails', () => {
  it('answers disk-full, leaves no partial bytes, and works again once there is space', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk);
    await persist(log, [frame(0, 100)]);
    disk.capacityBytes = 200;
    const full = await Promise.all([append(log, [frame(100, 100)]), append(log, [frame(200, 10)])]);
    expect(full).toMatchObject([
      { kind: 'failed', reason: 'disk-full' },
      { kind: 'failed', reason: 'disk-full' },
    ]);
    expect(disk.contents(firstFile).length).toBe(100 + header);
    expect(await append(log, [frame(100, 100)])).toMatchObject({ kind: 'failed', reason: 'disk-full' });
    disk.capacityBytes = 10_000;
    expect(await persist(log, [frame(100, 100)])).toEqual([
      { file: 1, offset: 100 + header, length: 100 + header },
    ]);
    expect(log.failure).toBeUndefined();
    expect(log.queuedBytes).toBe(0);
    expect((await open(disk)).found).toHaveLength(2);
  });

  it('answers disk-full when there is no space for the next file, and works again later', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk, { fileBytesMax: 100 });
    await persist(log, [frame(0, 50)]);
    disk.fault = (operation) => (operation === 'open' ? 'ENOSPC' : undefined);
    expect(await append(log, [frame(50, 50)])).toMatchObject({ kind: 'failed', reason: 'disk-full' });
    disk.fault = () => undefined;
    expect((await persist(log, [frame(50, 50)]))[0]?.file).toBe(2);
  });

  it('never retries after a failed append: everything from then on fails', async () => {
    const disk = new MemoryDisk();
    const failures: string[] = [];
    const { log } = await open(disk, { onFailed: (message) => failures.push(message) });
    const [kept] = await persist(log, [frame(0, 100)]);
    disk.fault = (asked) => (asked === 'append' ? 'EIO' : undefined);
    const both = await Promise.all([append(log, [frame(100, 100)]), append(log, [frame(200, 100)])]);
    disk.fault = () => undefined;
    const appends = disk.operations.filter((asked) => asked === 'append').length;
    expect([...both, await append(log, [frame(100, 100)])]).toMatchObject(
      Array.from({ length: 3 }, () => ({ kind: 'failed', reason: 'io-error' })),
    );
    expect(disk.operations.filter((asked) => asked === 'append').length).toBe(appends);
    expect(failures).toEqual(['EIO: injected']);
    expect(log.failure).toBe('EIO: injected');
    // The bytes of the failed write must not look durable to the next start.
    expect(disk.contents(firstFile).length).toBe(100 + header);
    expect(kept && (await log.read(kept)).kind).toBe('ok');
    await log.close();
  });

  it('fails for good when the flush of the directory fails', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk);
    disk.fault = (operation) => (operation === 'syncDirectory' ? 'EIO' : undefined);
    expect(await append(log, [frame(0, 1)])).toMatchObject({ kind: 'failed', reason: 'io-error' });
    expect(log.failure).toContain('EIO');
  });

  it('does not open when the flush of what is on disk fails', async () => {
    const disk = new MemoryDisk();
    disk.put(firstFile, frame(0, 10));
    disk.fault = (operation) => (operation === 'fdatasync' ? 'EIO' : undefined);
    const opened = await HotLog.open({ directory, disk, onFrame: () => undefined });
    expect(opened).toMatchObject({ kind: 'failed', reason: 'io-error' });
  });
});

describe('on a real disk', () => {
  const cleanups: (() => void)[] = [];
  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  });

  function temporary(): string {
    const path = mkdtempSync(join(tmpdir(), 'sextant-log-'));
    cleanups.push(() => rmSync(path, { recursive: true, force: true }));
    return path;
  }

  it('writes, rolls, reads, survives a torn tail and closes its files', async () => {
    const path = join(temporary(), 'log');
    const { log } = await open(nodeDisk, { directory: path, fileBytesMax: 10_000, tailBytesMax: 3_000 });
    const frames = Array.from({ length: 60 }, (_, index) => Buffer.from(frame(index * 500, 500)));
    const positions = (await Promise.all(frames.map((bytes) => persist(log, [bytes])))).flat();
    const reads = await Promise.all(positions.map((position) => log.read(position)));
    expect(reads).toMatchObject(frames.map((bytes) => ({ kind: 'ok', bytes })));
    expect(log.counters.batches).toBeLessThan(60);
    await log.close();
    const last = readdirSync(path).sort().at(-1) ?? '';
    const lastPath = join(path, last);
    const { offset = 0, length = 0 } = positions.at(-1) ?? {};
    const end = offset + length;
    const torn = readFileSync(lastPath);
    torn.set(frame(30_000, 100).subarray(0, 90), end);
    writeFileSync(lastPath, torn);
    const again = await open(nodeDisk, { directory: path });
    expect(buffers(again.found)).toEqual(frames);
    expect(again.recovery.tornTail).toMatchObject({ offset: end, length: 90 });
    expect(statSync(lastPath).size).toBe(end);
    const next = Buffer.from(frame(30_000, 100));
    expect(await persist(again.log, [next])).toMatchObject([{ offset: end }]);
    await again.log.close();
    const third = await open(nodeDisk, { directory: path });
    expect(buffers(third.found)).toEqual([...frames, next]);
    await third.log.close();
  });

  it('answers disk-full on a disk of one megabyte, keeps what it acknowledged, and recovers with space', async (context) => {
    const path = temporary();
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path], { stdio: 'ignore' });
    } catch {
      context.skip('mounting a tmpfs needs root');
    }
    cleanups.push(() => execFileSync('umount', ['-l', path]));
    const ballast = join(path, 'ballast');
    writeFileSync(ballast, Buffer.alloc(500_000));
    const { log } = await open(nodeDisk, { directory: join(path, 'log'), fileBytesMax: 200_000 });
    let acknowledged = 0;
    let result = await append(log, [frame(0, 30_000)]);
    while (result.kind === 'persisted') {
      acknowledged += 1;
      result = await append(log, [frame(acknowledged, 30_000)]);
    }
    expect(result).toMatchObject({ kind: 'failed', reason: 'disk-full' });
    expect(acknowledged).toBeGreaterThan(5);
    expect(await append(log, [frame(acknowledged, 30_000)])).toMatchObject({ reason: 'disk-full' });
    rmSync(ballast);
    await persist(log, [frame(acknowledged, 30_000)]);
    await log.close();
    const again = await open(nodeDisk, { directory: join(path, 'log') });
    expect(again.found).toHaveLength(acknowledged + 1);
    expect(again.recovery.damage).toEqual([]);
    await again.log.close();
  });
});
