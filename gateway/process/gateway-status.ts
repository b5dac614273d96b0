/** What a gateway says of itself: to others in its report, to its supervisor in its readiness. */

import {
  type ClusterView,
  type Described,
  type GatewayReport,
  isMember,
  readinessOf,
  reportLimits,
} from '../../regions/index.ts';
import { monotonicMs } from '../../storage/index.ts';
import { sextantVersion } from '../../telemetry/core.ts';
import { whyNotReady } from './core/readiness.ts';
import type { GatewaySetup } from './setup.ts';
import type { SqlPart } from './start-sql.ts';
import type { TelemetryPart } from './start-telemetry.ts';
import type { VolumePart } from './start-volume.ts';

export class GatewayStatus {
  /** `host:port` that it listens on; with the port it got once it listens. Others are told `advertise` where there is one (G48). */
  address: string;
  /** Where it takes PostgreSQL clients, once it does. */
  postgres: string | null = null;
  private readonly setup: GatewaySetup;
  private readonly observed: TelemetryPart;
  private readonly storage: VolumePart;
  private readonly sql: SqlPart;
  private readonly view: ClusterView;

  constructor(
    setup: GatewaySetup,
    observed: TelemetryPart,
    storage: VolumePart,
    sql: SqlPart,
    view: ClusterView,
  ) {
    this.address = setup.config.listen;
    this.setup = setup;
    this.observed = observed;
    this.storage = storage;
    this.sql = sql;
    this.view = view;
  }

  report(): GatewayReport {
    const { region, gateway, engine = 'sqlite' } = this.setup.config;
    const { role, volume } = this.storage;
    const { suspendedMs } = role;
    const hold = volume.standing?.hold ?? null;
    return {
      v: 1,
      region,
      gateway,
      address: this.setup.config.advertise ?? this.address,
      engine,
      ...(this.postgres !== null && { postgres: this.postgres }),
      pid: process.pid,
      version: sextantVersion,
      phase: role.phase === 'writing' && volume.standing === null ? 'recovering' : role.phase,
      epoch: role.epoch,
      ready: this.reasons().length === 0,
      vdl: volume.vdl,
      databases: [...this.sql.databases.states],
      ...(suspendedMs !== null && { suspendedMs }),
      ...(hold !== null && { hold }),
      ...(volume.standing !== null && {
        writes: this.observed.metrics.writes.totals,
        appends: [...this.observed.metrics.appendTimes.look(volume.standing.nodes, monotonicMs())],
      }),
    };
  }

  readiness(): Described<'Ready'> {
    const { region, gateway } = this.setup.config;
    const { role, volume } = this.storage;
    const reasons = [...this.reasons()];
    const { head: epoch, vdl } = volume;
    return { ready: reasons.length === 0, reasons, region, gateway, phase: role.phase, epoch, vdl };
  }

  /** Which region could take over now, as far as this gateway knows. */
  takeover(): Described<'Readiness'> {
    const { role, volume } = this.storage;
    const { regions } = this.view;
    const facts = { view: this.view, regions, problem: role.recordProblem, highestEpoch: volume.head };
    return readinessOf(facts, monotonicMs());
  }

  private reasons(): readonly string[] {
    const { config, limits } = this.setup;
    const { role, volume } = this.storage;
    const { watch } = this.sql;
    return whyNotReady({
      region: config.region,
      isAttached: volume.isAttached,
      record: role.record,
      isMember: isMember(role.record, config.region),
      recordProblem: role.recordProblem,
      head: volume.head,
      hasWriter: watch.place() === 'here' || volume.standing !== null || watch.remote() !== null,
      suspendedMs: role.suspendedMs,
      writerSilentMs: volume.writer.silentMs,
      writerStuckMs: volume.writer.stuckMs,
      readersWaitedMs: volume.readers.waitedMs(),
      doubtMs: limits.engineDoubtMs,
      trouble: this.observed.main.commits.trouble.reason(monotonicMs()),
      stall: this.view.stallReason(config.region, monotonicMs()) ?? volume.stallReason(),
      hold: volume.holdReason(reportLimits.heldMs),
    });
  }
}
