/**
 * Main as a database like the others. The writer role of the gateway is its own, and goes on while it rests: the lease is renewed, and
 * the writer keeps its place in the log (G62). What rests is the engines, their threads and their caches.
 */
import { mainBranch, type RegionId } from '../../storage/core.ts';
import type { Database } from '../session/database.ts';
import type { LocalSessions } from '../session/local-session.ts';
import type { MainRole } from './branch-driver.ts';
import type { AwakeView } from './core/rest.ts';
import { mayWriteSoon } from './core/soon.ts';
import type { DatabaseCounts } from './database-counts.ts';

/** What is there before anything else of a gateway is. */
export type MainParts = Pick<Database, 'volume' | 'watch' | 'tracer'> & {
  readonly sessions: LocalSessions;
  readonly counts: DatabaseCounts;
};

export class MainDatabase implements Database {
  readonly branch = mainBranch;
  readonly volume: MainParts['volume'];
  readonly sessions: LocalSessions;
  readonly watch: MainParts['watch'];
  readonly tracer: MainParts['tracer'];
  readonly counts: DatabaseCounts;
  private readonly role: Pick<MainRole, 'phase' | 'record'>;
  private readonly region: RegionId;
  private used = false;

  constructor(
    { volume, sessions, watch, tracer, counts }: MainParts,
    role: Pick<MainRole, 'phase' | 'record'>,
    region: RegionId,
  ) {
    this.volume = volume;
    this.sessions = sessions;
    this.watch = watch;
    this.tracer = tracer;
    this.counts = counts;
    this.role = role;
    this.region = region;
  }

  /** Somebody has asked for something since it woke. */
  get isUsed(): boolean {
    return this.used;
  }

  begin(): null {
    this.used = true;
    if (!this.volume.isAwake) {
      this.volume.wake();
      this.counts.woken();
    }
    this.counts.begun();
    return null;
  }

  ended(): void {
    this.counts.ended();
    // Whoever woke it only read, and has been answered: the engine that writes is there for the next one.
    if (this.volume.reign === null) this.wantWriter();
  }

  /** A stream waits for the engine that writes, which may be at rest. */
  wantWriter(): void {
    this.volume.wakeWriter(() => this.watch.changed());
  }

  get awakeView(): AwakeView {
    const { phase, record } = this.role;
    const isSettled = (phase === 'reading' || phase === 'writing') && record?.move === null;
    return {
      name: mainBranch,
      uses: this.counts.uses,
      mayRest: isSettled && this.volume.mayRest && this.sessions.areIdle,
      lastUsedMs: this.counts.lastUsedMs,
    };
  }

  /** The engine of a reign that may be about to begin is started while others drain, and the nodes are asked. */
  look(): void {
    if (mayWriteSoon(this.role.phase, this.role.record, this.region)) this.volume.warmWriter();
  }

  rest(): void {
    this.used = false;
    this.volume.rest();
    this.counts.rested();
    this.watch.changed();
  }
}
