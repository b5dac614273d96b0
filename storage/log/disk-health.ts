/**
 * Whether the node's disk takes what is to be written. A full disk, or a process without file handles, is no end: it passes,
 * and the node catches up by itself. Until then the log, `/readyz`, the metrics and the node's status say so.
 */
import { type Logger, RateLimit } from '../../telemetry/index.ts';

/** What is written: frames, or the node's promises. Each is well again when it has been written once. */
export type WrittenPart = 'log' | 'state file';

const repeatMs = 60_000;

export class DiskHealth {
  /** Writes that failed for want of space or handles, since the start. */
  failures = 0;
  private readonly logger: Logger;
  private readonly now: () => number;
  private readonly repeats: RateLimit;
  private readonly reasons = new Map<WrittenPart, string>();
  private sinceMs = 0;

  /** @param now monotonic milliseconds. */
  constructor(logger: Logger, now: () => number) {
    this.logger = logger;
    this.now = now;
    this.repeats = new RateLimit(repeatMs, now);
  }

  /** Why nothing can be written at present, in words; null while all is well. */
  get trouble(): string | null {
    const [first] = this.reasons;
    return first === undefined ? null : `the disk takes no writes (${first[0]}): ${first[1]}`;
  }

  /** A write failed in a way that passes. */
  failed(part: WrittenPart, reason: string): void {
    this.failures += 1;
    if (this.reasons.size === 0) this.sinceMs = this.now();
    this.reasons.set(part, reason);
    const passed = this.repeats.pass();
    if (passed === null) return;
    this.logger.error(
      { part, reason, failures: this.failures, sinceMs: Math.round(this.now() - this.sinceMs) },
      'the disk takes no writes: make space; the node catches up by itself',
    );
  }

  /** A write succeeded. */
  worked(part: WrittenPart): void {
    if (this.reasons.size === 0 || !this.reasons.delete(part) || this.reasons.size > 0) return;
    this.logger.info(
      { lastedMs: Math.round(this.now() - this.sinceMs), failures: this.failures },
      'the disk takes writes again',
    );
  }
}
