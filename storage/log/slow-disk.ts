/**
 * A disk that a drill can make slow: every append, which is a write and a flush, takes so much longer. This machine's disk
 * does its appends within the call and holds the thread up meanwhile, and so does the delay: a node with a slow disk serves
 * nothing else while it flushes.
 */
import type { Disk, DiskFile } from './disk.ts';

export interface SlowableDisk {
  readonly disk: Disk;
  /** From now on each append takes `delayMs` longer; 0, as at first, for none. */
  readonly slow: (delayMs: number) => void;
}

/** Longer than any rehearsal needs; a stranger's figure must not stop a node for good. */
const delayMsMax = 10_000;

/** `real`, and a way to make its appends slow. */
export function slowableDisk(real: Disk): SlowableDisk {
  let delayMs = 0;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const slowFile = (file: DiskFile): DiskFile => ({
    writev: (buffers, position, done) => file.writev(buffers, position, done),
    append: (buffers, position, done) => {
      if (delayMs > 0) Atomics.wait(sleeper, 0, 0, delayMs);
      file.append(buffers, position, done);
    },
    fdatasync: (done) => file.fdatasync(done),
    read: (into, position, done) => file.read(into, position, done),
    sizeBytes: (done) => file.sizeBytes(done),
    truncate: (sizeBytes, done) => file.truncate(sizeBytes, done),
    close: (done) => file.close(done),
  });
  const disk: Disk = {
    ...real,
    open: (path, mode, done) =>
      real.open(path, mode, (opened) =>
        done(opened.kind === 'ok' ? { kind: 'ok', value: slowFile(opened.value) } : opened),
      ),
  };
  return {
    disk,
    slow: (ms) => {
      delayMs = Math.min(Math.max(0, ms), delayMsMax);
    },
  };
}

/** The delay that a message of the supervisor orders, in milliseconds; null for any other message. */
export function slowDiskOrder(message: unknown): number | null {
  if (typeof message !== 'object' || message === null) return null;
  if (!('kind' in message) || message.kind !== 'slow-disk') return null;
  return 'delayMs' in message && typeof message.delayMs === 'number' && message.delayMs >= 0
    ? message.delayMs
    : null;
}
