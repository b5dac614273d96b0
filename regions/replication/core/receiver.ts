/**
 * A secondary's side of shipping: joins the path of whoever is primary, takes frames in order, hands them to its own
 * six nodes, and tells the primary how far it is. It never goes back to an older epoch (R4).
 */

import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  maxLsn,
  type Recovered,
  unreachable,
  zeroLsn,
} from '../../../storage/core.ts';
import type { Shipped } from '../../bus/core/messages.ts';
import { reportLimits } from '../../status/core/report-limits.ts';
import { heartbeatDueMs, shippingLimits } from './shipping-limits.ts';

export type ReceiverEvent =
  /** `transitMs`: how long it was on its way, by the clock offset as known. */
  | { readonly kind: 'shipped'; readonly message: Shipped; readonly transitMs: number }
  /** The region's nodes follow the path to `head` now. */
  | { readonly kind: 'joined'; readonly outcome: Recovered }
  | { readonly kind: 'joinFailed'; readonly head: Epoch }
  /** The region's quorum has stored more (VCL), or made more durable (VDL): the primary's credit follows the first. */
  | { readonly kind: 'durable'; readonly vcl: Lsn; readonly vdl: Lsn }
  /** The region's nodes belong to a newer reign; or too few of them answer. Join again when the primary speaks. */
  | { readonly kind: 'lost' }
  | { readonly kind: 'tick' };

export type ReceiverEffect =
  /** Seal and survey the region's nodes for this path. Answer with `joined` or `joinFailed`. */
  | { readonly kind: 'join'; readonly head: Epoch; readonly forks: Shipped['forks'] }
  /** Write frames that continue at `start` to the region's nodes. */
  | { readonly kind: 'store'; readonly start: Lsn; readonly next: Lsn; readonly frames: Uint8Array }
  | { readonly kind: 'ack'; readonly to: Shipped['from']; readonly gap: boolean };

export type ReceiverState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'joining'; readonly head: Epoch }
  | { readonly kind: 'following'; readonly head: Epoch };

/** Where the receiver stands; what an acknowledgement says. */
export interface ReceiverPosition {
  readonly head: Epoch;
  readonly received: Lsn;
  readonly vcl: Lsn;
  readonly vdl: Lsn;
}

export class Receiver {
  private stateNow: ReceiverState = { kind: 'waiting' };
  private newestHead: Epoch = genesisEpoch;
  private primaryRegion: Shipped['from'] | null = null;
  private primaryVdlLsn: Lsn = zeroLsn;
  private received: Lsn = zeroLsn;
  private vcl: Lsn = zeroLsn;
  private vdl: Lsn = zeroLsn;
  private ackedAtMs = 0;
  /** What was acknowledged last, and how often in turn. */
  private told: ReceiverPosition | null = null;
  private repeats = 0;
  private heardAtMs = Number.NEGATIVE_INFINITY;
  /** When what the primary said last was true there. */
  private saidAtMs = Number.NEGATIVE_INFINITY;
  private levelAtMs: number | null = null;
  /** Who sent last: the primary, or a survivor that lends its redo. */
  private sender: Shipped['from'] | null = null;
  private effects: ReceiverEffect[] = [];

  get state(): ReceiverState {
    return this.stateNow;
  }

  get position(): ReceiverPosition {
    const head = this.stateNow.kind === 'following' ? this.stateNow.head : genesisEpoch;
    return { head, received: this.received, vcl: this.vcl, vdl: this.vdl };
  }

  /** Who ships to this region; null before the first message. */
  get primary(): Shipped['from'] | null {
    return this.primaryRegion;
  }

  /** What the primary last said was durable there. */
  get primaryVdl(): Lsn {
    return this.primaryVdlLsn;
  }

  /** Whether the primary has been heard lately. */
  hears(nowMs: number): boolean {
    return nowMs - this.heardAtMs < reportLimits.offlineAfterMs;
  }

  /** Since the primary was heard; null when it never was. */
  heardMsAgo(nowMs: number): number | null {
    return this.heardAtMs === Number.NEGATIVE_INFINITY ? null : nowMs - this.heardAtMs;
  }

  /** How long ago this region last held all that its primary had called durable; null when it has not since it joined. */
  levelMsAgo(nowMs: number): number | null {
    return this.levelAtMs === null ? null : Math.max(0, nowMs - this.levelAtMs);
  }

  /** It follows and has all that its primary has called durable: time alone brings nothing but acknowledgements. */
  get isQuiet(): boolean {
    return this.stateNow.kind === 'following' && this.vdl >= this.primaryVdlLsn;
  }

  step(event: ReceiverEvent, nowMs: number): readonly ReceiverEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'shipped':
        this.shipped(event.message, event.transitMs, nowMs);
        break;
      case 'joined':
        this.joined(event.outcome, nowMs);
        break;
      case 'joinFailed':
        if (this.stateNow.kind === 'joining' && this.stateNow.head === event.head)
          this.stateNow = { kind: 'waiting' };
        break;
      case 'durable':
        if (this.stateNow.kind !== 'following') break;
        this.vcl = maxLsn(this.vcl, event.vcl);
        this.vdl = maxLsn(this.vdl, event.vdl);
        this.noteLevel();
        this.ack(false, nowMs);
        break;
      case 'lost':
        // A join under way has not been lost by what came before it.
        if (this.stateNow.kind === 'following') this.stateNow = { kind: 'waiting' };
        break;
      case 'tick':
        if (nowMs - this.ackedAtMs >= this.ackDueMs) this.ack(false, nowMs);
        break;
      default:
        unreachable(event);
    }
    return this.effects;
  }

  private shipped(message: Shipped, transitMs: number, nowMs: number): void {
    // R4: whoever ships an older path has been superseded, and hears nothing back.
    if (message.head < this.newestHead) return;
    if (message.head > this.newestHead) {
      this.primaryVdlLsn = zeroLsn;
      this.levelAtMs = null;
    }
    this.newestHead = message.head;
    this.primaryRegion = message.from;
    this.sender = message.via ?? message.from;
    this.primaryVdlLsn = maxLsn(this.primaryVdlLsn, message.vdl);
    // Who lends its redo tells nothing of the primary.
    if (message.via === undefined) {
      this.heardAtMs = nowMs;
      this.saidAtMs = nowMs - transitMs;
      this.noteLevel();
    }
    const current = this.stateNow;
    if (current.kind === 'waiting' || current.head < message.head) {
      this.stateNow = { kind: 'joining', head: message.head };
      this.effects.push({ kind: 'join', head: message.head, forks: message.forks });
      return;
    }
    if (current.kind === 'joining') return;
    this.take(message, nowMs);
  }

  private noteLevel(): void {
    const isLevel = this.stateNow.kind === 'following' && this.vdl >= this.primaryVdlLsn;
    if (isLevel && this.saidAtMs > Number.NEGATIVE_INFINITY) this.levelAtMs = this.saidAtMs;
  }

  private take(message: Shipped, nowMs: number): void {
    // R3: what is stored continues what was stored before.
    if (message.start > this.received) {
      this.ack(true, nowMs);
      return;
    }
    if (message.next <= this.received) return;
    this.received = message.next;
    this.effects.push({ kind: 'store', start: message.start, next: message.next, frames: message.frames });
  }

  private joined(outcome: Recovered, nowMs: number): void {
    if (this.stateNow.kind !== 'joining' || this.stateNow.head !== outcome.head) return;
    this.stateNow = { kind: 'following', head: outcome.head };
    this.received = outcome.vdl;
    this.vcl = outcome.vdl;
    this.vdl = outcome.vdl;
    // Asking for what comes next is the same as having found a gap.
    this.ack(true, nowMs);
  }

  /** What has been said several times in turn has arrived: it is repeated half as often, as a sign of life. */
  private get ackDueMs(): number {
    const isKnown = this.repeats >= shippingLimits.ackRepeats;
    return heartbeatDueMs + (isKnown ? shippingLimits.heartbeatMs : 0);
  }

  private ack(gap: boolean, nowMs: number): void {
    if (this.sender === null || this.stateNow.kind !== 'following') return;
    this.ackedAtMs = nowMs;
    const { position, told } = this;
    const isSame =
      !gap &&
      told?.head === position.head &&
      told.received === position.received &&
      told.vcl === position.vcl &&
      told.vdl === position.vdl;
    this.repeats = isSame ? this.repeats + 1 : 0;
    this.told = position;
    this.effects.push({ kind: 'ack', to: this.sender, gap });
  }
}
