import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Disk } from '../../../storage/log/disk.ts';
import { lsn } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from './hot-log-memory-disk.ts';
import { frameLength, logDirectory, reign, SealedLog } from './sealed-log.ts';

const path = (name: string): string => `${logDirectory}/${name}`;
const logOf = (number: number): string => path(`000000000${number}.log`);
const indexOf = (number: number): string => path(`000000000${number}.idx`);
const sealedIn = ({ log }: SealedLog): readonly number[] =>
  log.files.filter(({ sealed }) => sealed).map(({ number }) => number);

/** Ten frames a file; the last file holds five. */
async function fiveFiles(disk: Disk): Promise<SealedLog> {
  const store = await SealedLog.open(disk);
  expect(await store.append(0, 45)).toBe(45);
  return store;
}

/** The disk, with every byte read from a log file counted. */
function countingReads(disk: MemoryDisk, onRead: (file: string, bytes: number) => void): Disk {
  return {
    makeDirectory: (...all) => disk.makeDirectory(...all),
    list: (...all) => disk.list(...all),
    rename: (...all) => disk.rename(...all),
    remove: (...all) => disk.remove(...all),
    syncDirectory: (...all) => disk.syncDirectory(...all),
    open: (file, mode, done) =>
      disk.open(file, mode, (opened) => {
        if (opened.kind === 'failed') return done(opened);
        const { read } = opened.value;
        opened.value.read = (into, position, answer) => {
          onRead(file, into.length);
          read(into, position, answer);
        };
        done(opened);
      }),
  };
}

describe('sealing', () => {
  it('seals the files that take no more frames, with the times of their first and last commit', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    expect(store.log.files).toEqual([
      { number: 1, bytes: 460, sealed: true, firstCommitUs: 1_000, lastCommitUs: 1_009 },
      { number: 2, bytes: 460, sealed: true, firstCommitUs: 1_010, lastCommitUs: 1_019 },
      { number: 3, bytes: 460, sealed: true, firstCommitUs: 1_020, lastCommitUs: 1_029 },
      { number: 4, bytes: 460, sealed: true, firstCommitUs: 1_030, lastCommitUs: 1_039 },
      { number: 5, bytes: 230, sealed: false, firstCommitUs: null, lastCommitUs: null },
    ]);
    expect(store.log.bytes).toBe(45 * frameLength);
  });

  it('waits with a file whose frames are still told apart, and not with the ones behind it', async () => {
    const store = await fiveFiles(new MemoryDisk());
    await store.seal(lsn(250));
    expect(sealedIn(store)).toEqual([1, 2]);
    await store.seal(lsn(300));
    expect(sealedIn(store)).toEqual([1, 2, 3]);
  });

  test('a start reads no byte of a sealed file, and knows the same', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    await store.log.close();
    const read = new Map<string, number>();
    const again = await SealedLog.open(countingReads(disk, (file, bytes) => read.set(file, bytes)));
    expect([...read.keys()].filter((file) => file.endsWith('.log'))).toEqual([logOf(5)]);
    expect(again.recovery).toMatchObject({
      files: 5,
      sealed: 4,
      frames: 5,
      frameBytes: 45 * frameLength,
      unbelieved: [],
    });
    expect(again.log.files).toEqual(store.log.files);
    expect(again.segment.volumeEnd(reign)).toBe(450);
    expect(await again.readable()).toBe(45);
    expect(await again.append(45, 60)).toBe(15);
  });

  test('an index with any byte changed, or cut anywhere, is as good as none (S16)', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    await store.log.close();
    const good = disk.contents(indexOf(2));
    for (let at = 0; at < good.length; at += 7) {
      const rotten = Buffer.from(good);
      rotten[at] = (rotten[at] ?? 0) ^ 0x40;
      disk.put(indexOf(2), at % 2 === 0 ? rotten : good.subarray(0, at));
      const again = await SealedLog.open(disk);
      expect(again.recovery).toMatchObject({ sealed: 3, unbelieved: [{ file: 2 }], damage: [] });
      expect(await again.readable()).toBe(45);
      await again.log.close();
    }
  });

  test('an index of a log file that has become shorter is not believed', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    await store.log.close();
    disk.put(logOf(2), disk.contents(logOf(2)).subarray(0, 300));
    const again = await SealedLog.open(disk);
    expect(again.recovery.unbelieved).toEqual([
      { file: 2, reason: 'it is of 460 bytes of log, and there are 300' },
    ]);
    expect(await again.readable()).toBe(16);
  });

  test('an index without its log file, and one that was not finished, are removed at a start', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    await store.log.close();
    disk.put(indexOf(9), disk.contents(indexOf(2)));
    disk.put(`${indexOf(4)}.new`, new Uint8Array(5));
    await SealedLog.open(disk);
    expect(disk.paths().filter((file) => file.endsWith('.idx') || file.endsWith('.new'))).toEqual(
      [1, 2, 3, 4].map(indexOf),
    );
  });

  test('a full disk leaves a file unsealed and says so; later it is sealed', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    disk.fault = (operation, file) =>
      operation === 'writev' && file.includes('.idx') ? 'ENOSPC' : undefined;
    await store.seal();
    expect(sealedIn(store)).toEqual([]);
    expect(store.troubles).toContain('log file 1 could not be sealed: a start will read it');
    disk.fault = () => undefined;
    await store.seal();
    expect(sealedIn(store)).toEqual([1, 2, 3, 4]);
  });

  test('a stretch of which another file holds a part is read frame by frame: nothing may lie across what is there (S16)', async () => {
    const disk = new MemoryDisk();
    const options = { fileBytesMax: 100 * frameLength };
    const reopened = async (store: SealedLog): Promise<SealedLog> => {
      await store.log.close();
      return SealedLog.open(disk, options);
    };
    let store = await SealedLog.open(disk, options);
    await store.append(0, 250);
    await store.seal();
    // All of file 1 is unclaimed, and comes back to the end of the log.
    for (const entry of store.segment.entriesIn(1)) store.segment.takeOut(entry);
    await store.log.unseal(1);
    await store.append(0, 100);
    await store.append(250, 450);
    await store.seal();
    await store.log.unseal(3);
    await store.log.unseal(4);
    store = await reopened(store);
    await store.seal();
    expect(store.segment.entriesIn(1)).toEqual([]);
    expect(store.segment.entriesIn(4).map(({ base, end }) => [base, end])).toContainEqual([500, 1000]);
    // Now file 1 is read again, and all of it but one frame is good.
    await store.log.unseal(1);
    disk.rot(logOf(1), 70 * frameLength + 20);
    store = await reopened(store);
    expect(store.recovery).toMatchObject({
      damageCount: 1,
      unbelieved: [{ file: 4, reason: 'it overlaps what other files hold' }],
    });
    expect(store.segment.volumeEnd(reign)).toBe(4500);
    expect(await store.readable()).toBe(450);
  });

  it('loses nothing, claims nothing that is not there and opens again, wherever sealing and dropping are cut off', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.nat(4), fc.nat(), async (operationsMax, dropTo, seed) => {
        const disk = new MemoryDisk();
        const store = await fiveFiles(disk);
        let left = operationsMax;
        disk.fault = () => (left-- > 0 ? undefined : 'EIO');
        await store.seal();
        const dropped = await store.log.dropThrough(dropTo);
        disk.fault = () => undefined;
        disk.crash((_file, unflushed) => seed % (unflushed + 1));
        const again = await SealedLog.open(disk);
        expect(again.recovery.damage).toEqual([]);
        const numbers = again.log.files.map(({ number }) => number);
        expect(numbers.filter((number) => number > dropTo)).toEqual(
          [1, 2, 3, 4, 5].filter((n) => n > dropTo),
        );
        if (dropped.kind === 'dropped') expect(numbers[0]).toBe(dropTo + 1);
        for (const entry of numbers.flatMap((number) => again.segment.entriesIn(number)))
          expect((await again.frames.read([entry])).kind).toBe('ok');
        expect(again.rotten).toEqual([]);
        expect(await again.append(45, 50)).toBe(5);
      }),
      { numRuns: 150 },
    );
  });
});

describe('rot in a sealed file', () => {
  test('is found by the reader, and without its index the next start does not count it (S15, S16)', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    disk.rot(logOf(3), 5 * frameLength + 40);
    expect(await store.readable()).toBe(25);
    expect(store.rotten.map(({ base, end }) => [base, end])).toEqual([[250, 260]]);
    await store.log.unseal(3);
    disk.crash();
    const again = await SealedLog.open(disk);
    expect(again.recovery).toMatchObject({ sealed: 3, damageCount: 1 });
    expect(again.segment.volumeEnd(reign)).toBe(250);
    expect(again.rotten).toEqual([]);
  });

  test('an index that is taken away while it is written does not come back (S16)', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    const sealing = store.log.seal(1, store.segment.entriesIn(1), {
      firstCommitUs: null,
      lastCommitUs: null,
    });
    const unsealed = store.log.unseal(1);
    expect(await sealing).toEqual({ kind: 'changed' });
    expect(await unsealed).toMatchObject({ kind: 'ok' });
    expect(disk.paths().includes(indexOf(1))).toBe(false);
    expect(sealedIn(store)).toEqual([]);
  });
});

describe('dropping files', () => {
  it('removes a prefix with its indexes, and answers reads of it clearly (S17)', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    await store.seal();
    const [old] = store.segment.entriesIn(2);
    if (old === undefined) throw new Error('file 2 holds an entry');
    expect(await store.log.dropThrough(3)).toEqual({ kind: 'dropped', files: 3, bytes: 30 * frameLength });
    expect(disk.paths().filter((file) => file.startsWith(logDirectory))).toEqual([
      indexOf(4),
      logOf(4),
      logOf(5),
    ]);
    expect(await store.log.read(old.position)).toEqual({
      kind: 'failed',
      reason: 'dropped',
      message: 'log file 2 was dropped: all of it is in page images',
    });
    expect((await store.frames.read([old])).kind).toBe('bad');
    expect(store.rotten).toEqual([]);
    disk.crash();
    expect((await SealedLog.open(disk)).log.files.map(({ number }) => number)).toEqual([4, 5]);
  });

  it('never removes the last file, by whose number the next start goes on (S17)', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    expect(await store.log.dropThrough(99)).toMatchObject({ kind: 'dropped', files: 4 });
    expect(await store.append(45, 50)).toBe(5);
    await store.log.close();
    const again = await SealedLog.open(disk);
    expect(await again.log.dropThrough(99)).toMatchObject({ files: 0 });
    expect(again.log.files.map(({ number }) => number)).toEqual([5]);
  });

  it('forgets what it has in memory of them', async () => {
    const store = await SealedLog.open(new MemoryDisk(), { tailBytesMax: 1e6 });
    await store.append(0, 45);
    const [old] = store.segment.entriesIn(1);
    const [young] = store.segment.entriesIn(5);
    if (old === undefined || young === undefined) throw new Error('the files hold entries');
    await store.log.dropThrough(1);
    expect(await store.log.read(old.position)).toMatchObject({ reason: 'dropped' });
    expect(await store.log.read(young.position)).toMatchObject({ kind: 'ok', fromDisk: false });
  });

  it('answers reads that are under way when their file goes', async () => {
    const store = await fiveFiles(new MemoryDisk());
    const entries = [1, 2, 3].flatMap((file) => store.segment.entriesIn(file));
    const reading = entries.map(({ position }) => store.log.read(position));
    await store.log.dropThrough(3);
    for (const read of await Promise.all(reading))
      expect(read.kind === 'ok' || read.reason === 'dropped').toBe(true);
    expect(store.rotten).toEqual([]);
  });

  it('says what it could not remove, and goes on where it stopped', async () => {
    const disk = new MemoryDisk();
    const store = await fiveFiles(disk);
    const remove = disk.remove.bind(disk);
    disk.remove = (file, done) =>
      file === logOf(2) ? done({ kind: 'failed', code: 'EROFS', message: 'read-only' }) : remove(file, done);
    expect(await store.log.dropThrough(3)).toEqual({
      kind: 'failed',
      message: '0000000002.log cannot be removed: read-only',
    });
    expect(store.log.files.map(({ number }) => number)).toEqual([2, 3, 4, 5]);
    expect(await store.log.read({ file: 2, offset: 0, length: frameLength })).toMatchObject({ kind: 'ok' });
    disk.remove = remove;
    expect(await store.log.dropThrough(3)).toMatchObject({ kind: 'dropped', files: 2 });
  });
});
