/**
 * How much redo may be on its way to a secondary that has not arrived there, by how long it takes to arrive.
 *
 * What a line cannot carry at once waits in the sockets and buffers of the NATS servers, in front of everything that is sent
 * after it: renewals of the lease, votes of the control record, forwarded writes. So the window follows the delay: messages are
 * timed from when they leave until their arrival is acknowledged, and the window becomes what would have arrived within the
 * shortest delay seen lately and `queueMs`. It no more than doubles in a round trip, and only where what was under way would fill
 * more. This is the rule of FAST TCP (Wei, Jin, Low, Hegde, 2006, section III), with the wait that is aimed at given in time instead
 * of packets.
 *
 * R98: beyond one message a lane keeps no more on its way than arrives within the line's own delay and `queueMs`.
 */
import { type ShippingBounds, shippingLimits } from './shipping-limits.ts';

/** What left within a moment, timed as one. */
interface Sent {
  /** Acknowledged once this is reached: an LSN, or a page. */
  end: number;
  readonly atMs: number;
  /** On their way when the last of it left. */
  bytes: number;
}

export class LineWindow {
  private readonly bounds: ShippingBounds;
  private current: number;
  /** Oldest first. */
  private readonly underWay: Sent[] = [];
  /** The shortest delays of this period and of the one before. */
  private shortestMs = Number.POSITIVE_INFINITY;
  private shortestBeforeMs = Number.POSITIVE_INFINITY;
  private period = 0;
  private lastDelayMs = 0;
  /** Nothing leaves until what is under way has arrived, and then one message alone. */
  private isDraining = false;
  private widenedAtMs = Number.NEGATIVE_INFINITY;

  /** @param bounds the most that the window and a message ever are; they may change meanwhile. */
  constructor(bounds: ShippingBounds) {
    this.bounds = bounds;
    // The first message leaves alone, so that its delay is the line's own.
    this.current = this.messageBytesLeast;
  }

  /** While less than this is on its way, in bytes, another message may leave. A message that is overdue lowers it before it arrives. */
  bytes(nowMs: number): number {
    this.turn(nowMs);
    const [oldest] = this.underWay;
    if (this.isDraining && oldest !== undefined) return 0;
    if (oldest === undefined) return this.clamped(this.current);
    const share = this.aimMs / Math.max(1, nowMs - oldest.atMs);
    return this.clamped(share < 1 ? Math.min(this.current, share * oldest.bytes) : this.current);
  }

  /** The most that one message should carry, in bytes: on a narrow line nothing else leaves while it does. */
  messageBytes(nowMs: number): number {
    this.turn(nowMs);
    const part = Math.floor(this.current / 4);
    return Math.max(this.messageBytesLeast, Math.min(this.bounds.messageBytes, part));
  }

  /** A message has left. @param bytes on their way now, with this one. */
  sent(end: number, bytes: number, nowMs: number): void {
    const last = this.underWay.at(-1);
    const isSame = last !== undefined && nowMs - last.atMs < shippingLimits.lineEveryMs;
    if (last !== undefined && (isSame || this.underWay.length >= shippingLimits.lineTimedMax)) {
      last.end = end;
      last.bytes = bytes;
    } else this.underWay.push({ end, atMs: nowMs, bytes });
  }

  /** What was sent has arrived up to here. */
  arrived(end: number, nowMs: number): void {
    const sent = this.underWay.findLast((each) => each.end <= end);
    if (sent === undefined) return;
    this.underWay.splice(0, this.underWay.indexOf(sent) + 1);
    if (this.underWay.length === 0) this.isDraining = false;
    const delayMs = Math.max(1, nowMs - sent.atMs);
    this.turn(nowMs);
    this.lastDelayMs = delayMs;
    this.shortestMs = Math.min(this.shortestMs, delayMs);
    const carried = (sent.bytes * this.aimMs) / delayMs;
    if (delayMs > this.aimMs) this.current = this.clamped(Math.min(carried, this.current));
    else if (sent.atMs >= this.widenedAtMs) this.widen(Math.min(carried, 2 * this.current), nowMs);
  }

  /** Once in a round trip: what is under way says nothing yet of a window that was widened a moment ago. */
  private widen(bytes: number, nowMs: number): void {
    if (bytes <= this.current) return;
    this.current = this.clamped(bytes);
    this.widenedAtMs = nowMs;
  }

  /** What is on its way is sent again, or counts no more: its delay would not be the line's. */
  restarted(): void {
    this.underWay.length = 0;
    this.isDraining = false;
  }

  /** The longest that a message should take; without end before the first has arrived. */
  private get aimMs(): number {
    return Math.min(this.shortestMs, this.shortestBeforeMs) + this.bounds.queueMs;
  }

  /**
   * Another period begins, at one time for all lanes of a process. Where something stands on the line it is let run empty then:
   * its own delay would otherwise never be seen again, and each period would take the wait of the one before for the line's.
   */
  private turn(nowMs: number): void {
    const period = Math.floor(nowMs / shippingLimits.lineDelayForMs);
    if (period === this.period) return;
    this.period = period;
    this.isDraining = this.lastDelayMs > this.aimMs - this.bounds.queueMs / 2;
    this.shortestBeforeMs = this.shortestMs;
    this.shortestMs = Number.POSITIVE_INFINITY;
  }

  private get messageBytesLeast(): number {
    return Math.ceil(this.bounds.messageBytes / shippingLimits.messageParts);
  }

  private clamped(bytes: number): number {
    return Math.floor(Math.min(this.bounds.windowBytes, Math.max(this.messageBytesLeast, bytes)));
  }
}
