/** Redo of a large transaction, written by the engine's thread and read by the main thread as the storage nodes take it. */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { type PgId, pgId, type StoredMtr } from '../../../storage/redo.ts';
import type { RedoPlace } from './core/redo-place.ts';
import type { ScratchFile, ScratchSpace } from './scratch-space.ts';

const numbersOfStretch = 3;

export class RedoFile {
  private readonly file: ScratchFile;
  private readonly stretches: number[] = [];

  /** @throws ScratchError when the folder takes no file. */
  constructor(space: ScratchSpace) {
    this.file = space.open();
  }

  /** @throws ScratchError when there is no room */
  add(pg: PgId, bytes: Uint8Array): void {
    this.file.write(bytes, this.file.length);
    this.stretches.push(pg, bytes.length, crc32(bytes));
  }

  get byteLength(): number {
    return this.file.length;
  }

  get place(): RedoPlace {
    return { fd: this.file.fd, stretches: Uint32Array.from(this.stretches) };
  }

  close(): void {
    this.file.close();
  }
}

const readAt = promisify(read);

/** The main thread's side. @param commits how many transactions committed with it. */
export function storedMtrOf({ fd, stretches: numbers }: RedoPlace, commits: number): StoredMtr {
  const stretches: {
    readonly pg: PgId;
    readonly length: number;
    readonly at: number;
    readonly crc: number;
  }[] = [];
  let byteLength = 0;
  for (let at = 0; at < numbers.length; at += numbersOfStretch) {
    const [pg = 0, length = 0, crc = 0] = numbers.subarray(at, at + numbersOfStretch);
    stretches.push({ pg: pgId(pg), length, at: byteLength, crc });
    byteLength += length;
  }
  return {
    stretches,
    byteLength,
    commits,
    read: async (from, to) => {
      const wanted = stretches.slice(from, to);
      const start = wanted[0]?.at ?? 0;
      const bytes = new Uint8Array(wanted.reduce((sum, { length }) => sum + length, 0));
      for (let read = 0; read < bytes.length; ) {
        const { bytesRead } = await readAt(fd, bytes, read, bytes.length - read, start + read);
        if (bytesRead === 0) throw new Error('the temporary file with its redo ends too early');
        read += bytesRead;
      }
      // A disk may give something else back, and so does a file of that number that is not this one any more.
      return wanted.map(({ at, length, crc }) => {
        const part = bytes.subarray(at - start, at - start + length);
        if (crc32(part) !== crc) throw new Error('the temporary file does not hold what was written to it');
        return part;
      });
    },
  };
}
