/** What the disk itself takes: 512 bytes appended to a file and synced, again and again. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Histogram, type HistogramData } from './histogram.ts';

const recordBytes = 512;

/** @param directory on the file system the systems under test keep their data on. */
export function measureFdatasync(directory: string, ms: number): HistogramData {
  const file = openSync(join(directory, 'fdatasync'), 'w');
  const record = Buffer.alloc(recordBytes, 1);
  const latency = new Histogram();
  const endMs = performance.now() + ms;
  for (let now = performance.now(); now < endMs; ) {
    writeSync(file, record);
    fdatasyncSync(file);
    const after = performance.now();
    latency.record((after - now) * 1_000);
    now = after;
  }
  closeSync(file);
  return latency.data();
}
