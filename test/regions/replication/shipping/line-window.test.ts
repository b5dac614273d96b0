import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineWindow } from '../../../../regions/replication/core/line-window.ts';
import { shippingLimits } from '../../../../regions/replication/core/shipping-limits.ts';

const { windowBytes, messageBytes, messageParts, queueMs } = shippingLimits;
const leastMessage = messageBytes / messageParts;

/** The shortest delay is that of the smallest message, and one more leaves while the window is not full. */
const longestWaitMs = (bytesPerMs: number): number => queueMs + (3 * leastMessage) / bytesPerMs;

/** Sends as much as the window lets leave over a line that carries so many bytes a millisecond, and takes `delayMs` when it is empty. */
class Line {
  readonly window: LineWindow;
  nowMs = 0;
  sent = 0;
  arrived = 0;
  /** The longest that a message waited for those before it, in the last second. */
  waitedMs = 0;
  private freeAtMs = 0;
  private due: { readonly atMs: number; readonly end: number }[] = [];

  constructor(window = new LineWindow(shippingLimits)) {
    this.window = window;
  }

  run(forMs: number, bytesPerMs: number, delayMs: number): this {
    const untilMs = this.nowMs + forMs;
    for (; this.nowMs < untilMs; this.nowMs += 1) {
      if (this.nowMs % 1_000 === 0) this.waitedMs = 0;
      for (let next = this.due[0]; next !== undefined && next.atMs <= this.nowMs; next = this.due[0]) {
        this.due.shift();
        this.arrived = next.end;
        this.window.arrived(next.end, this.nowMs);
      }
      while (this.sent - this.arrived < this.window.bytes(this.nowMs)) {
        const message = this.window.messageBytes(this.nowMs);
        this.sent += message;
        this.waitedMs = Math.max(this.waitedMs, this.freeAtMs - this.nowMs);
        this.freeAtMs = Math.max(this.freeAtMs, this.nowMs) + message / bytesPerMs;
        this.due.push({ atMs: this.freeAtMs + delayMs, end: this.sent });
        this.window.sent(this.sent, this.sent - this.arrived, this.nowMs);
      }
    }
    return this;
  }
}

describe('the window of a line', () => {
  it('R98: on a narrow line little waits, whatever it carries, and it is kept busy', () => {
    const rows = [
      { bytesPerMs: 500, delayMs: 40 },
      { bytesPerMs: 2_000, delayMs: 1 },
      { bytesPerMs: 2_000, delayMs: 150 },
      { bytesPerMs: 20_000, delayMs: 80 },
    ].map(({ bytesPerMs, delayMs }) => {
      const line = new Line().run(20_000, bytesPerMs, delayMs);
      const before = line.arrived;
      line.run(10_000, bytesPerMs, delayMs);
      const busy = (line.arrived - before) / (10_000 * bytesPerMs);
      const longest = longestWaitMs(bytesPerMs);
      return { bytesPerMs, delayMs, waitedMs: line.waitedMs, longest, busy };
    });
    for (const row of rows) {
      expect(row).toEqual({ ...row, waitedMs: Math.min(row.waitedMs, row.longest) });
      expect(row).toEqual({ ...row, busy: Math.max(row.busy, 0.9) });
    }
  });

  it('on a wide line it opens to the most within a few round trips', () => {
    const line = new Line().run(1_000, 200_000, 80);
    expect(line.window.bytes(line.nowMs)).toBe(windowBytes);
    expect(line.window.messageBytes(line.nowMs)).toBe(messageBytes);
  });

  it('a line that becomes narrow is noticed before what is on its way has arrived, and a wide one again', () => {
    const line = new Line().run(2_000, 200_000, 20);
    line.run(1_000, 1_000, 20);
    expect(line.window.bytes(line.nowMs)).toBeLessThan(windowBytes / 2);
    line.run(60_000, 1_000, 20);
    expect(line.waitedMs).toBeLessThanOrEqual(longestWaitMs(1_000));
    line.run(5_000, 200_000, 20);
    expect(line.window.bytes(line.nowMs)).toBe(windowBytes);
  });

  it('a delay that is longer for good is the line’s own after a while', () => {
    const line = new Line().run(5_000, 200_000, 5).run(61_000, 200_000, 400);
    line.run(5_000, 200_000, 400);
    expect(line.window.bytes(line.nowMs)).toBe(windowBytes);
  });

  it('small messages that take long once leave room for the next large one', () => {
    const window = new LineWindow(shippingLimits);
    window.sent(100, 100, 0);
    window.arrived(100, 10);
    window.sent(200, 100, 20);
    expect(window.bytes(3_020)).toBe(leastMessage);
    window.arrived(200, 3_020);
    expect(window.bytes(3_021)).toBe(leastMessage);
    expect(window.messageBytes(3_021)).toBe(leastMessage);
  });

  it('what is sent again is not timed', () => {
    const window = new LineWindow(shippingLimits);
    const before = window.bytes(0);
    window.sent(messageBytes, messageBytes, 0);
    window.restarted();
    window.arrived(messageBytes, 60_000);
    expect(window.bytes(60_000)).toBe(before);
  });

  it('follows bounds that change, and never leaves them', () => {
    const bounds = { windowBytes, messageBytes, queueMs };
    const event = fc.record({
      bytes: fc.integer({ min: 1, max: 2 * windowBytes }),
      takesMs: fc.integer({ min: 0, max: 100_000 }),
      most: fc.constantFrom(2 * messageBytes, windowBytes, 3 * windowBytes),
      isLost: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const window = new LineWindow(bounds);
        let [end, nowMs] = [0, 0];
        for (const { bytes, takesMs, most, isLost } of events) {
          end += bytes;
          window.sent(end, bytes, nowMs);
          nowMs += takesMs;
          bounds.windowBytes = most;
          if (isLost) window.restarted();
          else window.arrived(end, nowMs);
          expect(window.bytes(nowMs)).toBeGreaterThanOrEqual(leastMessage);
          expect(window.bytes(nowMs)).toBeLessThanOrEqual(most);
          expect(window.messageBytes(nowMs)).toBeGreaterThanOrEqual(leastMessage);
          expect(window.messageBytes(nowMs)).toBeLessThanOrEqual(messageBytes);
        }
      }),
    );
  });
});
