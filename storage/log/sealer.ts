/**
 * Seals log files in the background: one that takes no more frames, and of which nobody wants to tell single frames apart any
 * more. What the node's index holds of the file by then is exactly what a start needs to know.
 */
import type { EpochTree } from '../history/epoch-tree.ts';
import type { Runtime } from '../process/runtime.ts';
import { checkedFrames, framePayload } from '../redo/frame.ts';
import { type Epoch, type Lsn, minLsn } from '../redo/ids.ts';
import { RecordCursor } from '../redo/record-cursor.ts';
import type { HeldFrame } from './core/held-frames.ts';
import type { Segment } from './core/segment.ts';
import type { FrameReader } from './frame-reader.ts';
import type { HotLog } from './hot-log.ts';
import type { CommitTimes } from './log-catalog.ts';

export const sealerBounds = {
  /** Between two looks at a file. */
  everyMs: 1_000,
  /** Wait after an index could not be written. */
  retryMs: 30_000,
};

export interface SealerOptions {
  readonly log: Pick<HotLog, 'files' | 'isRolled' | 'seal'>;
  readonly tree: EpochTree;
  readonly segment: Segment;
  readonly frames: FrameReader;
  readonly runtime: Runtime;
  readonly onTrouble: (what: string, reason: string) => void;
  readonly bounds?: Partial<typeof sealerBounds>;
}

export class LogSealer {
  readonly counters = { sealed: 0 };
  private readonly options: SealerOptions;
  private readonly bounds: typeof sealerBounds;
  private nextMs = 0;
  /** The file looked at last: one that has to wait holds up no other. */
  private at = 0;
  private sealing = false;
  private closed = false;

  constructor(options: SealerOptions) {
    this.options = options;
    this.bounds = { ...sealerBounds, ...options.bounds };
  }

  /**
   * Call now and then: looks at one file once a second, and seals it in the background when it may be.
   * @param head with `limit`: up to where nobody tells frames of this path apart any more, as in `Segment.join`.
   */
  tick(head: Epoch, limit: Lsn): void {
    const nowMs = this.options.runtime.nowMs();
    if (this.sealing || this.closed || nowMs < this.nextMs) return;
    this.nextMs = nowMs + this.bounds.everyMs;
    const number = this.nextFile();
    if (number === undefined) return;
    this.at = number;
    if (!this.isSettled(number, head, limit)) return;
    this.sealing = true;
    void this.seal(number, head, limit).finally(() => {
      this.sealing = false;
    });
  }

  close(): void {
    this.closed = true;
  }

  private nextFile(): number | undefined {
    const { log } = this.options;
    const rolled = log.files.map(({ number }) => number).filter((number) => log.isRolled(number));
    return rolled.find((number) => number > this.at) ?? rolled[0];
  }

  /** Whether all of the file that lies on the path lies at or below the limit. Frames off the path stay single ones. */
  private isSettled(number: number, head: Epoch, limit: Lsn): boolean {
    const { segment, tree } = this.options;
    return segment
      .entriesIn(number)
      .every(({ epoch, end }) => minLsn(end, tree.visibleUntil(head, epoch)) <= limit);
  }

  private async seal(number: number, head: Epoch, limit: Lsn): Promise<void> {
    const { log, segment, onTrouble, runtime } = this.options;
    const times = await this.timesOf(segment.entriesIn(number));
    // What is held may have changed while frames were read. From here to the call nothing can.
    if (times === null || this.closed || !log.isRolled(number) || !this.isSettled(number, head, limit))
      return;
    const sealed = await log.seal(number, segment.entriesIn(number), times);
    if (sealed.kind === 'sealed') {
      this.counters.sealed += 1;
      // The next one may be waiting, too.
      this.nextMs = runtime.nowMs();
    }
    if (sealed.kind !== 'failed') return;
    this.nextMs = runtime.nowMs() + this.bounds.retryMs;
    onTrouble(`log file ${number} could not be sealed: a start will read it`, sealed.message);
  }

  /**
   * Reads the first and the last frames with a commit of each epoch: one writer's commits are in the order of its clock.
   * @returns null when they cannot be read.
   */
  private async timesOf(entries: readonly HeldFrame[]): Promise<CommitTimes | null> {
    const first = new Map<Epoch, HeldFrame>();
    const last = new Map<Epoch, HeldFrame>();
    for (const entry of entries) {
      if (entry.lastCpl === null) continue;
      if ((first.get(entry.epoch)?.base ?? Number.POSITIVE_INFINITY) > entry.base)
        first.set(entry.epoch, entry);
      if ((last.get(entry.epoch)?.base ?? -1) < entry.base) last.set(entry.epoch, entry);
    }
    const wanted = [...new Set([...first.values(), ...last.values()])];
    const times: number[] = [];
    for (const entry of wanted) {
      const read = await this.options.frames.read([entry]);
      if (read.kind === 'bad') return null;
      for (const stretch of read.frames) times.push(...commitTimesIn(stretch));
    }
    if (times.length === 0) return { firstCommitUs: null, lastCommitUs: null };
    return { firstCommitUs: Math.min(...times), lastCommitUs: Math.max(...times) };
  }
}

/** Times of the first and the last commit in these frames. */
function commitTimesIn(stretch: Uint8Array): readonly number[] {
  let first = 0;
  let last = 0;
  for (const { bytes } of checkedFrames(stretch)) {
    const cursor = new RecordCursor(framePayload(bytes));
    while (cursor.next()) {
      if (!cursor.isCommit || cursor.commitTimeUs === 0) continue;
      last = cursor.commitTimeUs;
      if (first === 0) first = last;
    }
  }
  return first === 0 ? [] : [first, last];
}
