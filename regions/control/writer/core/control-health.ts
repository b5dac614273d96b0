/**
 * Whether NATS keeps the control record: can it be read, and does it take the changes that gateways send. A JetStream that met
 * a full disk takes none, and some versions then answer nothing at all, while the connection stays as it was.
 */
import type { WriterPhase } from './writer-role-events.ts';

export const controlHealthLimits = {
  /** The record cannot be read for so long: an election of its leader is over by then. */
  unreadableMs: 10_000,
  /** The record stands still for so long although somebody tries to change it: more than an election and a lease. */
  unchangedMs: 10_000,
  /** A try counts for so long. */
  tryMs: 5_000,
} as const;

const advice = 'is the disk of the NATS server full, or was it? Then make space and start that server again';

/** Times are monotonic milliseconds. */
export class ControlHealth {
  private unreadableSinceMs: number | null = null;
  private reason = '';
  private changedAtMs: number;
  private seq = 0;
  private triedAtMs = Number.NEGATIVE_INFINITY;

  constructor(nowMs: number) {
    this.changedAtMs = nowMs;
  }

  /** The record was read, or found absent (`seq` 0). */
  read(seq: number, nowMs: number): void {
    this.unreadableSinceMs = null;
    if (seq <= this.seq) return;
    this.seq = seq;
    this.changedAtMs = nowMs;
  }

  unreadable(reason: string, nowMs: number): void {
    this.reason = reason;
    this.unreadableSinceMs ??= nowMs;
  }

  /** A gateway told what it is doing. The writer renews the record twice a second or so; who claims it changes it. */
  heard(phase: WriterPhase, nowMs: number): void {
    if (phase === 'claiming' || phase === 'writing') this.triedAtMs = nowMs;
  }

  /** What is wrong, in words for the operator; null while nothing is. */
  trouble(nowMs: number): string | null {
    const { unreadableMs, unchangedMs, tryMs } = controlHealthLimits;
    const seconds = (sinceMs: number): number => Math.round((nowMs - sinceMs) / 1_000);
    if (this.unreadableSinceMs !== null) {
      if (nowMs - this.unreadableSinceMs < unreadableMs) return null;
      return `the control record cannot be read since ${seconds(this.unreadableSinceMs)} s (${this.reason}): ${advice}`;
    }
    const isTried = nowMs - this.triedAtMs < tryMs;
    if (this.seq === 0 || !isTried || nowMs - this.changedAtMs < unchangedMs) return null;
    return `the control record takes no changes since ${seconds(this.changedAtMs)} s, although a gateway sends them: ${advice}`;
  }
}
