/** A log under test on a disk in memory: how it is opened and written, and what it found. */
import {
  type AppendResult,
  HotLog,
  type HotLogOptions,
  type LogPosition,
  type LogRecovery,
} from '../../../storage/log/hot-log.ts';
import { encodeFrame, frameHeaderBytes } from '../../../storage/redo/frame.ts';
import { epoch, lsn, pgId } from '../../../storage/redo/ids.ts';
import { MemoryDisk } from './hot-log-memory-disk.ts';

export const directory = '/data/log';
export const firstFile = `${directory}/0000000001.log`;

export const header = frameHeaderBytes;

export function frame(base: number, payload: Uint8Array | number): Uint8Array {
  const bytes = typeof payload === 'number' ? new Uint8Array(payload).fill(base % 251) : payload;
  return encodeFrame({ epoch: epoch(1), pg: pgId(0), base: lsn(base), prevPg: lsn(base) }, [bytes]);
}

interface Opened {
  readonly log: HotLog;
  readonly recovery: LogRecovery;
  readonly found: { readonly position: LogPosition; readonly bytes: Buffer }[];
}

export async function open(
  disk: HotLogOptions['disk'],
  options: Partial<HotLogOptions> = {},
): Promise<Opened> {
  const found: Opened['found'] = [];
  const opened = await HotLog.open({
    directory,
    disk,
    onFrame: (position, { bytes }) => found.push({ position, bytes: Buffer.from(bytes) }),
    ...options,
  });
  if (opened.kind === 'failed') throw new Error(opened.message);
  return { ...opened, found };
}

export function append(log: HotLog, frames: readonly Uint8Array[]): Promise<AppendResult> {
  return new Promise((resolve) => log.append(frames, resolve));
}

export async function persist(log: HotLog, frames: readonly Uint8Array[]): Promise<readonly LogPosition[]> {
  const result = await append(log, frames);
  if (result.kind === 'failed') throw new Error(`${result.reason}: ${result.message}`);
  return result.positions;
}

export async function scan(
  bytes: Uint8Array,
  options: Partial<HotLogOptions> = {},
): Promise<Opened & { readonly disk: MemoryDisk }> {
  const disk = new MemoryDisk();
  disk.put(firstFile, bytes);
  return { ...(await open(disk, options)), disk };
}

export const buffers = (found: Opened['found']): readonly Buffer[] => found.map(({ bytes }) => bytes);
