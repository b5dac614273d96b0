/**
 * Reads frames back from the log: neighbours in one read. A frame that comes from the disk is checked against its
 * checksum again before it is believed; one still in memory was checked when it arrived.
 */

import { plainBytes } from '../redo/bytes.ts';
import { parseFrame, skimFrame } from '../redo/frame.ts';
import type { HeldFrame } from './core/held-frames.ts';
import type { LogPosition, LogRead } from './hot-log.ts';
import { frameBytesMax } from './hot-log-scan.ts';

export type FramesRead =
  /** One entry per frame, in the order asked; views of memory that never changes. */
  | { readonly kind: 'ok'; readonly frames: readonly Uint8Array[] }
  /** `good` frames before the bad one, in the order asked. */
  | { readonly kind: 'bad'; readonly good: readonly Uint8Array[]; readonly reason: string };

/** Reads under way at once; more wait. */
const readsMax = 8;

interface Stretch {
  readonly file: number;
  readonly offset: number;
  length: number;
  readonly frames: HeldFrame[];
}

/** Where frames are read: the log, or its disk alone. */
export interface FrameSource {
  read(position: LogPosition): Promise<LogRead>;
}

/** Hears of frames that are held and whose bytes are not what was written, or cannot be read; of none when no file can be opened. */
export type OnRotten = (frames: readonly HeldFrame[], reason: string) => void;

export class FrameReader {
  private readonly log: FrameSource;
  private readonly onRotten: OnRotten;
  private reading = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(log: FrameSource, onRotten: OnRotten) {
    this.log = log;
    this.onRotten = onRotten;
  }

  async read(frames: readonly HeldFrame[]): Promise<FramesRead> {
    const good: Uint8Array[] = [];
    for (const stretch of stretchesOf(frames)) {
      const read = await this.bounded(stretch);
      if (read.kind === 'failed') return this.unread(good, stretch, read);
      for (const frame of stretch.frames) {
        const from = frame.position.offset - stretch.offset;
        const bytes = plainBytes(read.bytes).subarray(from, from + frame.position.length);
        const checked = check(frame, bytes, read.fromDisk);
        if (typeof checked === 'string') return this.bad(good, stretch, [frame], checked);
        good.push(checked);
      }
    }
    return { kind: 'ok', frames: good };
  }

  private unread(
    good: readonly Uint8Array[],
    stretch: Stretch,
    { reason, message }: Extract<LogRead, { kind: 'failed' }>,
  ): FramesRead {
    if (reason === 'dropped') return { kind: 'bad', good, reason: message };
    // A want of handles says nothing of the bytes.
    return this.bad(good, stretch, reason === 'unreadable' ? stretch.frames : [], message);
  }

  private bad(
    good: readonly Uint8Array[],
    stretch: Stretch,
    lost: readonly HeldFrame[],
    why: string,
  ): FramesRead {
    const reason = `log file ${stretch.file} near byte ${stretch.offset}: ${why}`;
    this.onRotten(lost, reason);
    return { kind: 'bad', good, reason };
  }

  private async bounded({ file, offset, length }: Stretch): Promise<LogRead> {
    if (this.reading >= readsMax) await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.reading += 1;
    try {
      return await this.log.read({ file, offset, length });
    } finally {
      this.reading -= 1;
      this.waiting.shift()?.();
    }
  }
}

/** Frames that lie side by side, in order, become one read. */
function stretchesOf(frames: readonly HeldFrame[]): readonly Stretch[] {
  const stretches: Stretch[] = [];
  for (const frame of frames) {
    const { file, offset, length } = frame.position;
    const last = stretches.at(-1);
    const adjacent = last !== undefined && last.file === file && last.offset + last.length === offset;
    if (adjacent && last.length + length <= frameBytesMax) {
      last.length += length;
      last.frames.push(frame);
    } else {
      stretches.push({ file, offset, length, frames: [frame] });
    }
  }
  return stretches;
}

/** @returns the frames wanted, without those of a stretch that start at or beyond its `end`; or what is wrong with them. */
function check(frame: HeldFrame, bytes: Uint8Array, fromDisk: boolean): Uint8Array | string {
  let at = 0;
  for (let base: number = frame.base; base < frame.end; ) {
    const parsed = fromDisk ? parseFrame(bytes, at) : skimFrame(bytes, at);
    if (parsed.kind === 'bad') return parsed.reason;
    if (parsed.kind === 'incomplete') return 'the frame is cut short';
    const { header, length } = parsed;
    if (header.epoch !== frame.epoch || header.base !== base)
      return `another frame lies here: epoch ${header.epoch} at ${header.base} instead of epoch ${frame.epoch} at ${base}`;
    base = header.end;
    at += length;
  }
  return at === bytes.length ? bytes : bytes.subarray(0, at);
}
