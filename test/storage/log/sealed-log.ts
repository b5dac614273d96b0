/** A log with its index of frames, as a node has them, for tests: opened again and again on one disk. */
import { EpochTree, endOfTime } from '../../../storage/history/epoch-tree.ts';
import type { HeldFrame } from '../../../storage/log/core/held-frames.ts';
import { Segment } from '../../../storage/log/core/segment.ts';
import type { Disk } from '../../../storage/log/disk.ts';
import { FrameReader } from '../../../storage/log/frame-reader.ts';
import { HotLog, type HotLogOptions, type LogRecovery } from '../../../storage/log/hot-log.ts';
import { LogSealer } from '../../../storage/log/sealer.ts';
import { machine, type Runtime } from '../../../storage/process/runtime.ts';
import { encodeFrame, framePayload, parseFrame } from '../../../storage/redo/frame.ts';
import { epoch, type Lsn, lsn, pgId, zeroLsn } from '../../../storage/redo/ids.ts';
import { lastCplIn } from '../../../storage/redo/record-cursor.ts';
import { commitAt, encoded, fork } from '../samples.ts';

export const logDirectory = '/data/log';
export const reign = epoch(1);
/** A frame: a header of 36 bytes and a commit of ten. */
export const frameLength = 46;

/** The frame at place `at` of the volume; its commit is made at microsecond 1000 + `at`. */
export function frameAt(at: number): Uint8Array {
  const base = lsn(at * 10);
  return encodeFrame({ epoch: reign, pg: pgId(0), base, prevPg: base }, [encoded(commitAt(1_000 + at))]);
}

export class SealedLog {
  readonly segment = new Segment(new EpochTree([fork(1, 0, 0)]));
  readonly rotten: HeldFrame[] = [];
  readonly troubles: string[] = [];
  readonly log: HotLog;
  readonly recovery: LogRecovery;
  readonly frames: FrameReader;
  readonly sealer: LogSealer;

  private constructor(log: HotLog, recovery: LogRecovery, segment: Segment) {
    this.log = log;
    this.recovery = recovery;
    this.segment = segment;
    this.frames = new FrameReader(log, (frames) => this.rotten.push(...frames));
    let nowMs = 0;
    const runtime: Runtime = { ...machine, nowMs: () => (nowMs += 1_000) };
    const tree = new EpochTree([fork(1, 0, 0)]);
    const onTrouble = (what: string): number => this.troubles.push(what);
    this.sealer = new LogSealer({
      log,
      tree,
      segment,
      frames: this.frames,
      runtime,
      onTrouble,
      bounds: { retryMs: 0 },
    });
  }

  static async open(disk: Disk, options: Partial<HotLogOptions> = {}): Promise<SealedLog> {
    const segment = new Segment(new EpochTree([fork(1, 0, 0)]));
    const opened = await HotLog.open({
      directory: logDirectory,
      disk,
      fileBytesMax: 10 * frameLength,
      tailBytesMax: 0,
      onSealed: (entries) => segment.insertSealed(entries),
      onFrame: (position, { header, bytes }) => {
        const lastCpl = lastCplIn(framePayload(bytes), header.base);
        segment.insert({ ...header, lastCpl: lastCpl === 'malformed' ? null : lastCpl, position });
      },
      ...options,
    });
    if (opened.kind === 'failed') throw new Error(opened.message);
    return new SealedLog(opened.log, opened.recovery, segment);
  }

  /** Appends the frames at these places, one by one. @returns how many the log took before it failed. */
  async append(from: number, until: number): Promise<number> {
    for (let at = from; at < until; at++) if (!(await this.appendOne(at))) return at - from;
    return until - from;
  }

  private appendOne(at: number): Promise<boolean> {
    const bytes = frameAt(at);
    return new Promise((resolve) =>
      this.log.append([bytes], (result) => {
        const parsed = parseFrame(bytes);
        const position = result.kind === 'persisted' ? result.positions[0] : undefined;
        if (parsed.kind !== 'frame' || position === undefined) return resolve(false);
        this.segment.insert({ ...parsed.header, lastCpl: parsed.header.end, position });
        resolve(true);
      }),
    );
  }

  /** Seals what may be, up to `limit`. */
  async seal(limit: Lsn = endOfTime): Promise<void> {
    this.segment.join(reign, limit);
    for (const _ of this.log.files) {
      this.sealer.tick(reign, limit);
      await turns(40);
    }
  }

  /** Up to where everything can be read and is what was written. */
  async readable(): Promise<number> {
    const { frames } = this.segment.run(reign, zeroLsn, 1e9, endOfTime);
    const read = await this.frames.read(frames);
    const bytes = Buffer.concat(read.kind === 'ok' ? read.frames : read.good);
    for (let at = 0; at * frameLength < bytes.length; at++)
      if (!bytes.subarray(at * frameLength, (at + 1) * frameLength).equals(frameAt(at)))
        throw new Error(`what was read at ${at} is not what was written`);
    return bytes.length / frameLength;
  }
}

/** Lets what waits for the memory disk and for turns go on. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
