/**
 * The primary's side of shipping to one secondary: reads the log from its own region's storage nodes where the
 * secondary left off, sends it under a credit window, and starts again from what was acknowledged when anything is
 * lost. It keeps no copy of the log, and one frozen secondary holds up nobody but itself.
 */
import { type Epoch, type Lsn, lsn, maxLsn, minLsn, unreachable, zeroLsn } from '../../../storage/core.ts';
import type { ShipAck } from '../../bus/core/messages.ts';
import { reportLimits } from '../../status/core/report-limits.ts';
import { type CommitMark, CommitMarks } from './commit-marks.ts';
import type { RememberedLag } from './lag-memory.ts';
import { LineWindow } from './line-window.ts';
import { heartbeatDueMs, type ShippingBounds, shippingLimits } from './shipping-limits.ts';

export type ShipperEvent =
  | { readonly kind: 'acked'; readonly ack: ShipAck }
  /** A stretch of the log, as the fetch asked; `frames` is empty when only the VDL has moved. */
  | {
      readonly kind: 'fetched';
      readonly from: Lsn;
      readonly next: Lsn;
      readonly vdl: Lsn;
      readonly frames: Uint8Array;
      readonly commits: readonly CommitMark[];
    }
  | { readonly kind: 'fetchFailed' }
  /** No node of this region has the log down to where the secondary is; `floor` is from where on the lowest has it. */
  | { readonly kind: 'belowFloor'; readonly floor: Lsn }
  /** What a look into the log found; `next` is `from` when nobody answered. */
  | {
      readonly kind: 'looked';
      readonly from: Lsn;
      readonly next: Lsn;
      readonly commits: readonly CommitMark[];
    }
  /** Whether the last `ship` left this process. */
  | { readonly kind: 'shipped'; readonly outcome: 'sent' | 'refused' }
  /** What this path's VDL is by now: lag and heartbeats go on while the window is full and nothing is fetched. */
  | { readonly kind: 'durable'; readonly vdl: Lsn }
  /** Begin anew: where the secondary is counts only once it has said so again. */
  | { readonly kind: 'restarted' }
  | { readonly kind: 'tick' };

export type ShipperEffect =
  /**
   * After `afterMs`, read frames called durable from `from` on, at most `bytesMax` or one frame; wait for news when there are
   * none. Answer with `fetched` or `fetchFailed`.
   */
  | {
      readonly kind: 'fetch';
      readonly from: Lsn;
      readonly known: Lsn;
      readonly afterMs: number;
      readonly bytesMax: number;
    }
  /** Read frames called durable from `from` on for their commit times only. Answer with `looked`. */
  | { readonly kind: 'look'; readonly from: Lsn }
  | {
      readonly kind: 'ship';
      readonly start: Lsn;
      readonly next: Lsn;
      readonly vdl: Lsn;
      readonly frames: Uint8Array;
    }
  | { readonly kind: 'heartbeat'; readonly start: Lsn; readonly vdl: Lsn }
  /** Commits of these times are durable there, by its word that came now. */
  | { readonly kind: 'arrived'; readonly commitTimesUs: readonly number[] };

/** Lag of one secondary, all on the primary's clock. */
export interface Lag {
  readonly lagBytes: number;
  /**
   * Age of the oldest commit not yet durable there; 0 when it has them all. Of a secondary whose missing commits were
   * not read since it was level, how long it has been behind without progress. Null while that commit is unknown: after
   * a start nobody can say since when a secondary lacks what it lacks, until the log was read where it is.
   */
  readonly lagMs: number | null;
  /** Commits not yet durable there: so many, or at least so many. Null while nobody knows where it is. */
  readonly lagCommits: number | null;
  readonly lagCommitsExact: boolean;
  readonly online: boolean;
  readonly vdl: Lsn;
}

export class Shipper {
  private readonly head: Epoch;
  private readonly bounds: ShippingBounds;
  private readonly line: LineWindow;
  private vdl: Lsn;
  /** Next LSN to read and send; null until the secondary has said where it is. */
  private cursor: Lsn | null = null;
  /** Frames up to here have arrived, whether durable there or not. */
  private received: Lsn = zeroLsn;
  /**
   * Complete there by its newest word, from which credit counts. It may be lower than an earlier word: a secondary that joins
   * anew within a transaction resumes before it.
   */
  private creditFrom: Lsn = zeroLsn;
  private ackedVcl: Lsn = zeroLsn;
  private ackedVdl: Lsn = zeroLsn;
  private progressAtMs = 0;
  /** Starts without progress between them: each waits longer, so that a slow path is not filled with repetitions. */
  private resends = 0;
  private heardAtMs = Number.NEGATIVE_INFINITY;
  private sentAtMs = Number.NEGATIVE_INFINITY;
  /** The read that is awaited; one from elsewhere, overtaken by a new start, may still answer and is passed over. */
  private fetchingFrom: Lsn | null = null;
  private gapAt: Lsn | null = null;
  private gapAtMs = 0;
  /** By what is known of it: behind since then, or without progress since then; null when caught up. */
  private behindSinceMs: number | null = null;
  private fetchNotBeforeMs = Number.NEGATIVE_INFINITY;
  /** When the next message is due. */
  private dueAtMs = Number.NEGATIVE_INFINITY;
  private readonly marks = new CommitMarks(shippingLimits.commitMarksMax);
  /** Where reading the commit times began; null before the first read. */
  private marksFrom: Lsn | null = null;
  /** When it was last level: whatever it lacks was committed after that. Null since a start, or since it went back. */
  private levelAtMs: number | null = null;
  /** The newest commit whose time was read and that it has: what it lacks was committed after that, too. */
  private settled: CommitMark | null = null;
  private remembered: RememberedLag | null;
  /** While it is away: the oldest commit that it lacks, once the log was read where it is. */
  private missing: CommitMark | null = null;
  /** A look into the log for that commit is under way, from here; null while none is. */
  private lookingFrom: Lsn | null = null;
  /** Without a commit up to here. */
  private lookedTo: Lsn = zeroLsn;
  private lookNotBeforeMs = Number.NEGATIVE_INFINITY;
  /** Of this region's nodes the lowest, when the log was last asked for below it. */
  private floor: Lsn | null = null;
  private effects: ShipperEffect[] = [];

  /**
   * @param vdl what the primary's region had durable when its epoch was forked.
   * @param remembered what was known of the secondary's lag before this shipper began.
   */
  constructor(
    head: Epoch,
    vdl: Lsn,
    remembered: RememberedLag | null = null,
    bounds: ShippingBounds = shippingLimits,
  ) {
    this.head = head;
    this.vdl = vdl;
    this.remembered = remembered;
    this.bounds = bounds;
    this.line = new LineWindow(bounds);
  }

  step(event: ShipperEvent, nowMs: number): readonly ShipperEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'acked':
        this.acked(event.ack, nowMs);
        break;
      case 'fetched':
        this.fetched(event, nowMs);
        break;
      case 'fetchFailed':
        this.fetchingFrom = null;
        break;
      case 'belowFloor':
        // R61: the same question would get the same answer.
        this.fetchingFrom = null;
        this.floor = event.floor;
        this.fetchNotBeforeMs = nowMs + shippingLimits.belowFloorRetryMs;
        break;
      case 'looked':
        this.looked(event, nowMs);
        break;
      case 'shipped':
        // What did not leave is read again; the log keeps it.
        if (event.outcome === 'refused') {
          this.rewind(nowMs);
          // Whatever refuses a message refuses the next one too for a while.
          this.fetchNotBeforeMs = nowMs + shippingLimits.heartbeatMs;
        }
        break;
      case 'durable':
        this.vdl = maxLsn(this.vdl, event.vdl);
        break;
      case 'restarted':
        this.cursor = null;
        this.line.restarted();
        this.received = zeroLsn;
        this.fetchingFrom = null;
        this.lookingFrom = null;
        this.gapAt = null;
        this.resends = 0;
        break;
      case 'tick':
        this.tick(nowMs);
        break;
      default:
        unreachable(event);
    }
    const { known } = this;
    const isLevel = known !== null && known >= this.vdl;
    this.behindSinceMs = isLevel ? null : (this.behindSinceMs ?? nowMs);
    if (isLevel) this.levelAtMs = nowMs;
    return this.effects;
  }

  /** Durable there for certain: as it says, or before it has spoken as is remembered. Null while nothing is known. */
  private get known(): Lsn | null {
    if (this.cursor !== null) return this.ackedVdl;
    if (this.remembered !== null) return maxLsn(this.remembered.vdl, this.ackedVdl);
    return this.ackedVdl === zeroLsn ? null : this.ackedVdl;
  }

  /** Lag as of now. @param nowUs the primary's wall clock, which also stamped the commits. */
  lag(nowMs: number, nowUs: number): Lag {
    const { known } = this;
    const vdl = known ?? zeroLsn;
    const isLevel = known !== null && known >= this.vdl;
    return {
      lagBytes: Math.max(0, this.vdl - vdl),
      lagMs: isLevel ? 0 : this.missingMs(nowMs, nowUs),
      ...(isLevel ? { lagCommits: 0, lagCommitsExact: true } : this.missingCommits()),
      online: this.isOnline(nowMs),
      vdl,
    };
  }

  /** Whether the secondary lacks something durable here. */
  get isBehind(): boolean {
    return this.ackedVdl < this.vdl;
  }

  /** It has everything, and the read of what comes next is under way: time alone brings nothing but heartbeats. */
  get isQuiet(): boolean {
    const { cursor } = this;
    return cursor !== null && this.received >= cursor && this.fetchingFrom === cursor && !this.isBehind;
  }

  /** How much is stored there; within a large transaction it rises while the VDL stands. */
  get storedTo(): Lsn {
    return maxLsn(this.ackedVcl, this.ackedVdl);
  }

  /** From where on this region has the log, when the secondary stands below; else null. */
  get needsImagesFrom(): Lsn | null {
    return this.floor !== null && this.isBehind && this.storedTo < this.floor ? this.floor : null;
  }

  /** Redo that was sent and is not stored there, of `windowSizeBytes` that may be; 0 while nobody knows where it is. */
  get windowUsedBytes(): number {
    return this.cursor === null ? 0 : Math.max(0, this.cursor - this.creditFrom);
  }

  /** The most of that now: what its line carries is less than the window as a rule (R98). Never less than what is used. */
  windowSizeBytes(nowMs: number): number {
    const arrivedBytes = Math.max(0, this.received - this.creditFrom);
    const carriedBytes = arrivedBytes + this.line.bytes(nowMs);
    return Math.max(this.windowUsedBytes, Math.min(this.bounds.windowBytes, carriedBytes));
  }

  /** Redo that was sent and has not arrived there. */
  private get underWayBytes(): number {
    return this.cursor === null ? 0 : Math.max(0, this.cursor - this.received);
  }

  /** Whether it is known where the secondary is; else its lag in bytes is an upper bound: the whole volume. */
  get isKnown(): boolean {
    return this.known !== null;
  }

  /** Age of the oldest commit that is missing there; never understated, and null while nothing bounds it. */
  private missingMs(nowMs: number, nowUs: number): number | null {
    const { oldest } = this.marks;
    const { levelAtMs, settled, remembered, missing } = this;
    const behindMs = this.behindSinceMs === null ? 0 : nowMs - this.behindSinceMs;
    if (oldest !== null && this.isCovered) return Math.max(0, (nowUs - oldest.commitTimeUs) / 1000, behindMs);
    if (missing !== null) return Math.max(0, (nowUs - missing.commitTimeUs) / 1000);
    const bounds = [
      ...(levelAtMs === null ? [] : [nowMs - levelAtMs]),
      ...(settled === null ? [] : [(nowUs - settled.commitTimeUs) / 1000]),
      ...(remembered === null || remembered.sinceUs === null ? [] : [(nowUs - remembered.sinceUs) / 1000]),
    ];
    return bounds.length === 0 ? null : Math.max(0, Math.min(...bounds), behindMs);
  }

  /** Below its VCL nothing is missing, so that the first commit read from there on is the oldest one. */
  private get isCovered(): boolean {
    return this.levelAtMs !== null || (this.marksFrom !== null && this.marksFrom <= this.ackedVcl);
  }

  /** Of a secondary that is behind. Commits whose times were not read are not counted. */
  private missingCommits(): Pick<Lag, 'lagCommits' | 'lagCommitsExact'> {
    if (this.known === null) return { lagCommits: null, lagCommitsExact: false };
    const { commits, isExact } = this.marks.count;
    const isRead = this.cursor !== null && this.cursor >= this.vdl && this.isCovered;
    return {
      lagCommits: Math.max(commits, this.missing === null ? 0 : 1),
      lagCommitsExact: isExact && isRead,
    };
  }

  isOnline(nowMs: number): boolean {
    return nowMs - this.heardAtMs < reportLimits.offlineAfterMs;
  }

  private acked(ack: ShipAck, nowMs: number): void {
    this.heardAtMs = nowMs;
    // A secondary still on another path has to join this one first; the heartbeats tell it where to.
    if (ack.head !== this.head) return;
    const newGap = this.isNewGap(ack, nowMs);
    const hadMore = this.cursor === null && this.remembered !== null && ack.vdl < this.remembered.vdl;
    if (hadMore || (newGap && ack.received < this.ackedVcl)) this.wentBack(ack);
    if (ack.received > this.received || ack.vcl > this.ackedVcl || ack.vdl > this.ackedVdl) {
      this.progressAtMs = nowMs;
      this.resends = 0;
    }
    if (ack.vdl > this.ackedVdl) this.behindSinceMs = null;
    if (newGap) this.line.restarted();
    else this.line.arrived(ack.received, nowMs);
    this.received = ack.received;
    this.creditFrom = ack.vcl;
    this.ackedVcl = maxLsn(this.ackedVcl, ack.vcl);
    this.ackedVdl = maxLsn(this.ackedVdl, ack.vdl);
    const arrived = this.marks.settle(this.ackedVdl);
    this.settled = arrived.at(-1) ?? this.settled;
    if (arrived.length > 0)
      this.effects.push({ kind: 'arrived', commitTimesUs: arrived.map(({ commitTimeUs }) => commitTimeUs) });
    if (this.missing !== null && this.missing.lsn <= this.ackedVdl) this.missing = null;
    if (this.cursor === null || ack.received > this.cursor || newGap) {
      this.cursor = ack.received;
      this.progressAtMs = nowMs;
      this.dueAtMs = nowMs;
    }
    this.fetch(nowMs);
  }

  /**
   * A secondary that joined anew resumes from its VDL, which is below the VCL it acknowledged: what it has stored counts from
   * there. When its nodes were lost the VDL is lower too, and its lag counts from there.
   */
  private wentBack(ack: ShipAck): void {
    this.ackedVcl = ack.vcl;
    if (ack.vdl >= (this.known ?? zeroLsn)) return;
    this.ackedVdl = ack.vdl;
    this.marks.clear();
    this.marksFrom = null;
    this.levelAtMs = null;
    this.settled = null;
    this.remembered = null;
    this.missing = null;
    this.lookingFrom = null;
    this.lookedTo = zeroLsn;
  }

  /** Every message that was behind the lost one complains of the same gap; one new start per gap is enough. */
  private isNewGap(ack: ShipAck, nowMs: number): boolean {
    if (!ack.gap) return false;
    const same = this.gapAt === ack.received && nowMs - this.gapAtMs < shippingLimits.heartbeatMs;
    if (same) return false;
    this.gapAt = ack.received;
    this.gapAtMs = nowMs;
    return true;
  }

  private fetched(event: Extract<ShipperEvent, { kind: 'fetched' }>, nowMs: number): void {
    if (event.from === this.fetchingFrom) this.fetchingFrom = null;
    this.vdl = maxLsn(this.vdl, event.vdl);
    this.floor = null;
    if (event.from === this.cursor && event.next > event.from) {
      if (this.received >= event.from) this.progressAtMs = nowMs;
      this.marksFrom ??= event.from;
      this.marks.add(event.commits.filter((mark) => mark.lsn > this.ackedVdl));
      this.cursor = event.next;
      this.line.sent(event.next, this.underWayBytes, nowMs);
      this.sentAtMs = nowMs;
      this.dueAtMs = event.next < this.vdl ? nowMs : nowMs + shippingLimits.shipEveryMs;
      this.effects.push({
        kind: 'ship',
        start: event.from,
        next: event.next,
        vdl: this.vdl,
        frames: event.frames,
      });
    } else if (this.cursor !== null && event.from === this.cursor) {
      this.beat(nowMs);
    }
    this.fetch(nowMs);
  }

  /** Of a secondary that is away nothing is read but the oldest commit that it lacks, once: its lag goes on from there. */
  private look(nowMs: number): void {
    const { known } = this;
    if (this.isOnline(nowMs) || this.lookingFrom !== null) return;
    if (nowMs < Math.max(this.lookNotBeforeMs, this.fetchNotBeforeMs)) return;
    if (known === null || known >= this.vdl || this.missing !== null) return;
    if (this.marks.oldest !== null && this.isCovered) return;
    this.lookingFrom = maxLsn(known, this.lookedTo);
    this.effects.push({ kind: 'look', from: this.lookingFrom });
  }

  private looked({ from, next, commits }: Extract<ShipperEvent, { kind: 'looked' }>, nowMs: number): void {
    const { known } = this;
    if (from !== this.lookingFrom || known === null) return;
    this.lookingFrom = null;
    this.lookNotBeforeMs = nowMs + shippingLimits.heartbeatMs;
    this.missing = commits.find((mark) => mark.lsn > known) ?? null;
    this.lookedTo = next;
  }

  private fetch(nowMs: number): void {
    if (this.cursor === null || this.fetchingFrom === this.cursor || nowMs < this.fetchNotBeforeMs) return;
    // Nobody there: heartbeats go on, and its next acknowledgement starts this again.
    if (!this.isOnline(nowMs)) return;
    // R8: what a fetch brings is sent, so there has to be credit for all that it may bring.
    if (this.cursor - this.creditFrom + this.bounds.messageBytes > this.bounds.windowBytes) return;
    // R98
    if (this.underWayBytes >= this.line.bytes(nowMs)) return;
    const bytesMax = this.line.messageBytes(nowMs);
    this.fetchingFrom = this.cursor;
    const afterMs = Math.max(0, this.dueAtMs - nowMs);
    this.effects.push({ kind: 'fetch', from: this.cursor, known: this.vdl, afterMs, bytesMax });
  }

  /** What has arrived needs no resending: the secondary makes it durable, or joins anew and says where it is. */
  private rewind(nowMs: number): void {
    if (this.cursor === null) return;
    this.cursor = minLsn(this.cursor, this.received);
    this.line.restarted();
    this.progressAtMs = nowMs;
  }

  private tick(nowMs: number): void {
    const waiting = this.cursor !== null && this.cursor > this.received;
    const resendMs = Math.min(shippingLimits.resendMsMax, shippingLimits.resendAfterMs * 2 ** this.resends);
    if (waiting && nowMs - this.progressAtMs >= resendMs) {
      this.resends = Math.min(this.resends + 1, 16);
      this.rewind(nowMs);
    }
    if (nowMs - this.sentAtMs >= heartbeatDueMs) this.beat(nowMs);
    this.fetch(nowMs);
    this.look(nowMs);
  }

  private beat(nowMs: number): void {
    this.sentAtMs = nowMs;
    this.effects.push({ kind: 'heartbeat', start: this.cursor ?? lsn(0), vdl: this.vdl });
  }
}
