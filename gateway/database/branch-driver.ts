/**
 * Drives the pure role of a branch: asks the control store for its epochs, recovers it on the region's nodes, and opens and
 * closes its reigns on the volume under it. The lease is main's, and so is everything that renews it.
 */
import {
  type Branch,
  type ControlRecord,
  type ControlStore,
  changeControl,
  type Holder,
  isMember,
  policyOf,
  reignOfBranch,
  type WriterPhase,
} from '../../regions/index.ts';
import {
  type Epoch,
  type Lsn,
  machine,
  type NodeLinks,
  type Recovered,
  type RecoveryOptions,
  type RegionClient,
  type RegionId,
  type Runtime,
  runRecovery,
  unreachable,
  zeroLsn,
} from '../../storage/index.ts';
import { type Logger, RateLimit } from '../../telemetry/index.ts';
import type { GatewayMetrics } from '../observe/gateway-metrics.ts';
import type { Proof } from '../reign/core/elsewhere.ts';
import { roleEventOf } from '../reign/core/recovery-end.ts';
import { findReadPoint, type Line } from '../reign/follower.ts';
import { type RecoveryTrace, recoveryError } from '../reign/recovery-trace.ts';
import type { Hold, Reign, ReignPort } from '../reign/reign.ts';
import type { BranchVolume } from '../reign/role-volume.ts';
import { type BranchEffect, type BranchEvent, BranchRole } from './core/branch-role.ts';

/** The role for main of this gateway, which holds the lease or does not. */
export interface MainRole {
  readonly phase: WriterPhase;
  /** Of its reign; null while reading. */
  readonly epoch: Epoch | null;
  readonly record: ControlRecord | null;
  /** How long its lease has been suspended; null while it is valid, or there is none. */
  readonly suspendedMs: number | null;
  mayAcknowledge(): boolean;
}

export interface BranchDriverOptions {
  readonly line: Line;
  readonly me: Holder;
  readonly main: MainRole;
  readonly store: ControlStore;
  /** For recoveries. */
  readonly nodes: Pick<NodeLinks, 'membership' | 'ask'> & Pick<RegionClient, 'nodes' | 'request'>;
  readonly volume: BranchVolume;
  /** Hears what other regions acknowledge of this region's redo, until the function that it answers is called. */
  readonly watchProofs: (onProof: (proof: Proof) => void) => () => void;
  /** An answer waits this long for other regions or for a suspended lease; then its client is told that its fate is unknown. */
  readonly answerWaitMs: number;
  /** Of the branch, by the newest record: what other regions that are heard hold beyond this one, and send it. */
  readonly owedBytes: (record: ControlRecord, branch: Branch) => number;
  readonly metrics: Pick<GatewayMetrics, 'controlUpdate'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Begins the trace of an attempt at a recovery; left out where none is wanted. */
  readonly trace?: (epoch: Epoch) => RecoveryTrace;
  /** The phase has changed, or writes begin. */
  readonly onChange: () => void;
  /** Default: this machine. */
  readonly runtime?: Runtime;
  /** Bounds of one attempt at a recovery; what is left out is as usual. */
  readonly recovery?: () => Partial<Pick<RecoveryOptions, 'timeoutMs' | 'fetchBytesMax'>>;
}

/** One attempt at a recovery is given up when nothing has got on for so long, as with main. */
const recoveryMs = 15_000;
/** What holds a move up is told so often. */
const waitToldEveryMs = 1_000;

export class BranchDriver {
  private readonly options: BranchDriverOptions;
  private readonly role = new BranchRole();
  private readonly arrived = new Map<RegionId, Lsn>();
  private recovering: AbortController | null = null;
  private recovered: Recovered | null = null;
  private reign: Reign | null = null;
  private stopProofs: () => void = () => undefined;
  private readonly runtime: Runtime;
  private readonly waitLimit: RateLimit;
  private closed = false;

  constructor(options: BranchDriverOptions) {
    this.options = options;
    this.runtime = options.runtime ?? machine;
    this.waitLimit = new RateLimit(waitToldEveryMs, () => this.runtime.nowMs());
  }

  get phase(): BranchRole['phase'] {
    return this.role.phase;
  }

  /** The epoch of the reign that is being recovered or written; null otherwise. */
  get epoch(): Epoch | null {
    return this.role.epoch;
  }

  /** Redo that waits for other regions; null while there is none. */
  get hold(): Hold | null {
    return this.reign?.hold ?? null;
  }

  /** Becomes the writer of the branch if this gateway may, or opens the engine of a reign that has outlived a rest. */
  want(): void {
    const { volume, onChange } = this.options;
    if (this.role.phase !== 'writing') {
      this.step({ kind: 'wanted' });
      if (this.role.phase !== 'reading') volume.warmWriter();
      return;
    }
    volume.wakeWriter(onChange);
  }

  /** The role for main, the record or the clock has moved. */
  look(): void {
    const { main, line } = this.options;
    const { record, phase } = main;
    const writes = phase === 'writing' || phase === 'draining';
    const branch = record?.branches?.find(({ name }) => name === line.branch);
    const named = branch?.origin === line.origin ? branch : null;
    const owedBytes =
      record === null || named === null || !writes ? 0 : this.options.owedBytes(record, named);
    const head = named?.epoch ?? null;
    const pen = { main: writes ? main.epoch : null, drains: phase === 'draining', head, owedBytes };
    this.step({ kind: 'pen', pen });
    if (this.reign === null) return;
    this.reign.demand(record === null ? null : policyOf(record).rpoMs);
    this.reign.giveUp(this.options.answerWaitMs, main.suspendedMs);
    // A renewed lease may let out answers that wait.
    this.reign.release();
  }

  /** G51: whether nothing of the branch would be left behind by a move to `region`. */
  hasArrivedIn(region: RegionId): boolean {
    const { reign } = this;
    // A reign that has written nothing leaves nothing behind.
    if (reign === null || reign.lastLsn === reign.forkLsn) return true;
    const arrived = this.arrived.get(region) ?? zeroLsn;
    if (reign.isSettled && arrived >= reign.lastLsn) return true;
    if (this.waitLimit.pass() !== null) {
      const { branch } = this.options.line;
      const { epoch, lastLsn, vdl, waiting } = reign;
      this.options.log.warn(
        { branch, epoch, region, lastLsn, vdl, arrived, waiting },
        'a move waits for a branch: not all of it is durable here and acknowledged there',
      );
    }
    return false;
  }

  close(): void {
    this.closed = true;
    this.end();
  }

  private step(event: BranchEvent): void {
    if (this.closed) return;
    const before = this.role.phase;
    for (const effect of this.role.step(event, this.runtime.nowMs())) this.carryOut(effect);
    if (this.role.phase !== before) this.options.onChange();
  }

  private carryOut(effect: BranchEffect): void {
    const { log, line } = this.options;
    switch (effect.kind) {
      case 'claim':
        void this.claim();
        return;
      case 'recover':
        void this.recover(effect.epoch);
        return;
      case 'open':
        this.open(effect.epoch);
        return;
      case 'close':
        log.info(
          { branch: line.branch, epoch: effect.epoch, reason: effect.reason },
          'a reign of a branch ends',
        );
        this.end();
        return;
      default:
        unreachable(effect);
    }
  }

  private async claim(): Promise<void> {
    const { store, line, me, metrics, log } = this.options;
    const { branch } = line;
    const askedAtMs = this.runtime.nowMs();
    const changed = await changeControl(
      store,
      ({ record }) => reignOfBranch(record, { name: branch, holder: me }),
      this.runtime,
    );
    if (changed.kind !== 'changed') {
      log.warn({ branch, reason: changed.reason }, 'no epoch was allotted to write a branch');
      this.step({ kind: 'refused' });
      return;
    }
    metrics.controlUpdate('won');
    const epoch = changed.view.record.branches?.find(({ name }) => name === branch)?.epoch;
    const tookMs = Math.round(this.runtime.nowMs() - askedAtMs);
    log.info({ branch, epoch, tookMs }, 'an epoch was allotted to write a branch');
    this.step(epoch === undefined ? { kind: 'refused' } : { kind: 'allotted', epoch });
  }

  private async recover(epoch: Epoch): Promise<void> {
    const { runtime } = this;
    const { nodes, line, log, trace, recovery } = this.options;
    const { branch } = line;
    const abort = new AbortController();
    this.recovering = abort;
    const tracing = trace?.(epoch) ?? null;
    // Nodes that do not know the branch would have it begin empty (S3): three that do are among any four.
    const search = new AbortController();
    const limit = runtime.after(recoveryMs, () => search.abort());
    const known = await findReadPoint(nodes, line, AbortSignal.any([abort.signal, search.signal]), runtime);
    limit.stop();
    const result =
      known === null
        ? ({
            kind: 'failed',
            reason: `too few nodes have answered that know epoch ${line.origin}, the branch's first`,
          } as const)
        : await runRecovery(
            nodes,
            { kind: 'fork', branch, epoch },
            {
              timeoutMs: recoveryMs,
              ...recovery?.(),
              signal: abort.signal,
              runtime,
              onPhase: (phase) => tracing?.phase(phase),
              onWaiting: (what) =>
                log.warn(
                  { branch, epoch, what },
                  'the recovery of a branch waits for nodes to be refilled from images',
                ),
            },
          );
    if (result.kind === 'recovered') tracing?.found(result.outcome.vdl);
    tracing?.ended(recoveryError(result));
    if (this.closed || abort.signal.aborted) return;
    this.recovering = null;
    if (result.kind === 'recovered') this.recovered = result.outcome;
    else log.warn({ branch, epoch, result }, 'the recovery of a branch has not ended well');
    const event = roleEventOf(epoch, result);
    if (event === null) return;
    switch (event.kind) {
      case 'recovered':
      case 'recoveryFailed':
      case 'recoveryTimedOut':
        this.step(event);
        return;
      default:
        this.step({ kind: 'recoveryFailed', epoch });
    }
  }

  private open(epoch: Epoch): void {
    const { recovered } = this;
    if (recovered === null) throw new Error('G26: a writer opens only where a recovery ended');
    const { volume, main, line, log, watchProofs, onChange } = this.options;
    const { forks, vdl } = recovered;
    this.recovered = null;
    log.info({ branch: line.branch, epoch, vdl }, 'writes begin on a branch');
    const rpoMs = main.record === null ? null : policyOf(main.record).rpoMs;
    // What of it other regions have is not known before they acknowledge this reign.
    const start = { epoch, forks, vdl, proven: zeroLsn, rpoMs, port: this.portOf(epoch) };
    this.reign = volume.openWriter(start);
    this.stopProofs = watchProofs((proof) => this.proved(epoch, proof));
    void volume.settledChanges().then(onChange);
  }

  /** R55: what a region holds that has gone proves nothing. */
  private proved(epoch: Epoch, proof: Proof): void {
    const { record } = this.options.main;
    if (proof.head !== epoch || !isMember(record, proof.region)) return;
    this.arrived.set(proof.region, proof.vdl);
    this.reign?.acknowledged(proof);
  }

  private portOf(epoch: Epoch): ReignPort {
    const { main, log, line } = this.options;
    const lost = (reason: Extract<BranchEvent, { kind: 'lost' }>['reason'], why: string | Epoch): void => {
      log.warn({ branch: line.branch, epoch, reason, why }, 'a reign of a branch is lost');
      this.step({ kind: 'lost', epoch, reason });
    };
    return {
      // The lease is one for all branches; the record names this epoch for as long as the role is in it (G49).
      mayAcknowledge: () => this.role.epoch === epoch && main.mayAcknowledge(),
      lapsed: () => undefined,
      fenced: (by) => lost('fenced', by),
      quorumLost: (reason) => lost('quorum-lost', reason),
      engineLost: (reason) => lost('engine-lost', reason),
    };
  }

  private end(): void {
    this.recovering?.abort();
    this.recovering = null;
    this.recovered = null;
    this.stopProofs();
    this.stopProofs = () => undefined;
    this.arrived.clear();
    const { reign } = this;
    this.reign = null;
    if (reign !== null) this.options.volume.closeWriter(reign);
  }
}
