/**
 * A branch opened in a gateway: engines and a follower of its own, and the role of its writer. It is opened by the first
 * request, rests while it has nothing to do, and is closed when the branch is deleted.
 */
import type { Branch, WriterPhase } from '../../regions/core.ts';
import type { BranchName, Epoch, RegionId } from '../../storage/core.ts';
import type { CommitLedger } from '../observe/commit-ledger.ts';
import type { RequestTracer } from '../observe/request-tracer.ts';
import type { GatewayVolume } from '../reign/gateway-volume.ts';
import type { Database } from '../session/database.ts';
import { LocalSessions } from '../session/local-session.ts';
import type { WriterWatch } from '../session/writer-watch.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import type { BranchDriver, MainRole } from './branch-driver.ts';
import type { AwakeView } from './core/rest.ts';
import type { DatabaseCounts } from './database-counts.ts';

/** What a branch is made of; each part is given the others once they are there. */
export interface BranchParts {
  readonly volume: GatewayVolume;
  readonly tracer: RequestTracer;
  readonly commits: CommitLedger;
  readonly counts: DatabaseCounts;
  /** Ends what keeps the tracer's nodes up to date. */
  readonly untellNodes: () => void;
  driver(onChange: () => void): BranchDriver;
  watch(about: BranchRoleView): WriterWatch;
}

/** What decides where a branch's writes are taken. */
export interface BranchRoleView {
  readonly phase: () => WriterPhase;
  readonly isOpen: () => boolean;
  readonly want: () => void;
}

export class BranchDatabase implements Database {
  readonly branch: BranchName;
  readonly origin: Epoch;
  readonly volume: GatewayVolume;
  readonly sessions = new LocalSessions();
  readonly watch: WriterWatch;
  readonly tracer: RequestTracer;
  readonly commits: CommitLedger;
  readonly driver: BranchDriver;
  readonly counts: DatabaseCounts;
  private readonly admit: (database: BranchDatabase) => SqlError | null;
  private readonly untellNodes: () => void;
  private isClosed = false;

  /** @param admit makes room for one more that is awake, or says why there is none. */
  constructor(
    { name, origin }: Branch,
    parts: BranchParts,
    main: MainRole,
    admit: (database: BranchDatabase) => SqlError | null,
  ) {
    this.branch = name;
    this.origin = origin;
    this.admit = admit;
    this.volume = parts.volume;
    this.tracer = parts.tracer;
    this.commits = parts.commits;
    this.counts = parts.counts;
    this.untellNodes = parts.untellNodes;
    this.driver = parts.driver(() => this.watch.changed());
    this.watch = parts.watch({
      phase: () => this.phaseUnder(main.phase),
      isOpen: () => this.volume.reign !== null,
      want: () => this.driver.want(),
    });
  }

  begin(): SqlError | null {
    if (this.isClosed)
      return adviseError('SEXTANT_BRANCH_UNKNOWN', `The branch ${this.branch} was deleted, or made anew`);
    if (!this.volume.isAwake) {
      const refused = this.admit(this);
      if (refused !== null) return refused;
      this.volume.wake();
      this.counts.woken();
    }
    this.counts.begun();
    return null;
  }

  ended(): void {
    this.counts.ended();
  }

  get awakeView(): AwakeView {
    const { phase } = this.driver;
    const isSettled = phase === 'reading' || phase === 'writing';
    return {
      name: this.branch,
      uses: this.counts.uses,
      mayRest: isSettled && this.volume.mayRest && this.sessions.areIdle,
      lastUsedMs: this.counts.lastUsedMs,
    };
  }

  rest(): void {
    this.volume.rest();
    this.counts.rested();
    this.watch.changed();
  }

  /** G51: whether a move to `region` leaves nothing of it behind. */
  hasArrivedIn(region: RegionId): boolean {
    return this.driver.hasArrivedIn(region);
  }

  /** Its streams are told with their next operation. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.driver.close();
    await this.volume.close();
    this.untellNodes();
    this.tracer.close();
  }

  /** While main is written here the branch is, or may be at once. */
  private phaseUnder(main: WriterPhase): WriterPhase {
    return main === 'writing' && this.driver.phase !== 'writing' ? 'recovering' : main;
  }
}
