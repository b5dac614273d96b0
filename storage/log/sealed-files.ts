/** Index files at a start: those that may be believed in place of their log files, and those that are of no use. */
import { join } from 'node:path';
import { type DecodedIndex, decodeSealedIndex, sealedIndexBytesMax } from './core/sealed-index.ts';
import { type Disk, type DiskResult, onDisk, readFully } from './disk.ts';
import { indexFileName, indexFileNumbers, type LogFileLease } from './hot-log-files.ts';
import { withFile } from './state-file.ts';

const unfinished = /^\d{10}\.idx\.new$/;

/**
 * Removes indexes that a crash left behind: of files that were dropped, and those that were not finished.
 * @returns the numbers of the files that have one. What cannot be removed does no harm and stays.
 */
export async function tidyIndexes(
  disk: Disk,
  directory: string,
  names: readonly string[],
  numbers: ReadonlySet<number>,
): Promise<ReadonlySet<number>> {
  const indexed = indexFileNumbers(names);
  const gone = indexed.filter((number) => !numbers.has(number)).map(indexFileName);
  for (const name of [...gone, ...names.filter((name) => unfinished.test(name))])
    await onDisk<void>((done) => disk.remove(join(directory, name), done));
  return new Set(indexed);
}

/** Reads the index of a log file, and whether the log file is as long as it says. Never fails: what is not sure is `bad`. */
export async function readSealedIndex(
  disk: Disk,
  directory: string,
  number: number,
  log: LogFileLease,
): Promise<DecodedIndex> {
  const read = await withFile<Uint8Array>(
    disk,
    join(directory, indexFileName(number)),
    'existing',
    readWhole,
  );
  if (read.kind === 'failed') return { kind: 'bad', reason: read.message };
  const decoded = decodeSealedIndex(read.value, number);
  if (decoded.kind === 'bad') return decoded;
  const size = await onDisk<number>((done) => log.file.sizeBytes(done));
  if (size.kind === 'failed') return { kind: 'bad', reason: size.message };
  const { logBytes } = decoded.index;
  if (size.value >= logBytes) return decoded;
  return { kind: 'bad', reason: `it is of ${logBytes} bytes of log, and there are ${size.value}` };
}

async function readWhole(file: LogFileLease['file']): Promise<DiskResult<Uint8Array>> {
  const size = await onDisk<number>((done) => file.sizeBytes(done));
  if (size.kind === 'failed') return size;
  if (size.value > sealedIndexBytesMax)
    return { kind: 'failed', code: 'EFBIG', message: `longer than ${sealedIndexBytesMax} bytes` };
  const bytes = new Uint8Array(size.value);
  const read = await onDisk<number>((done) => readFully(file, bytes, 0, done));
  return read.kind === 'failed' ? read : { kind: 'ok', value: bytes.subarray(0, read.value) };
}
