/** What the hot log takes, answers and counts. */
import type { Runtime } from '../process/runtime.ts';
import type { ReceivedFrame } from '../redo/frame.ts';
import { nodeLimits } from '../redo/limits.ts';
import type { Disk, DiskFailureReason } from './disk.ts';
import type { LogPosition } from './hot-log-scan.ts';

const MiB = 1024 * 1024;

/** Bounds of the log; what is not given is the default. */
export interface HotLogBounds {
  /** A file that has reached this many bytes takes no more. */
  readonly fileBytesMax: number;
  /** Bytes appended and not yet called back, above which appends are refused. */
  readonly queueBytesMax: number;
  /** Bytes written in one go; also how long a torn tail can be. The same on every start of a node. */
  readonly batchBytesMax: number;
  /** Bytes written last that are kept in memory for readers. */
  readonly tailBytesMax: number;
  /** Files held open for readers. */
  readonly openFilesMax: number;
}

export interface HotLogOptions extends Partial<HotLogBounds> {
  /** Directory of the log's files; made when absent. Nothing else should write into it. */
  readonly directory: string;
  readonly disk: Disk;
  /** Default: this machine. */
  readonly runtime?: Runtime;
  /**
   * Gets every frame on disk, in the order of the log, before `open` resolves. The frame's bytes are a view valid only
   * during the call. Frames are durable by the time `open` resolves, not before.
   */
  readonly onFrame: (position: LogPosition, frame: ReceivedFrame) => void;
  /** Hears how long each batch took to write and flush, milliseconds. */
  readonly onFlushed?: (tookMs: number) => void;
  /** Runs once, when the log fails for good; every append from then on fails with `io-error`. */
  readonly onFailed?: (message: string) => void;
}

export type LogFailureReason = DiskFailureReason;

export type AppendResult =
  /** One position for each frame, in order. */
  | { readonly kind: 'persisted'; readonly positions: readonly LogPosition[] }
  | {
      readonly kind: 'failed';
      /** `disk-full` and `queue-full` may pass; `io-error` and `closed` are for good. */
      readonly reason: LogFailureReason | 'queue-full' | 'closed';
      readonly message: string;
    };

export type LogRead =
  /** Bytes that never change; the checksum is the caller's to check. */
  { readonly kind: 'ok'; readonly bytes: Uint8Array } | { readonly kind: 'failed'; readonly message: string };

/** Running totals since the log was opened. */
export interface LogCounters {
  batches: number;
  appends: number;
  bytesWritten: number;
  appendsFailed: number;
  readsFromTail: number;
  readsFromDisk: number;
}

export const hotLogDefaults: HotLogBounds = {
  fileBytesMax: 64 * MiB,
  queueBytesMax: nodeLimits.pendingBytesMax,
  batchBytesMax: 4 * MiB,
  tailBytesMax: 8 * MiB,
  openFilesMax: 16,
};
