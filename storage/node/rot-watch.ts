/**
 * What a node does about frames that rot while it runs (S15). Frames that are folded are unclaimed in place: nothing but the
 * node's index of frames leads to them, so the node is simply behind there until repair has brought them back. Frames above the
 * page images are in the index of pages as well, by their place on the disk. For those the process ends, and the next start
 * takes stock of everything anew.
 *
 * Either way the index file goes before anything else happens, so that no start believes it again: a start that ends in the
 * same place time after time is what must not be.
 */
import { type Logger, RateLimit } from '../../telemetry/index.ts';
import type { HeldFrame } from '../log/core/held-frames.ts';
import type { HotLog } from '../log/hot-log.ts';
import type { Runtime } from '../process/runtime.ts';

export interface RotWatchOptions {
  readonly log: Pick<HotLog, 'files' | 'unseal'>;
  /** Whether nothing but the node's index of frames leads to this frame. */
  readonly isFolded: (frame: HeldFrame) => boolean;
  /** Takes frames out of the node's index. `unclaimed` follows. */
  readonly unclaim: (frames: readonly HeldFrame[]) => void;
  readonly onFatal: (message: string) => void;
  readonly logger: Logger;
  readonly runtime: Runtime;
}

const repeatMs = 10_000;
/** A disk that does not answer must not keep a process alive that has to end. */
const unsealMs = 2_000;

export class RotWatch {
  /** Stretches of frames that were unclaimed since the start, and those that are held again. */
  readonly counters = { found: 0, healed: 0 };
  private readonly options: RotWatchOptions;
  private readonly repeats: RateLimit;
  private reason = '';

  constructor(options: RotWatchOptions) {
    this.options = options;
    this.repeats = new RateLimit(repeatMs, () => options.runtime.nowMs());
  }

  /** A reader found frames that are not what was written; none when it could read nothing at all. */
  found(frames: readonly HeldFrame[], reason: string): void {
    const { isFolded, unclaim, onFatal, log, runtime } = this.options;
    if (frames.length > 0 && frames.every(isFolded)) {
      this.reason = reason;
      unclaim(frames);
      return;
    }
    const end = (): void => onFatal(`the log has rotted: ${reason}`);
    const files = new Set(frames.map(({ position }) => position.file));
    const sealed = log.files.filter(({ number, sealed }) => sealed && files.has(number));
    if (sealed.length === 0) {
      end();
      return;
    }
    runtime.after(unsealMs, end);
    void Promise.all(sealed.map(({ number }) => log.unseal(number))).then(end);
  }

  /** These entries are not in the node's index any more. */
  unclaimed(entries: readonly HeldFrame[]): void {
    const { log, logger } = this.options;
    this.counters.found += entries.length;
    for (const file of new Set(entries.map(({ position }) => position.file))) void log.unseal(file);
    if (entries.length === 0 || this.repeats.pass() === null) return;
    logger.error(
      { reason: this.reason, found: this.counters.found, healed: this.counters.healed },
      'part of the log has rotted; it is not used any more, and repair brings it back from the peers',
    );
  }

  /** These are held again, somewhere else on the disk. */
  healed(entries: readonly HeldFrame[]): void {
    this.counters.healed += entries.length;
    this.options.logger.info(
      { found: this.counters.found, healed: this.counters.healed },
      'what had rotted is held again',
    );
  }
}
