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
  type ControlWrite,
  type EndReason,
  type Holder,
  type LeaseLimits,
  type RoleEffect,
  type RoleEvent,
  type WriterPhase,
  WriterRole,
} from '../../regions/core.ts';
import {
  type Epoch,
  mainBranch,
  monotonicMs,
  type Recovered,
  type RegionClient,
  type RegionId,
  runRecovery,
  unreachable,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { GatewayMetrics } from '../observe/gateway-metrics.ts';
import { roleEventOf } from './core/recovery-end.ts';
import { type Drainable, DrainDriver } from './drain.ts';
import type { GatewayVolume } from './gateway-volume.ts';
import type { Reign, ReignPort } from './reign.ts';

export interface RoleDriverOptions {
  readonly region: RegionId;
  readonly me: Holder;
  readonly leaseLimits: LeaseLimits;
  readonly tickMs: number;
  readonly store: ControlStore;
  readonly nodes: RegionClient;
  readonly volume: GatewayVolume;
  /** Streams that may write now. */
  readonly sessions: { readonly writing: readonly Drainable[] };
  readonly metrics: GatewayMetrics;
  readonly log: Logger;
}

/** One attempt at a recovery is given up when nothing has got on for so long; the role says whether another follows. */
const recoveryMs = 15_000;
const settlePollMs = 2;
/** Within this time a look at the control record that failed is told: a poll and a read. */
const lookMs = 2_500;

export class RoleDriver {
  private readonly options: RoleDriverOptions;
  private readonly role: WriterRole;
  private readonly sight = new ControlSight(lookMs);
  private readonly changeWatchers: (() => void)[] = [];
  private ticker: NodeJS.Timeout | null = null;
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
  /** For people: the role keeps its own account. */
  private leaseUntilMs = 0;

  constructor(options: RoleDriverOptions) {
    this.options = options;
    this.role = new WriterRole(options.region, options.me, options.leaseLimits);
    options.volume.watchRegionVdl((head, vdl) => this.step({ kind: 'regionVdl', head, vdl }));
  }

  /** Looks at the control record from now on, and does what it asks of this gateway. */
  start(): void {
    this.stopWatching = this.options.store.watch((reading) => this.read(reading));
    this.ticker = setInterval(() => this.step({ kind: 'tick' }), this.options.tickMs);
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
    return this.mayAcknowledge() ? Math.max(0, this.leaseUntilMs - monotonicMs()) : 0;
  }

  mayAcknowledge(): boolean {
    return this.role.mayAcknowledge(monotonicMs());
  }

  /** Gives the lease back, so that nobody has to wait for it. Resolves when that is settled, or after `waitMs`. */
  async shutdown(waitMs: number): Promise<void> {
    const deadline = monotonicMs() + waitMs;
    this.step({ kind: 'shutdown' });
    while (this.role.phase !== 'reading' && monotonicMs() < deadline) await pause(settlePollMs);
  }

  close(): void {
    this.closed = true;
    if (this.ticker !== null) clearInterval(this.ticker);
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
    return this.sight.lastSeen(monotonicMs())?.ageMs ?? 0;
  }

  private read(reading: ControlReading): void {
    const before = this.sight.problem?.kind;
    this.sight.saw(reading, monotonicMs());
    if (reading.kind === 'record') this.step({ kind: 'record', view: reading.view });
    else if (reading.kind !== 'unavailable' && reading.kind !== before)
      this.options.log.warn({ reading }, 'the control record cannot be used');
  }

  /** One event at a time: an effect may cause the next event. */
  private step(event: RoleEvent): void {
    if (this.closed) return;
    this.inbox.push(event);
    if (this.stepping) return;
    this.stepping = true;
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      for (const effect of this.role.step(next, monotonicMs())) this.carryOut(effect);
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
    // A renewed lease may let out answers that wait.
    this.reign?.release();
    this.tellChange();
  }

  private tellChange(): void {
    for (const watcher of this.changeWatchers) watcher();
  }

  private carryOut(effect: RoleEffect): void {
    switch (effect.kind) {
      case 'write': {
        const sentAtMs = monotonicMs();
        this.options.store.compareAndSet(effect.expectedSeq, effect.record, (write) =>
          this.written(write, sentAtMs),
        );
        return;
      }
      case 'read':
        this.options.store.read((reading) => this.read(reading));
        return;
      case 'recover':
        void this.recover(effect.epoch);
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
      case 'close':
        this.end(effect.epoch, effect.reason);
        return;
      default:
        unreachable(effect);
    }
  }

  private written(write: ControlWrite, sentAtMs: number): void {
    const { metrics, leaseLimits } = this.options;
    metrics.controlUpdate(write.kind);
    if (write.kind === 'won') this.leaseUntilMs = sentAtMs + leaseLimits.ttlMs - leaseLimits.marginMs;
    this.step({ kind: 'written', write });
  }

  private async recover(epoch: Epoch): Promise<void> {
    const { log, nodes } = this.options;
    const abort = new AbortController();
    this.recovering = abort;
    this.heldSinceMs ??= monotonicMs();
    const result = await runRecovery(
      nodes,
      { kind: 'fork', branch: mainBranch, epoch },
      { timeoutMs: recoveryMs, signal: abort.signal },
    );
    if (this.closed || abort.signal.aborted) return;
    this.recovering = null;
    if (result.kind === 'recovered') this.recovered = result.outcome;
    else log.warn({ epoch, result }, 'the recovery has not ended well');
    const event = roleEventOf(epoch, result);
    if (event !== null) this.step(event);
  }

  private open(epoch: Epoch): void {
    const { recovered } = this;
    if (recovered === null) throw new Error('G26: a writer opens only where a recovery ended');
    const { volume, log, metrics } = this.options;
    log.info({ epoch, vdl: recovered.vdl }, 'writes begin');
    const { forks, vdl } = recovered;
    this.reign = volume.openWriter({ epoch, forks, vdl, port: this.portOf(epoch) });
    this.recovered = null;
    void volume.settledChanges().then(() => {
      if (this.heldSinceMs !== null) metrics.stalled('recovery', monotonicMs() - this.heldSinceMs);
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
  private startDrain(epoch: Epoch, to: RegionId): void {
    const { reign } = this;
    if (reign === null) throw new Error('a writer that drains has a reign');
    const { volume, sessions, log } = this.options;
    this.draining = new DrainDriver({
      volume,
      sessions,
      reign,
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
    this.endDrain();
    this.recovering?.abort();
    this.recovering = null;
    this.recovered = null;
    if (this.reign === null) return;
    if (reason !== 'drained' && reason !== 'shutdown') this.heldSinceMs = monotonicMs();
    volume.closeWriter(this.reign);
    this.reign = null;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
