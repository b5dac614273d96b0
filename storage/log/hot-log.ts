/**
 * The hot log: one append-only log per node, in which frames lie verbatim, in files `0000000001.log`, `0000000002.log`…
 * Many frames share one flush: while one batch is being written everything that arrives is gathered for the next.
 *
 * Promises. An append is called back `persisted` only after its bytes and the name of their file are flushed. Callbacks
 * run in the order of the appends, never inside `append`. A full disk is an answer, not an end: the bytes of the failed
 * batch are cut away and the next append tries again. After any other write error, or a failed flush, nothing is
 * retried: the kernel may have dropped the pages and would report the next flush as a success, so the log cuts the
 * unacknowledged bytes away, fails for good and the process must be restarted to read back what the disk has. Zeros behind
 * the last frame are space that is not used yet.
 * Opening the log deletes nothing of it but a torn tail: at most one batch at the end of the last file, never acknowledged.
 *
 * A file that takes no more frames is sealed in the background (`seal`): what it holds is written beside it, and a start reads
 * that instead of the frames. A prefix of files can be dropped (`dropThrough`).
 */
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { machine, type Runtime } from '../process/runtime.ts';
import { volumeLimits } from '../redo/limits.ts';
import type { HeldFrame } from './core/held-frames.ts';
import { type DiskFailure, type DiskResult, diskFailureReason, onDisk, readFully } from './disk.ts';
import { type LogFileLease, LogFiles, logFileName, logFileNumbers } from './hot-log-files.ts';
import { LogReader, type LogRecovery } from './hot-log-recovery.ts';
import { frameBytesMax, type LogPosition } from './hot-log-scan.ts';
import { LogTail } from './hot-log-tail.ts';
import {
  type AppendResult,
  type DropResult,
  type HotLogBounds,
  type HotLogOptions,
  hotLogDefaults,
  type LogCounters,
  type LogFailureReason,
  type LogFileFacts,
  type LogRead,
} from './hot-log-types.ts';
import { type CommitTimes, LogCatalog, type SealResult } from './log-catalog.ts';
import { readSealedIndex, tidyIndexes } from './sealed-files.ts';

export type { LogRecovery } from './hot-log-recovery.ts';
export type { LogDamage, LogPosition } from './hot-log-scan.ts';
export * from './hot-log-types.ts';

export type OpenedLog =
  | { readonly kind: 'open'; readonly log: HotLog; readonly recovery: LogRecovery }
  | { readonly kind: 'failed'; readonly reason: LogFailureReason; readonly message: string };

/** Appends are copied into slabs: their senders get their buffers back at once and neighbours become one write. */
const slabBytes = 256 * 1024;

interface Slab {
  readonly bytes: Uint8Array;
  used: number;
}

interface PendingAppend {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  readonly lengths: readonly number[];
  readonly done: (result: AppendResult) => void;
}

interface Run {
  readonly slab: Slab;
  readonly start: number;
  end: number;
}

interface CurrentFile {
  readonly number: number;
  readonly lease: LogFileLease;
  /** Everything before this offset is durable; nothing lies behind it while no batch is in flight. */
  endBytes: number;
}

type State = { readonly kind: 'open' | 'closed' } | { readonly kind: 'failed'; readonly message: string };

/** Where the next append goes after a start: behind the last frame of a file, or into a new file. */
interface AppendPoint {
  readonly number: number;
  readonly endBytes: number | undefined;
}

export class HotLog {
  readonly counters: LogCounters = {
    batches: 0,
    appends: 0,
    bytesWritten: 0,
    appendsFailed: 0,
    readsFromTail: 0,
    readsFromDisk: 0,
  };
  private readonly options: HotLogOptions & HotLogBounds;
  private readonly runtime: Runtime;
  private readonly handles: LogFiles;
  private readonly catalog: LogCatalog;
  private readonly tail: LogTail;
  private state: State = { kind: 'open' };
  private current: CurrentFile | undefined;
  private nextNumber: number;
  private slab: Slab = { bytes: new Uint8Array(0), used: 0 };
  private queue: PendingAppend[] = [];
  private waitingBytes = 0;
  private phase: 'idle' | 'flushing' = 'idle';
  private readonly onIdle: (() => void)[] = [];

  private constructor(
    options: HotLogOptions & HotLogBounds,
    handles: LogFiles,
    catalog: LogCatalog,
    at: AppendPoint,
    lease?: LogFileLease,
  ) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
    this.handles = handles;
    this.catalog = catalog;
    this.tail = new LogTail(options.tailBytesMax);
    this.nextNumber = at.number;
    if (lease !== undefined && at.endBytes !== undefined) this.start(lease, at.endBytes);
  }

  /**
   * Opens the log: reads what is not sealed, and the indexes of what is. Fails as a value when the directory or a flush of it
   * does; bytes that cannot be read are damage, reported in `recovery`.
   */
  static async open(given: HotLogOptions): Promise<OpenedLog> {
    const options = { ...hotLogDefaults, ...given };
    assert(options.batchBytesMax >= volumeLimits.appendBytesMax, 'a batch takes the largest append');
    const { disk, directory } = options;
    const handles = new LogFiles(disk, directory, options.openFilesMax);
    const failed = async (result: DiskResult<unknown>): Promise<OpenedLog> => {
      assert(result.kind === 'failed');
      await handles.closeAll();
      return { kind: 'failed', reason: diskFailureReason(result), message: result.message };
    };

    const made = await onDisk<void>((done) => disk.makeDirectory(directory, done));
    if (made.kind === 'failed') return failed(made);
    for (const path of [dirname(directory), directory]) {
      const synced = await onDisk<void>((done) => disk.syncDirectory(path, done));
      if (synced.kind === 'failed') return failed(synced);
    }
    const listed = await onDisk<readonly string[]>((done) => disk.list(directory, done));
    if (listed.kind === 'failed') return failed(listed);

    const catalog = new LogCatalog(disk, directory, handles, options.runtime ?? machine);
    const reader = new LogReader(options.batchBytesMax, options.onFrame);
    const numbers = logFileNumbers(listed.value);
    const indexed = await tidyIndexes(disk, directory, listed.value, new Set(numbers));
    const last = numbers.at(-1) ?? 0;
    let point: AppendPoint = { number: last + 1, endBytes: undefined };
    for (const number of numbers) {
      const lease = await handles.use(number, 'existing');
      if (lease.kind === 'failed') {
        reader.damaged({ file: number, offset: 0, length: 0, reason: `cannot be opened: ${lease.message}` });
        catalog.noted(number, 0);
        continue;
      }
      if (number !== last && indexed.has(number) && options.onSealed !== undefined) {
        const read = await readSealedIndex(disk, directory, number, lease);
        if (read.kind === 'index' && options.onSealed(read.index.entries)) {
          lease.release();
          reader.sealed(read.index);
          catalog.noted(number, read.index.logBytes, read.index);
          continue;
        }
        reader.unbelieved({
          file: number,
          reason: read.kind === 'bad' ? read.reason : 'it overlaps what other files hold',
        });
      }
      const endBytes = await reader.readFile(lease, number, number === last);
      lease.release();
      if (typeof endBytes !== 'number') return failed(endBytes);
      catalog.noted(number, reader.usedBytes);
      if (number === last && endBytes >= 0 && endBytes < options.fileBytesMax) point = { number, endBytes };
    }
    const recovery = reader.result(numbers.length);
    if (point.endBytes === undefined)
      return { kind: 'open', log: new HotLog(options, handles, catalog, point), recovery };
    const lease = await handles.use(point.number, 'existing');
    if (lease.kind === 'failed') return failed(lease);
    return { kind: 'open', log: new HotLog(options, handles, catalog, point, lease), recovery };
  }

  /** By number, ascending. */
  get files(): readonly LogFileFacts[] {
    return this.catalog.all;
  }

  /** Of all files, up to the end of the last frame of each. */
  get bytes(): number {
    return this.catalog.bytes;
  }

  get sealedFiles(): number {
    return this.catalog.sealedFiles;
  }

  /** Whether `seal` may be called: the file takes no more frames and is not sealed. */
  isRolled(number: number): boolean {
    return this.catalog.isRolled(number);
  }

  /** Writes the index of a rolled file; see `LogCatalog.seal`. */
  seal(number: number, entries: readonly HeldFrame[], times: CommitTimes): Promise<SealResult> {
    return this.catalog.seal(number, entries, times);
  }

  /** Takes an index away that is not true any more; see `LogCatalog.unseal`. */
  unseal(number: number): Promise<DiskResult<void>> {
    return this.catalog.unseal(number);
  }

  /**
   * S17: removes the log files up to `number` and their indexes, never the last one. Nothing in them may be claimed any more
   * by then: a crash in between leaves some of them, which the next start reads. Reads of them fail with `dropped`.
   */
  dropThrough(number: number): Promise<DropResult> {
    return this.catalog.dropThrough(number, (candidate) => this.tail.drop(candidate));
  }

  /** Bytes appended and not yet called back. */
  get queuedBytes(): number {
    return this.waitingBytes;
  }

  /** Why the log failed for good; undefined while it works. */
  get failure(): string | undefined {
    return this.state.kind === 'failed' ? this.state.message : undefined;
  }

  /**
   * Appends frames back to back in one file. The bytes are copied before the call returns. `done` runs once, in the
   * order of the appends, except that a refusal because of `queue-full`, `closed` or an earlier failure comes at once.
   * @throws AssertionError when there is no frame, or one is empty or longer than any frame may be.
   */
  append(frames: readonly Uint8Array[], done: (result: AppendResult) => void): void {
    let length = 0;
    for (const frame of frames) {
      assert(frame.length > 0 && frame.length <= frameBytesMax, `a frame of ${frame.length} bytes`);
      length += frame.length;
    }
    assert(length > 0 && length <= this.options.batchBytesMax, `an append of ${length} bytes`);
    const refusal = this.refusal(length);
    if (refusal !== undefined) {
      this.counters.appendsFailed += 1;
      queueMicrotask(() => done(refusal));
      return;
    }
    const slab = this.slabFor(length);
    const start = slab.used;
    for (const frame of frames) {
      slab.bytes.set(frame, slab.used);
      slab.used += frame.length;
    }
    this.queue.push({ slab, start, end: slab.used, lengths: frames.map((frame) => frame.length), done });
    this.waitingBytes += length;
    if (this.phase === 'flushing') return;
    this.phase = 'flushing';
    // What came in one read of a socket is one batch. Waiting for the turn to end gathers nothing more and costs 5 % of a node.
    this.runtime.soon(() => this.flush());
  }

  /** Reads frames, from memory when they were written lately. Concurrent reads are the caller's to bound. */
  async read(position: LogPosition): Promise<LogRead> {
    const near = position.file > this.catalog.droppedThrough ? this.tail.get(position) : undefined;
    if (near === undefined) return this.readFromDisk(position);
    this.counters.readsFromTail += 1;
    return { kind: 'ok', bytes: near, fromDisk: false };
  }

  /** As `read`, from the disk even when the frames are in memory. */
  async readFromDisk(position: LogPosition): Promise<LogRead> {
    assert(position.length > 0 && position.length <= frameBytesMax, `a frame of ${position.length} bytes`);
    this.counters.readsFromDisk += 1;
    const lease = await this.handles.use(position.file, 'existing');
    if (lease.kind === 'failed') return this.unread(position, lease);
    const bytes = Buffer.allocUnsafeSlow(position.length);
    const read = await onDisk<number>((done) => readFully(lease.file, bytes, position.offset, done));
    lease.release();
    if (read.kind === 'failed') return this.unread(position, read);
    if (read.value === bytes.length) return { kind: 'ok', bytes, fromDisk: true };
    const message = `log file ${position.file} ends before ${position.offset + position.length}`;
    return this.unread(position, { kind: 'failed', code: 'EOF', message });
  }

  private unread({ file }: LogPosition, failure: DiskFailure): LogRead {
    if (file <= this.catalog.droppedThrough)
      return {
        kind: 'failed',
        reason: 'dropped',
        message: `log file ${file} was dropped: all of it is in page images`,
      };
    const reason = diskFailureReason(failure) === 'disk-full' ? 'busy' : 'unreadable';
    return { kind: 'failed', reason, message: failure.message };
  }

  /** Writes what was appended, then closes the files. Appends from now on are refused. */
  async close(): Promise<void> {
    if (this.state.kind === 'open') this.state = { kind: 'closed' };
    if (this.phase === 'flushing') await new Promise<void>((resolve) => this.onIdle.push(resolve));
    await this.catalog.settled();
    this.current?.lease.release();
    this.current = undefined;
    await this.handles.closeAll();
  }

  private refusal(length: number): AppendResult | undefined {
    if (this.state.kind === 'failed')
      return { kind: 'failed', reason: 'io-error', message: this.state.message };
    if (this.state.kind === 'closed')
      return { kind: 'failed', reason: 'closed', message: 'the log is closed' };
    if (this.waitingBytes + length <= this.options.queueBytesMax) return undefined;
    const message = `${this.waitingBytes} bytes wait for the disk, the bound is ${this.options.queueBytesMax}`;
    return { kind: 'failed', reason: 'queue-full', message };
  }

  private slabFor(length: number): Slab {
    if (this.slab.bytes.length - this.slab.used < length) {
      this.slab = { bytes: Buffer.allocUnsafeSlow(Math.max(slabBytes, length)), used: 0 };
    }
    return this.slab;
  }

  private start(lease: LogFileLease, endBytes: number): void {
    this.current = { number: this.nextNumber, lease, endBytes };
    this.catalog.noted(this.nextNumber, endBytes);
    this.nextNumber += 1;
  }

  /** Writes the next batch, or comes to rest. */
  private flush(): void {
    const first = this.queue[0];
    if (first === undefined) {
      this.phase = 'idle';
      for (const resolve of this.onIdle.splice(0)) resolve();
      return;
    }
    const current = this.current;
    const firstBytes = first.end - first.start;
    // An empty file takes any append, so that every append finds a file.
    const full =
      current !== undefined &&
      current.endBytes > 0 &&
      current.endBytes + firstBytes > this.options.fileBytesMax;
    if (current === undefined || full) this.roll();
    else this.write(current, this.takeBatch(current));
  }

  private takeBatch(current: CurrentFile): readonly PendingAppend[] {
    const room = Math.min(this.options.batchBytesMax, this.options.fileBytesMax - current.endBytes);
    let bytes = 0;
    let count = 0;
    for (const append of this.queue) {
      bytes += append.end - append.start;
      if (count > 0 && bytes > room) break;
      count += 1;
    }
    return this.queue.splice(0, count);
  }

  private write(current: CurrentFile, batch: readonly PendingAppend[]): void {
    const runs = joinRuns(batch);
    const buffers = runs.map((run) => run.slab.bytes.subarray(run.start, run.end));
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    const { file } = current.lease;
    const startMs = this.runtime.nowMs();
    file.append(buffers, current.endBytes, (appended) => {
      if (appended.kind === 'failed') {
        const reason = diskFailureReason(appended);
        if (reason === 'io-error') return this.failForGood(current, batch, appended.message);
        // What did fit is cut away: it was never acknowledged and the space may be what someone else needs to go on.
        return file.truncate(current.endBytes, (cut) => {
          if (cut.kind === 'failed') this.failForGood(current, batch, cut.message);
          else this.failBatch(batch, reason, appended.message);
        });
      }
      this.counters.batches += 1;
      this.counters.bytesWritten += length;
      this.options.onFlushed?.(this.runtime.nowMs() - startMs);
      this.persisted(current, batch, buffers);
    });
  }

  private persisted(
    current: CurrentFile,
    batch: readonly PendingAppend[],
    buffers: readonly Uint8Array[],
  ): void {
    let offset = current.endBytes;
    for (const buffer of buffers) {
      this.tail.add(current.number, offset, buffer);
      offset += buffer.length;
    }
    let at = current.endBytes;
    current.endBytes = offset;
    this.catalog.noted(current.number, offset);
    for (const append of batch) {
      const positions = append.lengths.map((length) => {
        const position: LogPosition = { file: current.number, offset: at, length };
        at += length;
        return position;
      });
      this.counters.appends += 1;
      this.waitingBytes -= append.end - append.start;
      append.done({ kind: 'persisted', positions });
    }
    this.flush();
  }

  /** Starts the next file; the one before it is complete and flushed. */
  private roll(): void {
    const number = this.nextNumber;
    const { disk, directory } = this.options;
    void this.handles.use(number, 'create').then((lease) => {
      if (lease.kind === 'failed') {
        const reason = diskFailureReason(lease);
        if (reason === 'io-error')
          this.failForGood(undefined, [], `${logFileName(number)}: ${lease.message}`);
        else this.failBatch(this.queue.splice(0), reason, lease.message);
        return;
      }
      disk.syncDirectory(directory, (synced) => {
        if (synced.kind === 'failed') {
          lease.release();
          return this.failForGood(undefined, [], `flush of ${join(directory, '.')}: ${synced.message}`);
        }
        this.current?.lease.release();
        this.start(lease, 0);
        this.flush();
      });
    });
  }

  private failBatch(batch: readonly PendingAppend[], reason: LogFailureReason, message: string): void {
    this.flush();
    this.answerFailed(batch, reason, message);
  }

  private failForGood(
    current: CurrentFile | undefined,
    batch: readonly PendingAppend[],
    message: string,
  ): void {
    this.state = { kind: 'failed', message };
    const all = [...batch, ...this.queue.splice(0)];
    const finish = (): void => {
      this.current?.lease.release();
      this.current = undefined;
      this.flush();
      this.answerFailed(all, 'io-error', message);
      this.options.onFailed?.(message);
    };
    // After a failed flush the page cache may hold bytes the disk never took and would show them to the next start;
    // cutting the file drops those pages. When even that fails, the next start can only trust what it reads.
    if (current === undefined) finish();
    else current.lease.file.truncate(current.endBytes, finish);
  }

  private answerFailed(batch: readonly PendingAppend[], reason: LogFailureReason, message: string): void {
    for (const append of batch) {
      this.counters.appendsFailed += 1;
      this.waitingBytes -= append.end - append.start;
      append.done({ kind: 'failed', reason, message });
    }
  }
}

/** Appends that lie side by side in a slab become one run, and one buffer of the write. */
function joinRuns(batch: readonly PendingAppend[]): readonly Run[] {
  const runs: Run[] = [];
  for (const { slab, start, end } of batch) {
    const last = runs.at(-1);
    if (last !== undefined && last.slab === slab && last.end === start) last.end = end;
    else runs.push({ slab, start, end });
  }
  return runs;
}
