/**
 * When a gateway may be the writer, as a pure state machine over the control record. There is one way in (win a
 * compare-and-set that allots the next epoch, then recover the volume under it) and one way out (stop acknowledging,
 * then give the lease back), whatever the occasion: first start, crash, switchover, failover, lost quorum.
 *
 * One change of the record is under way at a time, so a renewal can never race a release of our own.
 */
import assert from 'node:assert/strict';
import { type Epoch, type Lsn, type RegionId, unreachable, zeroLsn } from '../../storage/core/ids.ts';
import type { ControlView, ControlWrite } from './control-port.ts';
import {
  abortMove,
  acquire,
  completeMove,
  type ControlRecord,
  type Holder,
  release,
  renew,
  sameHolder,
  type Transition,
} from './control-record.ts';
import { ChallengerTimer, HolderLease, type LeaseLimits } from './lease.ts';

export type WriterPhase = 'reading' | 'claiming' | 'recovering' | 'writing' | 'draining' | 'releasing';

/** Why a reign ended. */
export type EndReason = 'deposed' | 'lease-lapsed' | 'fenced' | 'quorum-lost' | 'drained' | 'recovery-failed' | 'shutdown';

export type RoleEvent =
  | { readonly kind: 'record'; readonly view: ControlView }
  | { readonly kind: 'written'; readonly write: ControlWrite }
  | { readonly kind: 'recovered'; readonly epoch: Epoch; readonly vdl: Lsn }
  | { readonly kind: 'recoveryFailed'; readonly epoch: Epoch }
  | { readonly kind: 'fenced'; readonly epoch: Epoch }
  | { readonly kind: 'quorumLost'; readonly epoch: Epoch }
  /** Nothing is open any more and everything committed is durable. */
  | { readonly kind: 'drained'; readonly epoch: Epoch; readonly lsn: Lsn }
  /** What is durable in this region has moved: a switchover's target waits for it. */
  | { readonly kind: 'regionVdl'; readonly vdl: Lsn }
  /** The process is about to end and wants nobody to wait for its lease. */
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'tick' };

export type RoleEffect =
  | { readonly kind: 'write'; readonly expectedSeq: number; readonly record: ControlRecord }
  /** Look at the record again: what we know of it is out of date. */
  | { readonly kind: 'read' }
  | { readonly kind: 'recover'; readonly epoch: Epoch; readonly atLeast: Lsn }
  | { readonly kind: 'open'; readonly epoch: Epoch }
  /** Hold new writes, let open ones finish; answer with `drained`. */
  | { readonly kind: 'drain'; readonly epoch: Epoch; readonly to: RegionId }
  /** The move was given up: go on writing. */
  | { readonly kind: 'resume'; readonly epoch: Epoch }
  /** Stop acknowledging at once; what is in flight is unknown to its clients. */
  | { readonly kind: 'close'; readonly epoch: Epoch; readonly reason: EndReason };

type Pending = 'claim' | 'renew' | 'release' | 'abort';

/** How the lease is given back: with the word that everything is drained, which lets a switchover go on, or without. */
type GiveBack = { readonly kind: 'drained'; readonly lsn: Lsn } | { readonly kind: 'given-up' };

/** After a reign ended badly, wait before the next claim, so that a broken region does not burn epochs. */
const claimAgainAfterMs = 500;

export class WriterRole {
  private readonly region: RegionId;
  private readonly me: Holder;
  private readonly limits: LeaseLimits;
  private readonly challenger: ChallengerTimer;
  private phaseNow: WriterPhase = 'reading';
  private view: ControlView | null = null;
  private epochNow: Epoch | null = null;
  private lease: HolderLease | null = null;
  private pending: { readonly what: Pending; readonly record: ControlRecord; readonly sentAtMs: number; readonly attempt: number } | null = null;
  private renewWanted: number | null = null;
  private releaseWanted: GiveBack | null = null;
  private atLeast: Lsn = zeroLsn;
  private regionVdl: Lsn = zeroLsn;
  private claimNotBeforeMs = 0;
  private ending = false;
  private effects: RoleEffect[] = [];

  constructor(region: RegionId, me: Holder, limits: LeaseLimits) {
    this.region = region;
    this.me = me;
    this.limits = limits;
    this.challenger = new ChallengerTimer(limits);
  }

  get phase(): WriterPhase {
    return this.phaseNow;
  }

  /** The epoch of the reign under way; null while reading. */
  get epoch(): Epoch | null {
    return this.epochNow;
  }

  /** The newest control record this gateway has seen. */
  get record(): ControlRecord | null {
    return this.view?.record ?? null;
  }

  /** Whether a write may be acknowledged at `nowMs` (R24): checked for every response, not by a timer. */
  mayAcknowledge(nowMs: number): boolean {
    return this.lease?.isValid(nowMs) ?? false;
  }

  /** @param nowMs this process's monotonic clock. */
  step(event: RoleEvent, nowMs: number): readonly RoleEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'record':
        this.saw(event.view, nowMs);
        break;
      case 'written':
        this.written(event.write, nowMs);
        break;
      case 'recovered':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow) this.recovered(event.vdl);
        break;
      case 'recoveryFailed':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow) this.endReign('recovery-failed', { kind: 'given-up' }, nowMs);
        break;
      case 'fenced':
        if (event.epoch === this.epochNow) this.endReign('fenced', null, nowMs);
        break;
      case 'quorumLost':
        if (event.epoch === this.epochNow) this.endReign('quorum-lost', { kind: 'given-up' }, nowMs);
        break;
      case 'drained':
        if (this.phaseNow === 'draining' && event.epoch === this.epochNow) this.endReign('drained', { kind: 'drained', lsn: event.lsn }, nowMs);
        break;
      case 'regionVdl':
        this.regionVdl = event.vdl;
        break;
      case 'shutdown':
        this.ending = true;
        if (this.epochNow !== null) this.endReign('shutdown', { kind: 'given-up' }, nowMs);
        break;
      case 'tick':
        break;
      default:
        unreachable(event);
    }
    this.keepLease(nowMs);
    this.follow(nowMs);
    this.write(nowMs);
    return this.effects;
  }

  private saw(view: ControlView, nowMs: number): void {
    if (this.view !== null && view.seq <= this.view.seq) return;
    this.view = view;
    this.challenger.saw(view.seq, nowMs);
  }

  private recovered(vdl: Lsn): void {
    assert(vdl >= this.atLeast, `R6: a switchover drained to ${this.atLeast}, and only ${vdl} is here`);
    assert(this.epochNow !== null, 'a recovery belongs to an epoch');
    this.phaseNow = 'writing';
    this.effects.push({ kind: 'open', epoch: this.epochNow });
  }

  /** @param giveBack null when the record is no longer ours to change. */
  private endReign(reason: EndReason, giveBack: GiveBack | null, nowMs: number): void {
    assert(this.epochNow !== null, 'a reign that ends has an epoch');
    this.effects.push({ kind: 'close', epoch: this.epochNow, reason });
    this.epochNow = null;
    this.renewWanted = null;
    this.claimNotBeforeMs = reason === 'drained' ? nowMs : nowMs + claimAgainAfterMs;
    this.lease?.step({ kind: 'releasing' }, nowMs);
    this.lease = null;
    this.releaseWanted = giveBack;
    this.phaseNow = giveBack === null ? 'reading' : 'releasing';
    if (giveBack === null) this.effects.push({ kind: 'read' });
  }

  /** Renews in time; ends the reign when the lease lapses or the record names somebody else. */
  private keepLease(nowMs: number): void {
    if (this.lease === null) return;
    const record = this.view?.record;
    const deposed = record !== undefined && this.pending?.what !== 'claim' && !sameHolder(record.holder, this.me);
    const effects = this.lease.step(deposed ? { kind: 'deposed' } : { kind: 'tick' }, nowMs);
    for (const effect of effects) {
      if (effect.kind === 'renew') this.renewWanted = effect.attempt;
      if (effect.kind !== 'lapsed' || this.epochNow === null) continue;
      this.endReign(effect.reason === 'deposed' ? 'deposed' : 'lease-lapsed', null, nowMs);
    }
  }

  /** Does what the record asks of this gateway. */
  private follow(nowMs: number): void {
    const record = this.view?.record;
    if (record === undefined || this.pending !== null) return;
    switch (this.phaseNow) {
      case 'reading':
        if (!this.ending && nowMs >= this.claimNotBeforeMs) this.claim(record, nowMs);
        return;
      case 'writing':
        if (record.state === 'switching' && record.move !== null && this.epochNow !== null) {
          this.phaseNow = 'draining';
          this.effects.push({ kind: 'drain', epoch: this.epochNow, to: record.move.to });
        }
        return;
      case 'draining':
        if (record.state === 'stable' && this.epochNow !== null) {
          this.phaseNow = 'writing';
          this.effects.push({ kind: 'resume', epoch: this.epochNow });
        }
        return;
      case 'claiming':
      case 'recovering':
      case 'releasing':
        return;
      default:
        unreachable(this.phaseNow);
    }
  }

  private claim(record: ControlRecord, nowMs: number): void {
    const { move } = record;
    if (move?.to === this.region && (record.state === 'failing-over' || move.fork !== undefined)) {
      const atLeast = record.state === 'switching' ? (move.fork?.lsn ?? zeroLsn) : zeroLsn;
      if (this.regionVdl < atLeast) return;
      this.begin(completeMove(record, { id: move.id, region: this.region, holder: this.me }), atLeast, nowMs);
      return;
    }
    // A record that names this very incarnation while it reigns no more: an acquisition that was thought lost, or a
    // release that was. It is given back, so that the next claim gets an epoch of its own.
    if (sameHolder(record.holder, this.me)) {
      this.releaseWanted = { kind: 'given-up' };
      this.phaseNow = 'releasing';
      return;
    }
    const lapsed = this.challenger.mayChallenge(this.view?.seq ?? 0, nowMs);
    this.begin(acquire(record, { region: this.region, holder: this.me, lapsed }), zeroLsn, nowMs);
  }

  private begin(transition: Transition, atLeast: Lsn, nowMs: number): void {
    if (transition.kind === 'refused') return;
    this.phaseNow = 'claiming';
    this.atLeast = atLeast;
    this.send('claim', transition.record, 0, nowMs);
  }

  private send(what: Pending, record: ControlRecord, attempt: number, nowMs: number): void {
    assert(this.view !== null && this.pending === null, 'one change of the record at a time');
    this.pending = { what, record, sentAtMs: nowMs, attempt };
    this.effects.push({ kind: 'write', expectedSeq: this.view.seq, record });
  }

  /** Sends the release or renewal that is wanted, when nothing else is under way. */
  private write(nowMs: number): void {
    const record = this.view?.record;
    if (record === undefined || this.pending !== null) return;
    if (this.phaseNow === 'releasing') {
      this.giveBack(record, nowMs);
      return;
    }
    if (this.renewWanted === null || this.lease === null) return;
    const attempt = this.renewWanted;
    this.renewWanted = null;
    const transition = renew(record, this.me);
    if (transition.kind === 'next') this.send('renew', transition.record, attempt, nowMs);
  }

  /** R7: a switchover never goes on from a writer that did not drain; it is given up before the lease is. */
  private giveBack(record: ControlRecord, nowMs: number): void {
    const wanted = this.releaseWanted;
    const mine = sameHolder(record.holder, this.me);
    if (wanted?.kind === 'given-up' && mine && record.move !== null) {
      const aborted = abortMove(record, { id: record.move.id });
      if (aborted.kind === 'next') this.send('abort', aborted.record, 0, nowMs);
      return;
    }
    const drainedTo = wanted?.kind === 'drained' ? wanted.lsn : zeroLsn;
    const transition = release(record, { holder: this.me, drainedTo });
    if (transition.kind === 'next') {
      this.send('release', transition.record, 0, nowMs);
      return;
    }
    this.phaseNow = 'reading';
    this.releaseWanted = null;
  }

  private written(write: ControlWrite, nowMs: number): void {
    const { pending } = this;
    assert(pending !== null, 'an outcome belongs to a write');
    this.pending = null;
    if (write.kind === 'won') {
      this.saw({ seq: write.seq, record: pending.record }, nowMs);
      this.won(pending, nowMs);
      return;
    }
    this.effects.push({ kind: 'read' });
    switch (pending.what) {
      case 'claim':
        this.phaseNow = 'reading';
        this.claimNotBeforeMs = nowMs + (write.kind === 'unknown' ? claimAgainAfterMs : 0);
        return;
      case 'renew':
        this.lease?.step({ kind: 'unsettled', attempt: pending.attempt }, nowMs);
        return;
      case 'release':
      case 'abort':
        // Tried again with the next record; if that no longer names us, there is nothing left to give back.
        return;
      default:
        unreachable(pending.what);
    }
  }

  private won(pending: NonNullable<typeof this.pending>, nowMs: number): void {
    switch (pending.what) {
      case 'claim':
        this.epochNow = pending.record.epoch;
        this.lease = new HolderLease(this.limits, pending.sentAtMs);
        this.phaseNow = 'recovering';
        this.effects.push({ kind: 'recover', epoch: pending.record.epoch, atLeast: this.atLeast });
        return;
      case 'renew':
        this.lease?.step({ kind: 'renewed', attempt: pending.attempt }, nowMs);
        return;
      case 'release':
        this.phaseNow = 'reading';
        this.releaseWanted = null;
        return;
      case 'abort':
        return;
      default:
        unreachable(pending.what);
    }
  }
}
