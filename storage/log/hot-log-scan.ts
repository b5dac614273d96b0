/**
 * Reads one log file from the start, frame by frame, in bounded memory. Where bytes are not a frame it finds the next
 * one: first at the end the broken frame's own header claims, so that rot in a payload never makes bytes *inside* that
 * payload look like a frame (a client may have stored a frame's image in a row); only when that fails, byte by byte.
 * For the same reason nothing inside a last, unfinished frame is believed unless frames run from there exactly to the
 * end of what is used, as they do when rot made a header claim too much and as they do not in a torn write. Of a batch that
 * a power failure interrupted any block may be there and any other still zeros, so this holds for the whole of a last batch.
 *
 * A file is used up to its last byte that is not zero; a frame whose payload ends in zeros may reach beyond. What follows
 * is space for frames to come.
 */
import { frameHeaderBytes, frameMagic, frameVersion, parseFrame, type ReceivedFrame } from '../redo/frame.ts';
import { redoLimits } from '../redo/limits.ts';
import { type DiskFailure, type DiskFile, onDisk, readFully } from './disk.ts';

/** Where a frame lies. Stable for the life of the file. */
export interface LogPosition {
  /** Number of the log file, from 1. */
  readonly file: number;
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes of the frame, header included. */
  readonly length: number;
}

/** Bytes of a log file that are no frame. They are kept where they are. */
export interface LogDamage extends LogPosition {
  readonly reason: string;
}

export interface ScannedFile {
  /** Everything before is frames and reported damage; bytes from here to the end of the file hold no frame. */
  readonly validBytes: number;
  /** From here on there is nothing but zeros. */
  readonly usedBytes: number;
  /** Why the bytes from `validBytes` to `usedBytes` are no frame; absent when the file ends with a frame or is empty. */
  readonly tailReason?: string;
  /** The tail is not plainly a torn write: some of it could not be read, or looks like frames without being sure. */
  readonly tailMayHoldFrames: boolean;
}

export interface LogScan {
  readonly file: DiskFile;
  readonly fileNumber: number;
  readonly sizeBytes: number;
  /** How long an interrupted write at the end can be. The end of any file was the end of the log once. */
  readonly tornBytesMax: number;
  /** The frame's bytes are a view that is valid only during the call. */
  readonly onFrame: (position: LogPosition, frame: ReceivedFrame) => void;
  readonly onDamage: (damage: LogDamage) => void;
}

export const frameBytesMax = frameHeaderBytes + redoLimits.framePayloadBytesMax;
/** Holds the longest batch there can be with a frame before and behind. */
const windowBytes = 8 * 1024 * 1024;
/** A disk that refuses a large read is asked again in pieces of this size, to lose no more than the bad sector. */
const sectorBytes = 4096;
const zeroPieceBytes = 256 * 1024;

/** Scans one file. Never fails: what cannot be read is damage. */
export async function scanLogFile(scan: LogScan): Promise<ScannedFile> {
  const { fileNumber, sizeBytes } = scan;
  const usedBytes = await usedBytesOf(scan.file, sizeBytes);
  const window = new Window(scan.file, sizeBytes, usedBytes);
  let at = 0;
  let bad: { readonly from: number; readonly reason: string } | undefined;

  while (at < usedBytes) {
    if (!window.holds(at, frameBytesMax)) await window.moveTo(at);
    const parsed = parseFrame(window.bytes, at - window.start);
    if (parsed.kind === 'frame') {
      if (bad !== undefined) {
        scan.onDamage({
          file: fileNumber,
          offset: bad.from,
          length: at - bad.from,
          reason: window.explain(bad),
        });
        bad = undefined;
        window.atFrame();
      }
      const from = at - window.start;
      const bytes = window.bytes.subarray(from, from + parsed.length);
      scan.onFrame({ file: fileNumber, offset: at, length: parsed.length }, { header: parsed.header, bytes });
      at += parsed.length;
      continue;
    }
    bad ??= { from: at, reason: parsed.kind === 'bad' ? parsed.reason : 'the file ends inside this frame' };
    if (parsed.kind === 'incomplete') {
      // The window reaches a whole frame ahead, so only the end of the file makes a frame incomplete.
      at = pastUnfinishedFrame(window, at);
      continue;
    }
    at = await pastBrokenFrame(window, at, scan.tornBytesMax);
  }
  return bad === undefined
    ? { validBytes: at, usedBytes: at, tailMayHoldFrames: false }
    : {
        validBytes: bad.from,
        usedBytes,
        tailReason: window.explain(bad),
        tailMayHoldFrames: window.doubtful,
      };
}

/** Where the zeros at the end of a file begin. What cannot be read counts as used. */
async function usedBytesOf(file: DiskFile, sizeBytes: number): Promise<number> {
  const piece = Buffer.allocUnsafe(Math.min(sizeBytes, zeroPieceBytes));
  for (let end = sizeBytes; end > 0; ) {
    const start = Math.max(0, end - piece.length);
    const into = piece.subarray(0, end - start);
    const read = await onDisk<number>((done) => readFully(file, into, start, done));
    if (read.kind === 'failed') return end;
    let last = read.value;
    while (last > 0 && into[last - 1] === 0) last -= 1;
    if (last > 0) return start + last;
    end = start;
  }
  return 0;
}

/** Where frames run from to the end of what is used, past an unfinished one; that end when nowhere. */
function pastUnfinishedFrame(window: Window, at: number): number {
  for (let from = window.nextMagic(at + 1); from < window.usedBytes; from = window.nextMagic(from + 1)) {
    let end = from;
    for (;;) {
      const parsed = parseFrame(window.bytes, end - window.start);
      if (parsed.kind !== 'frame') break;
      end += parsed.length;
    }
    if (end >= window.usedBytes) return from;
    if (end > from) window.doubtful = true;
  }
  return window.usedBytes;
}

/** Where to look for the next frame after the bytes at `at` turned out not to be one. */
async function pastBrokenFrame(window: Window, at: number, tornBytesMax: number): Promise<number> {
  const claimed = window.claimedFrameBytes(at);
  const end = claimed === undefined ? at : at + claimed;
  if (window.usedBytes - at <= tornBytesMax || end >= window.usedBytes) {
    if (!window.holds(at, window.usedBytes - at)) await window.moveTo(at);
    return pastUnfinishedFrame(window, at);
  }
  if (end > at) {
    if (!window.holds(at, 2 * frameBytesMax)) await window.moveTo(at);
    if (parseFrame(window.bytes, end - window.start).kind === 'frame') return end;
  }
  return window.nextMagic(at + 1);
}

/** The part of the file in memory: [start, start + bytes.length). */
class Window {
  start = 0;
  bytes: Uint8Array;
  /** What is no frame here may hold frames all the same. */
  doubtful = false;
  readonly fileBytes: number;
  readonly usedBytes: number;
  private readonly buffer: Buffer;
  private readonly file: DiskFile;
  /** Why part of what was read since the last frame stands here as zeros. */
  private readError: string | undefined;

  constructor(file: DiskFile, fileBytes: number, usedBytes: number) {
    this.file = file;
    this.fileBytes = fileBytes;
    this.usedBytes = usedBytes;
    this.buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(fileBytes, windowBytes)));
    this.bytes = this.buffer.subarray(0, 0);
  }

  /** Whether `length` bytes from `at`, or all there are to the end of the file, are in memory. */
  holds(at: number, length: number): boolean {
    const end = Math.min(at + length, this.fileBytes);
    return at >= this.start && end <= this.start + this.bytes.length;
  }

  async moveTo(at: number): Promise<void> {
    // What is in memory already is moved, not read again: a second read could answer differently.
    const kept = this.bytes.subarray(Math.max(0, at - this.start));
    this.buffer.set(kept, 0);
    const wanted = Math.min(this.buffer.length, this.fileBytes - at);
    const into = this.buffer.subarray(kept.length, wanted);
    await this.fill(into, at + kept.length);
    this.start = at;
    this.bytes = this.buffer.subarray(0, wanted);
  }

  /** Offset of the next byte pair that could start a frame, or the end of what is in memory. */
  nextMagic(from: number): number {
    const found = this.buffer.subarray(0, this.bytes.length).indexOf(magicBytes, from - this.start);
    if (found >= 0) return this.start + found;
    const end = this.start + this.bytes.length;
    // The pair may straddle the end of the window.
    return end < this.fileBytes ? Math.max(from, end - 1) : end;
  }

  /** What the header at `at` says its frame's length is, when it looks like a header at all. */
  claimedFrameBytes(at: number): number | undefined {
    const offset = at - this.start;
    if (this.bytes.length - offset < frameHeaderBytes) return undefined;
    const header = this.buffer.subarray(offset, offset + frameHeaderBytes);
    if (header.readUInt16LE(0) !== frameMagic || header[2] !== frameVersion) return undefined;
    const length = frameHeaderBytes + header.readUInt32LE(4);
    return length <= frameBytesMax ? length : undefined;
  }

  explain(bad: { readonly reason: string }): string {
    return this.readError === undefined ? bad.reason : `the disk refused to read it: ${this.readError}`;
  }

  /** What was doubtful lies behind. */
  atFrame(): void {
    this.readError = undefined;
    this.doubtful = false;
  }

  private async fill(into: Uint8Array, position: number): Promise<void> {
    const whole = await onDisk<number>((done) => readFully(this.file, into, position, done));
    if (whole.kind === 'ok') {
      into.fill(0, whole.value);
      return;
    }
    for (let at = 0; at < into.length; at += sectorBytes) {
      const piece = into.subarray(at, at + sectorBytes);
      const read = await onDisk<number>((done) => readFully(this.file, piece, position + at, done));
      if (read.kind === 'failed') this.refused(piece, read);
      else piece.fill(0, read.value);
    }
  }

  private refused(piece: Uint8Array, failure: DiskFailure): void {
    piece.fill(0);
    this.doubtful = true;
    this.readError = failure.message;
  }
}

const magicBytes = Buffer.of(frameMagic & 0xff, frameMagic >>> 8);
