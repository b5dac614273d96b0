/** What a disk is kept busy with until somebody ends it, and how it is told afterwards what was there. */
import { type Disk, type DiskFile, type DiskResult, onDisk, writeFully } from '../../storage/log/disk.ts';

/** Bytes without a zero, so that what is missing can be told from what is there. */
export const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => 1 + ((at * 7 + seed * 13) % 250));

/** The append of this number: of every length around a block and a page. */
export const appended = (number: number): readonly Uint8Array[] => {
  const length = 1 + ((number * 1_237) % 9_000);
  return [pattern(Math.ceil(length / 3), number), pattern(length - Math.ceil(length / 3), number + 1)];
};

/** The value of this number, for a file that is replaced as a whole. */
export const replaced = (number: number): Uint8Array => pattern(1_000 + (number % 5) * 3_000, number);

export const logName = 'log';
export const stateName = 'state';

export const lengthOf = (buffers: readonly Uint8Array[]): number =>
  buffers.reduce((sum, { length }) => sum + length, 0);

/** Appends to a new file without end. @param acknowledged hears how many have been called back. @throws Error when one fails */
export async function appendForEver(
  disk: Disk,
  directory: string,
  acknowledged: (count: number) => void,
): Promise<never> {
  const file = ok(await onDisk<DiskFile>((done) => disk.open(`${directory}/${logName}`, 'create', done)));
  // The name of a new file is made durable by its directory.
  ok(await onDisk<void>((done) => disk.syncDirectory(directory, done)));
  for (let number = 0, position = 0; ; number += 1) {
    const buffers = appended(number);
    const at = position;
    ok(await onDisk<void>((done) => file.append(buffers, at, done)));
    position += lengthOf(buffers);
    acknowledged(number + 1);
  }
}

/** Replaces one file as a whole without end: written beside, flushed, renamed, its directory flushed. */
export async function replaceForEver(
  disk: Disk,
  directory: string,
  acknowledged: (count: number) => void,
): Promise<never> {
  for (let number = 0; ; number += 1) {
    const beside = `${directory}/${stateName}.new`;
    const file = ok(await onDisk<DiskFile>((done) => disk.open(beside, 'replace', done)));
    ok(await onDisk<void>((done) => writeFully(file, [replaced(number)], 0, done)));
    ok(await onDisk<void>((done) => file.fdatasync(done)));
    ok(await onDisk<void>((done) => file.close(done)));
    ok(await onDisk<void>((done) => disk.rename(beside, `${directory}/${stateName}`, done)));
    ok(await onDisk<void>((done) => disk.syncDirectory(directory, done)));
    acknowledged(number + 1);
  }
}

/** The value of an operation that has to succeed. */
export function ok<T>(result: DiskResult<T>): T {
  if (result.kind === 'failed') throw new Error(`${result.code}: ${result.message}`);
  return result.value;
}
