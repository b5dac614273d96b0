/** What the hot log takes, answers and counts. */
import type { Runtime } from '../process/runtime.ts';
import type { ReceivedFrame } from '../redo/frame.ts';
import { nodeLimits } from '../redo/limits.ts';
import type { HeldFrame } from './core/held-frames.ts';
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
   * Gets every frame of the files that are read, in the order of the log, before `open` resolves. The frame's bytes are a view
   * valid only during the call. Frames are durable by the time `open` resolves, not before.
   */
  readonly onFrame: (position: LogPosition, frame: ReceivedFrame) => void;
  /**
   * Gets what a sealed file holds, in place of its frames and in its turn. @returns false when that does not go together with
   * what is known already: the file is read then. Without it every file is read.
   */
  readonly onSealed?: (entries: readonly HeldFrame[]) => boolean;
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
  /** Bytes that never change; the checksum of those that come from the disk is the caller's to check. */
  | { readonly kind: 'ok'; readonly bytes: Uint8Array; readonly fromDisk: boolean }
  | {
      readonly kind: 'failed';
      /** `dropped`: the file was collected. `busy`: no file handle is left, which passes. `unreadable`: the bytes are lost. */
      readonly reason: 'dropped' | 'busy' | 'unreadable';
      readonly message: string;
    };

/** One log file, as `HotLog.files` tells it. */
export interface LogFileFacts {
  readonly number: number;
  /** Up to the end of its last frame, damage between included. */
  readonly bytes: number;
  /** Its index lies beside it: a start does not read it. */
  readonly sealed: boolean;
  /** Times of its first and last commit, see `SealedFacts`; null while it is not sealed, and when it holds none. */
  readonly firstCommitUs: number | null;
  readonly lastCommitUs: number | null;
}

export type DropResult =
  | { readonly kind: 'dropped'; readonly files: number; readonly bytes: number }
  /** Some may be gone; the rest is as it was, and asking again goes on. */
  | { readonly kind: 'failed'; readonly message: string };

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
