/** Reading the log back when a node starts: which bytes are frames, which are damage, and which a crash left unfinished. */
import type { SealedIndex } from './core/sealed-index.ts';
import { type DiskResult, onDisk } from './disk.ts';
import type { LogFileLease } from './hot-log-files.ts';
import { type LogDamage, type LogScan, scanLogFile } from './hot-log-scan.ts';

/** An index file that is of no use. */
export interface UnbelievedIndex {
  /** Number of the log file. */
  readonly file: number;
  readonly reason: string;
}

export interface LogRecovery {
  readonly files: number;
  /** Files of which the index was read and not the frames. */
  readonly sealed: number;
  /** Frames in the files that were read. */
  readonly frames: number;
  /** Of all frames. */
  readonly frameBytes: number;
  /** Indexes that were not believed: their files were read. */
  readonly unbelieved: readonly UnbelievedIndex[];
  /** Bytes between, or in place of, frames; reported and kept. The first `damageEntriesMax` of them. */
  readonly damage: readonly LogDamage[];
  /** How often, and how many bytes in all. */
  readonly damageCount: number;
  readonly damagedBytes: number;
  /** What a crash left of a write that was never acknowledged; it was cut away. */
  readonly tornTail?: LogDamage;
}

/** Damage entries kept one by one; the bytes of all are counted. */
const damageEntriesMax = 1000;

/** Reads the files of a log one after the other and adds up what it finds. */
export class LogReader {
  private readonly tornBytesMax: number;
  private readonly onFrame: LogScan['onFrame'];
  private readonly damage: LogDamage[] = [];
  private damagedBytes = 0;
  private damageCount = 0;
  private frames = 0;
  private frameBytes = 0;
  private tornTail: LogDamage | undefined;
  private sealedFiles = 0;
  private readonly refused: UnbelievedIndex[] = [];
  /** Of the file that was read last: where its frames, and damage between them, end. */
  usedBytes = 0;

  /** `tornBytesMax`: the longest a write can have been. `onFrame`: see LogScan. */
  constructor(tornBytesMax: number, onFrame: LogScan['onFrame']) {
    this.tornBytesMax = tornBytesMax;
    this.onFrame = onFrame;
  }

  /** The index of a file was read in place of its frames. */
  sealed({ entries }: SealedIndex): void {
    this.sealedFiles += 1;
    for (const { position } of entries) this.frameBytes += position.length;
  }

  unbelieved(index: UnbelievedIndex): void {
    this.refused.push(index);
  }

  damaged(damage: LogDamage): void {
    this.damageCount += 1;
    this.damagedBytes += damage.length;
    if (this.damage.length < damageEntriesMax) this.damage.push(damage);
  }

  /** @returns the offset appends may continue at, -1 when they may not, or the failure of a flush or a cut. */
  async readFile(lease: LogFileLease, number: number, isLast: boolean): Promise<number | DiskResult<never>> {
    const { file } = lease;
    const size = await onDisk<number>((done) => file.sizeBytes(done));
    if (size.kind === 'failed') return size;
    if (isLast) {
      // A killed process leaves bytes in the page cache that no flush covered; reading them proves nothing.
      const synced = await onDisk<void>((done) => file.fdatasync(done));
      if (synced.kind === 'failed') return synced;
    }
    const scanned = await scanLogFile({
      file,
      fileNumber: number,
      sizeBytes: size.value,
      tornBytesMax: this.tornBytesMax,
      onDamage: (damage) => this.damaged(damage),
      onFrame: (position, frame) => {
        this.frames += 1;
        this.frameBytes += position.length;
        this.onFrame(position, frame);
      },
    });
    this.usedBytes = scanned.validBytes;
    if (scanned.tailReason === undefined) return scanned.validBytes;
    const { validBytes } = scanned;
    const length = scanned.usedBytes - validBytes;
    const tail: LogDamage = { file: number, offset: validBytes, length, reason: scanned.tailReason };
    // A torn write is at the very end, plainly no frame, and no longer than one batch. Anything else stays.
    if (!isLast || scanned.tailMayHoldFrames || length > this.tornBytesMax) {
      this.damaged(tail);
      this.usedBytes = scanned.usedBytes;
      return -1;
    }
    this.tornTail = tail;
    const cut = await onDisk<void>((done) => file.truncate(validBytes, done));
    if (cut.kind === 'failed') return cut;
    const synced = await onDisk<void>((done) => file.fdatasync(done));
    return synced.kind === 'failed' ? synced : validBytes;
  }

  result(files: number): LogRecovery {
    const { frames, frameBytes, damage, damageCount, damagedBytes, tornTail, sealedFiles, refused } = this;
    return {
      files,
      sealed: sealedFiles,
      unbelieved: refused,
      frames,
      frameBytes,
      damage,
      damageCount,
      damagedBytes,
      ...(tornTail === undefined ? {} : { tornTail }),
    };
  }
}
