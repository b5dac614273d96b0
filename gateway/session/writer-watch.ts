/**
 * Who takes writes, as this gateway knows: from the control record and from its own role. Those who wait for a writer are
 * woken by every change of either.
 */

import {
  type ControlRecord,
  type Holder,
  sameHolder,
  subjectsOf,
  type WriterPhase,
} from '../../regions/core.ts';
import { type RegionId, regionId, unreachable } from '../../storage/core.ts';
import { type RemoteWriter, type WriterStanding, WriterStandings } from '../forward/core/writer-standing.ts';
import type { SqlError } from '../sql/sql.ts';
import type { WriterPlace } from './core/routing.ts';
import type { ServiceLimits } from './core/service-limits.ts';
import { writerAbsence } from './core/writer-absence.ts';

export interface WriterWatchOptions {
  readonly cluster: string;
  readonly region: RegionId;
  readonly me: Holder;
  readonly limits: ServiceLimits;
  readonly record: () => ControlRecord | null;
  /** How long ago that record was known to be the newest; 0 while the store answers. */
  readonly recordAgeMs: () => number;
  readonly phase: () => WriterPhase;
  /** Whether the lease of this gateway's reign is suspended. */
  readonly isSuspended: () => boolean;
  /** Whether this gateway's engine is the writer's. */
  readonly isOpen: () => boolean;
  /** Somebody waits for this gateway to write; left out where it writes whenever it may. */
  readonly want?: () => void;
  /** Fewer storage nodes of this region answer than a write needs. */
  readonly quorumLost: () => boolean;
}

/** The subject of exactly one start of one gateway: who is not there cannot be mistaken for its successor. */
export function gatewaySubject(cluster: string, region: RegionId, holder: Holder): string {
  return `${subjectsOf(cluster).sql(region)}.${holder.gateway}.${holder.incarnation}`;
}

/** What one start of one gateway names its streams and calls after. */
export function peerName(region: RegionId, me: Holder): string {
  return `${region}.${me.gateway}.${me.incarnation}`;
}

/** The subject of the gateway of that name; null when it is no such name. */
export function peerSubject(cluster: string, peer: string): string | null {
  const [region, gateway, incarnation, ...rest] = peer.split('.');
  if (region === undefined || gateway === undefined || incarnation === undefined || rest.length > 0)
    return null;
  const plain = /^[A-Za-z0-9_-]{1,64}$/;
  if (![region, gateway, incarnation].every((part) => plain.test(part))) return null;
  return `${subjectsOf(cluster).sql(regionId(region))}.${gateway}.${incarnation}`;
}

export class WriterWatch {
  private readonly options: WriterWatchOptions;
  private readonly waiters = new Set<() => void>();
  private readonly standings = new WriterStandings();
  private telling = false;
  private remoteQuorumLost = false;

  constructor(options: WriterWatchOptions) {
    this.options = options;
  }

  place(): WriterPlace {
    const phase = this.options.phase();
    if (this.options.isOpen()) {
      if (phase === 'writing') return this.options.isSuspended() ? 'suspended' : 'here';
      if (phase === 'draining') return 'draining';
    }
    switch (phase) {
      case 'reading':
        return this.remote() === null ? 'nowhere' : 'elsewhere';
      case 'claiming':
      case 'recovering':
      case 'writing':
      case 'draining':
      case 'releasing':
        return 'nowhere';
      default:
        return unreachable(phase);
    }
  }

  /** Where to forward to; null when nobody else holds the pen. */
  remote(): RemoteWriter | null {
    const record = this.options.record();
    return record === null || sameHolder(record.holder, this.options.me) ? null : this.writerOf(record);
  }

  private writerOf({ holder, primary }: ControlRecord): RemoteWriter | null {
    if (holder === null) return null;
    return { subject: gatewaySubject(this.options.cluster, primary, holder), region: primary };
  }

  /** How a writer elsewhere stands, by every record that was seen. */
  standingOf(writer: RemoteWriter): WriterStanding {
    return this.standings.of(writer);
  }

  /** Whether this gateway is about to write: a call may wait here instead of being sent away. */
  get isComing(): boolean {
    const phase = this.options.phase();
    return phase === 'claiming' || phase === 'recovering' || (phase === 'writing' && !this.options.isOpen());
  }

  /** A stream waits for a writer. Where this gateway may become it on demand, it does. */
  want(): void {
    this.options.want?.();
  }

  /** A writer elsewhere says that it has no quorum, or that it has one. */
  noteRemoteQuorum(lost: boolean): void {
    this.remoteQuorumLost = lost;
  }

  /**
   * Everybody who waits looks again, once however many changes this turn of the event loop brings. Who looks may wait again and bring the
   * next change by it: between the two, clients and storage nodes are heard (G71).
   */
  changed(): void {
    this.noteHolder();
    if (this.telling) return;
    this.telling = true;
    setImmediate(() => {
      this.telling = false;
      for (const waiter of [...this.waiters]) waiter();
    });
  }

  private noteHolder(): void {
    const record = this.options.record();
    if (record !== null) this.standings.saw(this.writerOf(record), record.state);
  }

  /** Resolves at the next change, or after `waitMs`. */
  next(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      this.waiters.add(done);
    });
  }

  get isQuorumLost(): boolean {
    const record = this.options.record();
    const mine = record !== null && record.primary === this.options.region;
    return mine ? this.options.quorumLost() : this.remoteQuorumLost;
  }

  /** How long a write that began to wait at `sinceMs` may still wait at `nowMs`. */
  patienceMs(sinceMs: number, nowMs: number): number {
    const { writeWaitMs, quorumWaitMs } = this.options.limits;
    return sinceMs + (this.isQuorumLost ? quorumWaitMs : writeWaitMs) - nowMs;
  }

  /** What to tell a client whose patience has run out. The statement has not run. */
  reason(): SqlError {
    const { limits, record, recordAgeMs, me } = this.options;
    const now = record();
    return writerAbsence({
      record: now,
      ageMs: recordAgeMs(),
      isQuorumLost: this.isQuorumLost,
      isMine: now !== null && sameHolder(now.holder, me),
      writeWaitMs: limits.writeWaitMs,
    });
  }
}
