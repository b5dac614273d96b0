/**
 * Drives the pure writer role: its effects to the control store and to this gateway's volume, their outcomes back to it.
 * Effects are carried out at once and in order; what they start reports back as an event.
 */

import {
  type ControlProblem,
  type ControlReading,
  type ControlRecord,
  ControlSight,
  type ControlStore,
  type EndReason,
  formatAge,
  type Holder,
  isMember,
  type LeaseLimits,
  policyOf,
  type Rewind,
  type RoleEffect,
  type RoleEvent,
  type WriterPhase,
  WriterRole,
} from '../../regions/core.ts';
import {
  type Epoch,
  type Geometry,
  machine,
  mainBranch,
  type NodeLinks,
  pause,
  type Recovered,
  type RecoveryOptions,
  type RecoveryResult,
  type RegionId,
  type Runtime,
  runRecovery,
  type Timer,
  unreachable,
  zeroLsn,
} from '../../storage/index.ts';
import { type Logger, RateLimit } from '../../telemetry/index.ts';
import type { GatewayMetrics } from '../observe/gateway-metrics.ts';
import type { Proof } from './core/elsewhere.ts';
import { roleEventOf } from './core/recovery-end.ts';
import { type Drainable, DrainDriver } from './drain.ts';
import { type RecoveryTrace, type RecoveryTraceOptions, recoveryError } from './recovery-trace.ts';
import type { Reign, ReignPort } from './reign.ts';
import type { RoleVolume } from './role-volume.ts';

export interface RoleDriverOptions {
  readonly region: RegionId;
  readonly me: Holder;
  readonly leaseLimits: LeaseLimits;
  readonly tickMs: number;
  readonly store: ControlStore;
  /** For recoveries. */
  readonly nodes: Pick<NodeLinks, 'membership' | 'ask'>;
  /** How many of the region's storage nodes answer now. */
  readonly upNodes: () => number;
  readonly volume: RoleVolume;
  /** Of a volume that is made new. */
  readonly geometry: Geometry;
  /** Streams that may write now. */
  readonly sessions: { readonly writing: readonly Drainable[] };
  /** Whether whatever shares the lease would leave nothing behind by a move to a region: a drain waits for it (G51). */
  readonly settledBeside?: (to: RegionId) => boolean;
  /** Hears what other regions acknowledge of this region's redo, until the function that it answers is called. */
  readonly watchProofs: (onProof: (proof: Proof) => void) => () => void;
  /** An answer waits this long for other regions or for a suspended lease; then its client is told that its fate is unknown. */
  readonly answerWaitMs: number;
  readonly metrics: Pick<GatewayMetrics, 'controlUpdate' | 'stalled' | 'leaseSuspended'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Default: this machine. */
  readonly runtime?: Runtime;
  /** Bounds of one attempt at a recovery; what is left out is as usual. */
  readonly recovery?: () => Partial<Pick<RecoveryOptions, 'timeoutMs' | 'fetchBytesMax'>>;
  /** Hears how each attempt ended that was not given up from here. */
  readonly onRecoveryEnd?: (epoch: Epoch, result: RecoveryResult) => void;
  /** Begins the trace of an attempt; left out where none is wanted. */
  readonly trace?: (about: Pick<RecoveryTraceOptions, 'epoch' | 'operation'>) => RecoveryTrace;
}

/** One attempt at a recovery is given up when nothing has got on for so long; the role says whether another follows. */
const recoveryMs = 15_000;
const settlePollMs = 2;
/** An RPO holds every answer for a moment. It is told of when it lasts, and how often. */
const holdToldMs = 1_000;
const holdToldEveryMs = 10_000;
/** Within this time a look at the control record that failed is told: a poll and a read. */
const lookMs = 2_500;

export class RoleDriver {
  private readonly options: RoleDriverOptions;
  private readonly role: WriterRole;
  private readonly sight = new ControlSight(lookMs);
  private readonly changeWatchers: (() => void)[] = [];
  private readonly runtime: Runtime;
  private ticker: Timer | null = null;
  private stopWatching: () => void = () => undefined;
  private recovering: AbortController | null = null;
  private recovered: Recovered | null = null;
  private reign: Reign | null = null;
  private draining: DrainDriver | null = null;
  private heldSinceMs: number | null = null;
  private phaseSeen: WriterPhase = 'reading';
  private recordSeen: ControlRecord | null = null;
  private stepping = false;
  private readonly inbox: RoleEvent[] = [];
  private closed = false;
  private suspendedAtMs: number | null = null;
  /** This region takes over in `epoch` from another one, whose newest reign was `from`. */
  private takenOver: { readonly epoch: Epoch; readonly from: Epoch } | null = null;
  /** The move for which this gateway claimed the epoch it has. */
  private operation: string | null = null;
  private tracing: RecoveryTrace | null = null;
  private stopProofs: (() => void) | null = null;
  private readonly holdLimit: RateLimit;
  private holdTold = false;

  constructor(options: RoleDriverOptions) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
    this.role = new WriterRole(options.region, options.me, options.leaseLimits);
    this.holdLimit = new RateLimit(holdToldEveryMs, () => this.runtime.nowMs());
    options.volume.watchRegionVdl((head, vdl) => this.step({ kind: 'regionVdl', head, vdl }));
  }

  /** Looks at the control record from now on, and does what it asks of this gateway. */
  start(): void {
    this.stopWatching = this.options.store.watch((reading) => this.read(reading));
    this.ticker = this.runtime.every(this.options.tickMs, () => {
      this.step({ kind: 'nodes', up: this.options.upNodes() });
      this.reign?.giveUp(this.options.answerWaitMs, this.suspendedMs);
      this.tellHold();
    });
  }

  /** Tells `watcher` whenever the phase or the record has changed, or writes begin. */
  watch(watcher: () => void): void {
    this.changeWatchers.push(watcher);
  }

  get phase(): WriterPhase {
    return this.role.phase;
  }

  get epoch(): Epoch | null {
    return this.role.epoch;
  }

  get record(): ControlRecord | null {
    return this.role.record;
  }

  /** How long answers may leave unless the lease is renewed; 0 while this gateway does not hold it. */
  get leaseRemainingMs(): number {
    return this.role.leaseRemainingMs(this.runtime.nowMs());
  }

  /** How long the lease of this gateway's reign has been suspended; null while it is valid, or there is no reign. */
  get suspendedMs(): number | null {
    return this.suspendedAtMs === null ? null : this.runtime.nowMs() - this.suspendedAtMs;
  }

  /** The nodes are sealed against that reign of another gateway of this region (R78). */
  holderFenced(reign: Epoch): void {
    this.step({ kind: 'holderFenced', reign });
  }

  mayAcknowledge(): boolean {
    return this.role.mayAcknowledge(this.runtime.nowMs());
  }

  /** Gives the lease back, so that nobody has to wait for it. Resolves when that is settled, or after `waitMs`. */
  async shutdown(waitMs: number): Promise<void> {
    const deadline = this.runtime.nowMs() + waitMs;
    this.step({ kind: 'shutdown' });
    while (this.role.phase !== 'reading' && this.runtime.nowMs() < deadline)
      await pause(this.runtime, settlePollMs);
  }

  close(): void {
    this.closed = true;
    this.ticker?.stop();
    this.stopProofs?.();
    this.stopWatching();
    this.endDrain();
    this.recovering?.abort();
  }

  /** Why the last look at the control record brought none; null when it did. */
  get recordProblem(): ControlProblem | null {
    return this.sight.problem;
  }

  /** How long ago the record was known to be the newest; 0 while the store answers. */
  get recordAgeMs(): number {
    return this.sight.lastSeen(this.runtime.nowMs())?.ageMs ?? 0;
  }

  private read(reading: ControlReading): void {
    const before = this.sight.problem?.kind;
    this.sight.saw(reading, this.runtime.nowMs());
    this.step(reading.kind === 'record' ? { kind: 'record', view: reading.view } : { kind: 'unseen' });
    if (reading.kind === 'record') return;
    if (reading.kind !== 'unavailable' && reading.kind !== before)
      this.options.log.warn({ reading }, 'the control record cannot be used');
  }

  /** One event at a time: an effect may cause the next event. */
  private step(event: RoleEvent): void {
    if (this.closed) return;
    this.inbox.push(event);
    if (this.stepping) return;
    this.stepping = true;
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      for (const effect of this.role.step(next, this.runtime.nowMs())) this.carryOut(effect);
    }
    this.stepping = false;
    this.notice();
  }

  private notice(): void {
    const { phase, record } = this.role;
    const moved = phase !== this.phaseSeen;
    const changed = record !== this.recordSeen;
    if (!moved && !changed) return;
    if (moved)
      this.options.log.info(
        { phase, epoch: this.role.epoch, before: this.phaseSeen },
        'the role of this gateway changes',
      );
    this.phaseSeen = phase;
    this.recordSeen = record;
    this.followPolicy();
    // A renewed lease may let out answers that wait.
    this.reign?.release();
    this.tellChange();
  }

  /** The policy of the newest record seen is in force; other regions are listened to only while it asks for them. */
  private followPolicy(): void {
    const rpoMs = this.rpoMs;
    this.reign?.demand(rpoMs);
    const listens = this.reign !== null && rpoMs !== null;
    // R55: what a region holds that has gone proves nothing, since nobody can fail over to it.
    if (listens)
      this.stopProofs ??= this.options.watchProofs((proof) => {
        if (isMember(this.role.record, proof.region)) this.reign?.acknowledged(proof);
      });
    else {
      this.stopProofs?.();
      this.stopProofs = null;
    }
  }

  private get rpoMs(): number | null {
    const { record } = this.role;
    return record === null ? null : policyOf(record).rpoMs;
  }

  /** Says when answers wait for other regions, and when they do no more. */
  private tellHold(): void {
    const { log } = this.options;
    const hold = this.reign?.hold ?? null;
    if (hold !== null && hold.forMs >= holdToldMs) {
      if (this.holdLimit.pass() === null) return;
      this.holdTold = true;
      log.warn(
        { ...hold, forMs: Math.round(hold.forMs), elsewhere: this.reign?.heardElsewhere },
        `answers wait for another region since ${formatAge(hold.forMs)} (policy --rpo-ms ${hold.rpoMs}); sextant policy --rpo-ms off lets them go`,
      );
    } else if (hold === null && this.holdTold) {
      this.holdTold = false;
      log.info('answers wait for other regions no more');
    }
  }

  private tellChange(): void {
    for (const watcher of this.changeWatchers) watcher();
  }

  private carryOut(effect: RoleEffect): void {
    switch (effect.kind) {
      case 'write': {
        const { record } = this.role;
        if (record !== null && effect.record.primary !== record.primary)
          this.takenOver = { epoch: effect.record.epoch, from: record.epoch };
        if (effect.record.epoch !== record?.epoch) this.operation = record?.move?.id ?? null;
        this.options.store.compareAndSet(effect.expectedSeq, effect.record, (write) => {
          this.options.metrics.controlUpdate(write.kind);
          this.step({ kind: 'written', write });
        });
        return;
      }
      case 'read':
        this.options.store.read((reading) => this.read(reading));
        return;
      case 'recover':
        void this.recover(effect.epoch, effect.rewind ?? null);
        return;
      case 'open':
        this.open(effect.epoch);
        return;
      case 'drain':
        this.startDrain(effect.epoch, effect.to);
        return;
      case 'resume':
        this.options.log.info({ epoch: effect.epoch }, 'the move was given up, writes go on');
        this.endDrain();
        return;
      case 'suspend':
        this.suspend(effect.epoch);
        return;
      case 'reopen':
        this.reopen(effect.epoch, effect.afterMs);
        return;
      case 'close':
        this.end(effect.epoch, effect.reason);
        return;
      default:
        unreachable(effect);
    }
  }

  /** The gate asks for the lease at every answer, so it is closed already. */
  private suspend(epoch: Epoch): void {
    const { log, metrics } = this.options;
    this.suspendedAtMs = this.runtime.nowMs();
    metrics.leaseSuspended();
    log.warn({ epoch, waiting: this.reign?.waiting ?? 0 }, 'the lease is suspended: answers wait');
    this.tellChange();
  }

  private reopen(epoch: Epoch, afterMs: number): void {
    const { log, metrics } = this.options;
    this.suspendedAtMs = null;
    metrics.stalled('lease', afterMs);
    log.info({ epoch, suspendedMs: Math.round(afterMs) }, 'the lease is resumed');
    this.reign?.release();
    this.tellChange();
  }

  private async recover(epoch: Epoch, rewind: Rewind | null): Promise<void> {
    const { log, nodes, geometry } = this.options;
    const abort = new AbortController();
    this.recovering = abort;
    this.heldSinceMs ??= this.runtime.nowMs();
    const tracing = this.options.trace?.({ epoch, operation: this.operation }) ?? null;
    this.tracing = tracing;
    const result = await runRecovery(
      nodes,
      {
        kind: 'fork',
        branch: mainBranch,
        epoch,
        geometry,
        ...(rewind !== null && { rewind: { since: rewind.epoch, to: rewind.to } }),
      },
      {
        timeoutMs: recoveryMs,
        ...this.options.recovery?.(),
        signal: abort.signal,
        runtime: this.runtime,
        onPhase: (phase) => tracing?.phase(phase),
        onWaiting: (what) =>
          log.warn({ epoch, what }, 'the recovery waits for nodes to be refilled from images'),
      },
    );
    if (result.kind === 'recovered') tracing?.found(result.outcome.vdl);
    else tracing?.ended(recoveryError(result));
    if (this.closed || abort.signal.aborted) return;
    this.recovering = null;
    this.options.onRecoveryEnd?.(epoch, result);
    if (result.kind === 'recovered') {
      this.recovered = result.outcome;
      if (rewind !== null) this.tellRewind(rewind, result.outcome);
    } else log.warn({ epoch, result }, 'the recovery has not ended well');
    const event = roleEventOf(epoch, result);
    if (event !== null) this.step(event);
  }

  private tellRewind({ id, to }: Rewind, { head, vdl, rewind }: Recovered): void {
    const { log } = this.options;
    const about = { rewind: id, to, epoch: head, vdl };
    if (rewind?.kind === 'given-up')
      log.warn({ ...about, reason: rewind.reason }, 'a rewind cannot be made: writes go on where they ended');
    else log.info(about, 'the database goes on from another place in its history');
  }

  private open(epoch: Epoch): void {
    const { recovered } = this;
    if (recovered === null) throw new Error('G26: a writer opens only where a recovery ended');
    const { volume, log, metrics } = this.options;
    log.info({ epoch, vdl: recovered.vdl }, 'writes begin');
    const { forks, vdl } = recovered;
    const { takenOver } = this;
    // What this region has of another one's reign came from there and is durable there, too (R2).
    const received = takenOver?.epoch === epoch && takenOver.from === forks.at(-1)?.parent;
    const proven = received ? vdl : zeroLsn;
    this.reign = volume.openWriter({
      epoch,
      forks,
      vdl,
      proven,
      rpoMs: this.rpoMs,
      port: this.portOf(epoch),
    });
    this.recovered = null;
    this.followPolicy();
    const { tracing } = this;
    void volume.settledChanges().then(() => {
      tracing?.ended(null);
      // The pause of a move began in another region: whoever runs the move tells it.
      const isMove = takenOver?.epoch === epoch;
      if (this.heldSinceMs !== null && !isMove)
        metrics.stalled('recovery', this.runtime.nowMs() - this.heldSinceMs);
      this.heldSinceMs = null;
      this.tellChange();
    });
  }

  private portOf(epoch: Epoch): ReignPort {
    const { log } = this.options;
    return {
      mayAcknowledge: () => this.role.epoch === epoch && this.mayAcknowledge(),
      // The role looks at its clock now, not at the next tick.
      lapsed: () => queueMicrotask(() => this.step({ kind: 'tick' })),
      fenced: (by) => {
        log.warn({ epoch, by }, 'fenced by a newer reign');
        this.step({ kind: 'fenced', epoch });
      },
      quorumLost: (reason) => {
        log.warn({ epoch, reason }, 'the write quorum is lost');
        this.step({ kind: 'quorumLost', epoch });
      },
      engineLost: (reason) => {
        // What was committed is on its way to the nodes all the same: a drain waits for no more than that.
        if (this.draining !== null) return;
        log.warn({ epoch, reason }, 'the engine that writes is lost');
        this.step({ kind: 'engineLost', epoch });
      },
    };
  }

  /** New writes wait already, since the phase says `draining`. */
  private startDrain(epoch: Epoch, to: RegionId | null): void {
    const { reign } = this;
    if (reign === null) throw new Error('a writer that drains has a reign');
    const { volume, sessions, log, settledBeside = () => true } = this.options;
    this.draining = new DrainDriver({
      volume,
      runtime: this.runtime,
      sessions,
      reign: {
        get isSettled() {
          return reign.isSettled && (to === null || settledBeside(to));
        },
      },
      why: to === null ? 'rewind' : 'move',
      onDrained: (tookMs) => {
        log.info({ epoch, to, lsn: reign.lastLsn, tookMs: Math.round(tookMs) }, 'drained');
        this.heldSinceMs = null;
        this.step({ kind: 'drained', epoch, lsn: reign.lastLsn });
      },
    });
  }

  private endDrain(): void {
    this.draining?.close();
    this.draining = null;
  }

  private end(epoch: Epoch, reason: EndReason): void {
    const { volume, log } = this.options;
    log.info({ epoch, reason }, 'the reign ends');
    this.suspendedAtMs = null;
    this.endDrain();
    this.recovering?.abort();
    this.recovering = null;
    this.recovered = null;
    this.tracing?.ended(recoveryError({ kind: 'aborted' }));
    if (this.reign === null) return;
    if (reason !== 'drained' && reason !== 'shutdown') this.heldSinceMs = this.runtime.nowMs();
    volume.closeWriter(this.reign, reason);
    this.reign = null;
    this.followPolicy();
  }
}
