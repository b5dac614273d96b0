/** Carries one direction of a TCP connection over a `DelayLine`, with bounded memory: beyond it the sender is not read. */
import type { Socket } from 'node:net';
import { DelayLine } from './core/delay-line.ts';

/**
 * Under way in one direction at most. With it the longest round trip that can be set still carries 3 MiB a second, and that of
 * two cities 100 and more: bandwidth is not what is imitated.
 */
const heldBytesMax = 16 * 1024 * 1024;

export class DelayedDirection {
  private readonly from: Socket;
  private readonly to: Socket;
  private readonly line: DelayLine;
  private timer: NodeJS.Timeout | undefined;
  /** When the end of the connection arrives at the other side; null while it stands. */
  private endsAtMs: number | null = null;

  /** @param delayMs from one end to the other. */
  constructor(from: Socket, to: Socket, delayMs: number) {
    this.from = from;
    this.to = to;
    this.line = new DelayLine(delayMs);
    from.on('data', (chunk: Buffer) => {
      this.line.push(chunk, performance.now());
      if (this.line.heldBytes + to.writableLength > heldBytesMax) from.pause();
      this.carry();
    });
    to.on('drain', () => this.carry());
    from.once('close', () => {
      this.endsAtMs = this.line.dueAt(performance.now());
      this.carry();
    });
    to.once('close', () => clearTimeout(this.timer));
  }

  set delayMs(ms: number) {
    this.line.delayMs = ms;
  }

  private carry(): void {
    clearTimeout(this.timer);
    if (!this.to.writable) return;
    const nowMs = performance.now();
    for (let chunk = this.line.take(nowMs); chunk !== null; chunk = this.line.take(nowMs)) {
      // What does not fit is held by the socket, and `drain` goes on with the rest.
      if (!this.to.write(chunk)) break;
    }
    const { heldBytes, nextMs } = this.line;
    if (heldBytes + this.to.writableLength <= heldBytesMax / 2) this.from.resume();
    if (nextMs === null && this.endsAtMs !== null && this.endsAtMs <= nowMs) {
      this.to.destroySoon();
      return;
    }
    const wakeMs = nextMs ?? this.endsAtMs;
    if (wakeMs !== null && !this.to.writableNeedDrain)
      this.timer = setTimeout(() => this.carry(), Math.max(0, Math.ceil(wakeMs - nowMs)));
  }
}
