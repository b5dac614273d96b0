/**
 * When a gateway may be the writer, as a pure state machine over the control record. There is one way in (win a
 * compare-and-set that allots the next epoch, then recover the volume under it) and one way out (stop acknowledging,
 * then give the lease back), whatever the occasion: first start, crash, switchover, failover, lost quorum.
 *
 * One change of the record is under way at a time, so a renewal can never race a release of our own. A change that was
 * lost is not tried again before a newer record has been seen; one whose outcome is unknown is tried again as it was,
 * which settles it (`control-port.ts`).
 *
 * A lapsed lease ends no reign. Answers wait from then on (`suspend`), renewals go on, and the first that is won in time
 * lets them out again (`reopen`): it proves that the record named this reign all the while. A reign ends when the record
 * names somebody else, the nodes fence it, its quorum or engine is lost, or it drains.
 *
 * R6 The target of a switchover claims, and writes, only with everything durable that the old writer drained.
 * R7 A switchover goes on only from a writer that drained; one that could not gives the move up before its lease. One that
 *    has drained and is not relieved within the time of a move takes its writes back.
 * R43 A region that cannot make a write quorum does not keep the lease: its gateways claim only while four of its nodes
 *    answer, and a reign that has lacked them for 5 s gives the lease back. Another region may take over then.
 * R76 While the record asks for a rewind, every reign from its epoch on begins by a recovery that makes it, and only such a
 *    reign, once it writes, ends it. An older one drains first, and goes back under the same lease.
 */
import assert from 'node:assert/strict';
import {
  type Epoch,
  genesisEpoch,
  type Lsn,
  type RegionId,
  unreachable,
  zeroLsn,
} from '../../../../storage/core.ts';
import type { ControlView, ControlWrite } from '../../core/control-port.ts';
import {
  abortMove,
  acquire,
  type ControlRecord,
  completeMove,
  type Holder,
  type Move,
  release,
  renew,
  sameHolder,
  type Transition,
} from '../../core/control-record.ts';
import { type HolderEvent, HolderLease, type LeaseLimits } from '../../core/lease.ts';
import { moveLimits } from '../../core/move-limits.ts';
import { endRewind } from '../../core/rewind-record.ts';
import { GatewayChallenge } from './challenge.ts';
import { QuorumSight } from './quorum-sight.ts';
import type {
  ChangeKind,
  EndReason,
  GiveBack,
  Pending,
  RoleEffect,
  RoleEvent,
  WriterPhase,
} from './writer-role-events.ts';

/** After a reign ended badly, wait before the next claim, so that a broken region does not burn epochs. */
const claimAgainAfterMs = 500;

export class WriterRole {
  private readonly region: RegionId;
  private readonly me: Holder;
  private readonly limits: LeaseLimits;
  private readonly challenge: GatewayChallenge;
  private readonly quorum = new QuorumSight();
  private phaseNow: WriterPhase = 'reading';
  private view: ControlView | null = null;
  private epochNow: Epoch | null = null;
  private lease: HolderLease | null = null;
  private pending: Pending | null = null;
  /** The last change sent: the same one, sent again at the same revision, counts from then. */
  private lastSent: Pending | null = null;
  /** A change at this revision was lost: there is a newer one to be seen. */
  private lostAtSeq = 0;
  private readAgainAtMs = 0;
  private giveBackNotBeforeMs = 0;
  private renewWanted: number | null = null;
  private releaseWanted: GiveBack | null = null;
  private atLeast: Lsn = zeroLsn;
  private regionDurable: { readonly head: Epoch; readonly vdl: Lsn } = { head: genesisEpoch, vdl: zeroLsn };
  /** A move for which this region has drained, and since when this gateway has known it. */
  private drainedMove: { readonly id: string; readonly sinceMs: number } | null = null;
  private claimNotBeforeMs = 0;
  /** A reign of this region that can make nothing durable any more. */
  private fencedReign: Epoch | null = null;
  private ending = false;
  private effects: RoleEffect[] = [];

  constructor(region: RegionId, me: Holder, limits: LeaseLimits) {
    this.region = region;
    this.me = me;
    this.limits = limits;
    this.challenge = new GatewayChallenge(limits);
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

  /** How long a write may be acknowledged unless the lease is renewed, in ms; 0 without a valid lease. */
  leaseRemainingMs(nowMs: number): number {
    return this.lease?.isValid(nowMs) === true ? this.lease.validUntil - nowMs : 0;
  }

  /**
   * Effects are carried out at once and in order. Told of `nodes`, or a `tick`, every 100 ms or so it keeps the lease.
   * @param nowMs this process's monotonic clock.
   */
  step(event: RoleEvent, nowMs: number): readonly RoleEffect[] {
    this.effects = [];
    switch (event.kind) {
      case 'record':
        this.saw(event.view, nowMs);
        break;
      case 'unseen':
        this.challenge.unseen();
        break;
      case 'written':
        this.written(event.write, nowMs);
        break;
      case 'recovered':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow) this.recovered(event.vdl);
        break;
      case 'recoveryFailed':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow)
          this.endReign('recovery-failed', { kind: 'given-up' }, nowMs);
        break;
      case 'recoveryTimedOut':
        if (this.phaseNow === 'recovering' && event.epoch === this.epochNow)
          this.recoverAgain(event.epoch, event.mayHaveForked, nowMs);
        break;
      case 'fenced':
        if (event.epoch === this.epochNow) this.endReign('fenced', null, nowMs);
        break;
      case 'quorumLost':
        if (event.epoch === this.epochNow) this.endReign('quorum-lost', { kind: 'given-up' }, nowMs);
        break;
      case 'engineLost':
        if (event.epoch === this.epochNow) this.endReign('engine-lost', { kind: 'given-up' }, nowMs);
        break;
      case 'drained':
        if (this.phaseNow === 'draining' && event.epoch === this.epochNow) this.drained(event.lsn, nowMs);
        break;
      case 'regionVdl':
        this.regionDurable = { head: event.head, vdl: event.vdl };
        break;
      case 'holderFenced':
        this.fencedReign = event.reign;
        break;
      case 'nodes':
        this.quorum.saw(event.up, nowMs);
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
    this.readAgain(nowMs);
    return this.effects;
  }

  private saw(view: ControlView, nowMs: number): void {
    this.challenge.saw(view.seq, nowMs);
    if (this.view !== null && view.seq <= this.view.seq) return;
    this.view = view;
  }

  private recovered(vdl: Lsn): void {
    assert(vdl >= this.atLeast, `R6: a switchover drained to ${this.atLeast}, and only ${vdl} is here`);
    assert(this.epochNow !== null, 'a recovery belongs to an epoch');
    this.phaseNow = 'writing';
    this.effects.push({ kind: 'open', epoch: this.epochNow });
  }

  /** The same epoch is tried again while nothing can have been forked under it (S3) and the record names this reign. */
  private recoverAgain(epoch: Epoch, mayHaveForked: boolean, nowMs: number): void {
    if (mayHaveForked) this.endReign('recovery-failed', { kind: 'given-up' }, nowMs);
    else if (this.view !== null) this.recover({ ...this.view.record, epoch }, this.atLeast);
  }

  private drained(lsn: Lsn, nowMs: number): void {
    const record = this.view?.record;
    if (record === undefined || this.epochNow === null || !this.mustGoBack(record)) {
      this.endReign('drained', { kind: 'drained', lsn }, nowMs);
      return;
    }
    this.effects.push({ kind: 'close', epoch: this.epochNow, reason: 'rewound' });
    this.recover(record, zeroLsn);
  }

  /** R76: the record asks for a rewind that was begun after this reign. */
  private mustGoBack({ rewind }: ControlRecord): boolean {
    return rewind !== undefined && this.epochNow !== null && this.epochNow < rewind.epoch;
  }

  /** Begins the reign that the record names. */
  private recover({ epoch, rewind }: ControlRecord, atLeast: Lsn): void {
    this.epochNow = epoch;
    this.atLeast = atLeast;
    this.phaseNow = 'recovering';
    this.effects.push({ kind: 'recover', epoch, atLeast, ...(rewind !== undefined && { rewind }) });
  }

  /** @param giveBack null when the record is no longer ours to change. */
  private endReign(reason: EndReason, giveBack: GiveBack | null, nowMs: number): void {
    assert(this.epochNow !== null, 'a reign that ends has an epoch');
    this.effects.push({ kind: 'close', epoch: this.epochNow, reason });
    this.epochNow = null;
    this.renewWanted = null;
    this.claimNotBeforeMs = reason === 'drained' ? nowMs : nowMs + claimAgainAfterMs;
    this.lease?.end();
    this.lease = null;
    this.releaseWanted = giveBack;
    this.phaseNow = giveBack === null ? 'reading' : 'releasing';
    if (giveBack === null) this.effects.push({ kind: 'read' });
  }

  /** Renews in time; ends the reign when the record names somebody else. */
  private keepLease(nowMs: number): void {
    const record = this.view?.record;
    if (this.epochNow !== null && record !== undefined && !sameHolder(record.holder, this.me))
      this.endReign('deposed', null, nowMs);
    const needsNodes = this.phaseNow === 'recovering' || this.phaseNow === 'writing';
    if (needsNodes && this.quorum.hasLackedLong(nowMs))
      this.endReign('quorum-lost', { kind: 'given-up' }, nowMs);
    this.stepLease({ kind: 'tick' }, nowMs);
  }

  /** None of the lease's effects may be passed over. */
  private stepLease(event: HolderEvent, nowMs: number): void {
    if (this.lease === null || this.epochNow === null) return;
    for (const effect of this.lease.step(event, nowMs)) {
      switch (effect.kind) {
        case 'renew':
          this.renewWanted = effect.attempt;
          break;
        case 'suspended':
          this.effects.push({ kind: 'suspend', epoch: this.epochNow });
          break;
        case 'resumed':
          this.effects.push({ kind: 'reopen', epoch: this.epochNow, afterMs: effect.afterMs });
          break;
        case 'wake':
          break;
        default:
          unreachable(effect);
      }
    }
  }

  /** Whether the record as we know it may be changed: nothing of ours is under way, and it is not known to be old. */
  private get mayChange(): boolean {
    return this.pending === null && this.view !== null && this.view.seq > this.lostAtSeq;
  }

  /** Does what the record asks of this gateway. */
  private follow(nowMs: number): void {
    const record = this.view?.record;
    if (record === undefined) return;
    switch (this.phaseNow) {
      case 'reading':
        if (this.mayChange && nowMs >= this.claimNotBeforeMs) this.claim(record, nowMs);
        return;
      case 'writing':
        if (record.state === 'switching' && record.move !== null && this.epochNow !== null) {
          this.phaseNow = 'draining';
          this.effects.push({ kind: 'drain', epoch: this.epochNow, to: record.move.to });
        } else if (this.mustGoBack(record) && this.epochNow !== null) {
          this.phaseNow = 'draining';
          this.effects.push({ kind: 'drain', epoch: this.epochNow, to: null });
        } else if (record.rewind !== undefined && this.mayChange) {
          const ended = endRewind(record, { id: record.rewind.id, holder: this.me });
          if (ended.kind === 'next') this.send('endRewind', ended.record, 0, nowMs);
        }
        return;
      case 'draining':
        if (record.state === 'stable' && this.epochNow !== null && !this.mustGoBack(record)) {
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
    // A record that names this very incarnation while it reigns no more: an acquisition that was thought lost, or a
    // release that was. It is given back, so that the next claim gets an epoch of its own.
    if (sameHolder(record.holder, this.me)) {
      this.releaseWanted = { kind: 'given-up' };
      this.phaseNow = 'releasing';
      return;
    }
    if (this.ending) return;
    if (this.isStranded(record, nowMs)) {
      const aborted = abortMove(record, { id: record.move.id });
      if (aborted.kind === 'next') this.send('abort', aborted.record, 0, nowMs);
      return;
    }
    if (!this.quorum.canWrite) return;
    const { move } = record;
    if (move?.to === this.region && (record.state === 'failing-over' || move.fork !== undefined)) {
      const atLeast = record.state === 'switching' ? (move.fork?.lsn ?? zeroLsn) : zeroLsn;
      if (record.state === 'switching' && !this.hasReached(record.epoch, atLeast)) return;
      this.begin(completeMove(record, { id: move.id, region: this.region, holder: this.me }), atLeast, nowMs);
      return;
    }
    const verdict = this.challenge.verdict(this.view?.seq ?? 0, nowMs);
    // The next epoch is the one that the nodes are sealed for, and this change fails if the record is another by now.
    const lapsed = verdict === 'yes' || record.epoch === this.fencedReign;
    const acquisition = acquire(record, { region: this.region, holder: this.me, lapsed });
    if (acquisition.kind === 'next') this.begin(acquisition, zeroLsn, nowMs);
    else if (acquisition.code === 'held' && verdict === 'look') this.lookAgain(nowMs);
  }

  /**
   * This region has drained, and the target has not taken over in all the time a switchover may take: whoever ran the
   * move may have died with it. Then the region it left takes its writes back.
   */
  private isStranded(
    record: ControlRecord,
    nowMs: number,
  ): record is ControlRecord & { readonly move: Move } {
    const { move } = record;
    if (move?.fork === undefined || move.from !== this.region) return false;
    if (this.drainedMove?.id !== move.id) this.drainedMove = { id: move.id, sinceMs: nowMs };
    return nowMs - this.drainedMove.sinceMs > moveLimits.switchoverMs;
  }

  /** R6: the drained writer's reign is the last one allotted, and its redo is durable here up to where it drained. */
  private hasReached(drained: Epoch, atLeast: Lsn): boolean {
    return this.regionDurable.head === drained && this.regionDurable.vdl >= atLeast;
  }

  private begin(transition: Transition, atLeast: Lsn, nowMs: number): void {
    if (transition.kind === 'refused') return;
    this.phaseNow = 'claiming';
    this.atLeast = atLeast;
    this.send('claim', transition.record, 0, nowMs);
  }

  private send(what: ChangeKind, record: ControlRecord, attempt: number, nowMs: number): void {
    assert(this.view !== null && this.pending === null, 'one change of the record at a time');
    const { seq } = this.view;
    const again = this.lastSent?.what === what && this.lastSent.expectedSeq === seq ? this.lastSent : null;
    this.pending = { what, record, expectedSeq: seq, sentAtMs: again?.sentAtMs ?? nowMs, attempt };
    this.lastSent = this.pending;
    this.effects.push({ kind: 'write', expectedSeq: seq, record });
  }

  /** Sends the release or renewal that is wanted, when nothing else is under way. */
  private write(nowMs: number): void {
    const record = this.view?.record;
    if (record === undefined || !this.mayChange) return;
    if (this.phaseNow === 'releasing') {
      if (nowMs >= this.giveBackNotBeforeMs) this.giveBack(record, nowMs);
      return;
    }
    if (this.renewWanted === null || this.lease === null) return;
    const attempt = this.renewWanted;
    this.renewWanted = null;
    const transition = renew(record, this.me);
    if (transition.kind === 'next') this.send('renew', transition.record, attempt, nowMs);
  }

  /** While what we know is known to be old, asks again: a read may be stale or unanswered. */
  private readAgain(nowMs: number): void {
    if (this.view === null || this.view.seq > this.lostAtSeq) return;
    this.lookAgain(nowMs);
  }

  private lookAgain(nowMs: number): void {
    if (nowMs < this.readAgainAtMs) return;
    this.readAgainAtMs = nowMs + this.limits.retryMs;
    this.effects.push({ kind: 'read' });
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
    switch (write.kind) {
      case 'won':
        this.saw({ seq: write.seq, record: pending.record }, nowMs);
        this.won(pending, nowMs);
        return;
      case 'lost':
        this.lostAtSeq = pending.expectedSeq;
        this.readAgainAtMs = nowMs;
        break;
      case 'unknown':
        this.challenge.unseen();
        this.effects.push({ kind: 'read' });
        break;
      default:
        unreachable(write);
    }
    const retryAtMs = write.kind === 'unknown' ? nowMs + this.limits.retryMs : nowMs;
    switch (pending.what) {
      case 'claim':
        this.phaseNow = 'reading';
        this.claimNotBeforeMs = retryAtMs;
        return;
      case 'renew':
        this.stepLease({ kind: 'unsettled', attempt: pending.attempt }, nowMs);
        return;
      case 'endRewind':
        return;
      case 'release':
      case 'abort':
        // Tried again with the next record; if that no longer names us, there is nothing left to give back.
        this.giveBackNotBeforeMs = retryAtMs;
        this.claimNotBeforeMs = Math.max(this.claimNotBeforeMs, retryAtMs);
        return;
      default:
        unreachable(pending.what);
    }
  }

  private won(pending: Pending, nowMs: number): void {
    switch (pending.what) {
      case 'claim':
        if (this.ending) {
          this.releaseWanted = { kind: 'given-up' };
          this.phaseNow = 'releasing';
          return;
        }
        this.lease = new HolderLease(this.limits, pending.sentAtMs);
        this.recover(pending.record, this.atLeast);
        return;
      case 'renew':
        this.stepLease({ kind: 'renewed', attempt: pending.attempt, sentAtMs: pending.sentAtMs }, nowMs);
        return;
      case 'release':
        this.phaseNow = 'reading';
        this.releaseWanted = null;
        return;
      case 'abort':
      case 'endRewind':
        return;
      default:
        unreachable(pending.what);
    }
  }
}
