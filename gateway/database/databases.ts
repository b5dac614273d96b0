/**
 * The databases of a gateway: main, which is always there, and a branch for each name of the control record that somebody has
 * asked for here. Each is a line of history of its own; what they share is the region's nodes, the lease and the bounds.
 *
 * G50. A name stands for the branch that the newest record seen gives it: what was opened under it before is closed.
 */
import {
  type Branch,
  branchesOf,
  branchNamed,
  type DatabaseReport,
  noBranchReason,
} from '../../regions/core.ts';
import { type BranchName, everyBeside, mainBranch, monotonicMs, type RegionId } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import type { EngineReserve } from '../engine/engine-reserve.ts';
import type { Drainable } from '../reign/drain.ts';
import type { ServiceLimits } from '../session/core/service-limits.ts';
import type { Database, DatabaseDirectory } from '../session/database.ts';
import { adviseError } from '../sql/errors.ts';
import type { SqlError } from '../sql/sql.ts';
import { BranchDatabase, type BranchParts } from './branch-database.ts';
import type { MainRole } from './branch-driver.ts';
import { chooseToRest, restsAfter, roomForOneMore, threadsKept } from './core/rest.ts';
import { MainDatabase, type MainParts } from './main-database.ts';

export interface DatabasesOptions {
  readonly role: MainRole & { watch(watcher: () => void): void };
  readonly main: MainParts;
  /** Where this gateway is. */
  readonly region: RegionId;
  /** Where engines get their threads. */
  readonly reserve: Pick<EngineReserve, 'keep' | 'close'>;
  /** What a branch is made of. Nothing of it runs before somebody asks for it. */
  readonly open: (branch: Branch) => BranchParts;
  readonly limits: Pick<ServiceLimits, 'openBranches' | 'branchIdleMs' | 'idleMs' | 'roleTickMs'>;
  /** Some time after main has given its engines back: what they have left behind is garbage. */
  readonly collectGarbage: () => void;
  readonly log: Logger;
}

/** Threads have ended by then, and whoever comes at once is not kept waiting. */
const collectAfterMs = 2_000;

export class Databases implements DatabaseDirectory {
  readonly main: MainDatabase;
  private readonly options: DatabasesOptions;
  private readonly opened = new Map<BranchName, BranchDatabase>();
  private readonly closing = new Set<Promise<void>>();
  private readonly stopLooking: () => void;

  constructor(options: DatabasesOptions) {
    this.options = options;
    this.main = new MainDatabase(options.main, options.role, options.region);
    options.role.watch(() => {
      this.look();
      for (const { watch } of this.branches) watch.changed();
    });
    this.stopLooking = everyBeside(options.limits.roleTickMs, () => {
      this.look();
      this.restIdle();
    });
  }

  has(branch: BranchName): boolean {
    return branch === mainBranch || branchNamed(this.options.role.record, branch) !== undefined;
  }

  find(branch: BranchName): Database | null {
    if (branch === mainBranch) return this.main;
    const { record } = this.options.role;
    const named = branchNamed(record, branch);
    if (named === undefined) return null;
    const found = this.opened.get(branch);
    return found?.origin === named.origin ? found : this.make(named);
  }

  whyUnknown(branch: BranchName): string {
    const reason = noBranchReason(this.options.role.record, branch);
    return `${reason.slice(0, 1).toUpperCase()}${reason.slice(1)}`;
  }

  /** Streams on branches that may hold a drain up. */
  get writing(): readonly Drainable[] {
    return this.branches.flatMap(({ sessions }) => sessions.writing);
  }

  /** G51: whether a move to `region` leaves nothing of any branch behind. */
  haveArrivedIn(region: RegionId): boolean {
    return this.branches.every((database) => database.hasArrivedIn(region));
  }

  /** Those that have been asked for since the start, as far as they are there. */
  get branches(): readonly BranchDatabase[] {
    return [...this.opened.values()];
  }

  /** As they are told in reports. */
  get states(): readonly DatabaseReport[] {
    return [this.main, ...this.branches].map(({ branch, volume }) => ({
      branch,
      epoch: volume.head,
      vdl: volume.vdl,
      awake: volume.isAwake,
      writes: volume.standing !== null,
      readers: volume.readers.counts,
    }));
  }

  /** At each scrape. */
  tell(): void {
    for (const { counts, volume } of [this.main, ...this.branches]) counts.tell(volume);
  }

  async close(): Promise<void> {
    this.stopLooking();
    for (const database of this.branches) this.forget(database);
    await Promise.all([...this.closing, this.options.reserve.close()]);
  }

  private make(branch: Branch): BranchDatabase {
    const { role, open } = this.options;
    const before = this.opened.get(branch.name);
    if (before !== undefined) this.forget(before);
    const database = new BranchDatabase(branch, open(branch), role, (asking) => this.admit(asking));
    this.opened.set(branch.name, database);
    database.driver.look();
    return database;
  }

  private look(): void {
    const { record } = this.options.role;
    const live = branchesOf(record);
    this.main.look();
    const isUsed = this.main.isUsed || this.awake.length > 0;
    this.options.reserve.keep(threadsKept(isUsed, live.length > 0));
    for (const database of this.branches) {
      const isLive = live.some(({ name, origin }) => name === database.branch && origin === database.origin);
      if (record !== null && !isLive) this.forget(database);
      else database.driver.look();
    }
  }

  private forget(database: BranchDatabase): void {
    this.opened.delete(database.branch);
    const closing = database.close();
    this.closing.add(closing);
    void closing.finally(() => this.closing.delete(closing));
  }

  private get awake(): readonly BranchDatabase[] {
    return this.branches.filter(({ volume }) => volume.isAwake);
  }

  private restIdle(): void {
    const { limits, log } = this.options;
    const nowMs = monotonicMs();
    const idle = chooseToRest(
      this.awake.map(({ awakeView }) => awakeView),
      limits,
      nowMs,
    );
    for (const name of idle) this.rest(name);
    if (!this.main.volume.isAwake || !restsAfter(this.main.awakeView, limits.idleMs, nowMs)) return;
    log.info({ idleMs: limits.idleMs }, 'a gateway without anything to do gives its engines back');
    this.main.rest();
    setTimeout(() => {
      if (!this.main.volume.isAwake) this.options.collectGarbage();
    }, collectAfterMs).unref();
  }

  private rest(name: BranchName): void {
    this.options.log.info({ branch: name }, 'a branch without anything to do gives its engines back');
    this.opened.get(name)?.rest();
  }

  private admit(database: BranchDatabase): SqlError | null {
    const { limits } = this.options;
    const others = this.awake.filter((other) => other !== database);
    const room = roomForOneMore(
      others.map(({ awakeView }) => awakeView),
      limits,
    );
    if (room.kind === 'instead') this.rest(room.name);
    return room.kind === 'full'
      ? adviseError(
          'SEXTANT_LIMIT',
          `The branch ${database.branch} cannot be opened here: openBranches = ${limits.openBranches} other branches are in use (${others
            .map(({ branch }) => branch)
            .join(', ')})`,
        )
      : null;
  }
}
