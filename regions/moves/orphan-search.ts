/** Finds what a failover left behind of one line of history in this region, by inspection of its nodes, and reports it (R9). */

import {
  type BranchName,
  type Epoch,
  EpochTree,
  endOfTime,
  type FetchSource,
  genesisEpoch,
  type Lsn,
  lsn,
  mainBranch,
  minLsn,
  nodeLimits,
  pause,
  type Recovered,
  type RecoveryGoal,
  type RecoveryResult,
  RegionFetch,
  type RegionId,
  type Runtime,
  splitFrames,
  type Timer,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { keptUnder } from './core/kept-reigns.ts';
import { LossCollector, type LossReport, type LostTrace } from './core/loss-report.ts';
import type { LossKeeper } from './loss-store.ts';

const retryMs = 100;
/** Answers in a row that bring nothing of an orphan, `retryMs` apart. */
const triesMax = 300;
/** Between a look that was not complete and the next. */
const lookAgainMs = 2_000;

/** A line of history: a branch by the epoch that it was made with, since its name may have been another's before; or `main`. */
export interface SearchedLine {
  readonly name: BranchName;
  readonly origin: Epoch;
}

export interface OrphanSearchOptions {
  readonly region: RegionId;
  /** Default: `main`. */
  readonly line?: SearchedLine;
  /** Its nodes. */
  readonly links: FetchSource;
  readonly recover: (goal: RecoveryGoal) => Promise<RecoveryResult>;
  readonly losses: LossKeeper;
  /** Hears of each report once it is kept. */
  readonly onReport: (report: LossReport, traces: readonly LostTrace[], lookedAtUs: number) => void;
  readonly runtime: Runtime;
  readonly fetchBytesMax?: number;
  readonly log: Logger;
}

export class OrphanSearch {
  private readonly options: OrphanSearchOptions;
  private readonly line: SearchedLine;
  /**
   * Reigns that were looked at, and up to where history kept each then. Nothing is added to what was left behind (the nodes are sealed,
   * and fetch along the path they know), so that a look is due again only when history keeps less of a reign (R97).
   */
  private readonly inspected = new Map<Epoch, Lsn>();
  /** One look at a time: two would write the same report. */
  private searching: Promise<void> = Promise.resolve();
  /** The path joined last; a look for an older one is not repeated. */
  private newest: Recovered | null = null;
  private lookedUnderEpoch: Epoch | null = null;
  private again: Timer | undefined;
  private closed = false;

  constructor(options: OrphanSearchOptions) {
    this.options = options;
    this.line = options.line ?? { name: mainBranch, origin: genesisEpoch };
  }

  /** Resolves once no look that was asked for is under way; one that has to be repeated is not waited for. */
  get settled(): Promise<void> {
    return this.searching;
  }

  /** Whether a look is under way or has to be repeated. */
  get isLooking(): boolean {
    return this.newest !== null && this.newest.head !== this.lookedUnderEpoch;
  }

  /** The newest path under which everything these nodes hold has been looked at and reported; null before. */
  get lookedUnder(): Epoch | null {
    return this.lookedUnderEpoch;
  }

  /**
   * Looks once the looks asked for before are over; what is found is saved as loss reports. A look that could not see
   * everything is repeated until it has, or until the region joins another path.
   * @returns what to wait for before the nodes are told of the path: where none of them holds anything of it, they will be filled with
   * images, and then know no more how far the path that they left was durable.
   */
  search(joined: Recovered): Promise<void> | undefined {
    this.newest = joined;
    this.searching = this.searching.then(async () => {
      const complete = await this.find(joined);
      if (this.closed) return;
      if (complete) {
        this.lookedUnderEpoch = joined.head;
        return;
      }
      if (this.newest !== joined) return;
      this.again?.stop();
      this.again = this.options.runtime.after(lookAgainMs, () => {
        if (!this.closed && this.newest === joined) void this.search(joined);
      });
    });
    return joined.vdl === zeroLsn ? this.searching : undefined;
  }

  close(): void {
    this.closed = true;
    this.again?.stop();
  }

  /**
   * Looks for what was durable here and is not part of history any more, reign by reign, and lists it commit by
   * commit. Worked out from the nodes' trees every time the region joins a path, so that an agent that dies in the
   * middle only begins again. The records themselves stay where they are.
   * @returns whether everything was looked at.
   */
  private async find(joined: Recovered): Promise<boolean> {
    const tree = new EpochTree(joined.tree);
    const keptOf = keptUnder(tree, joined.head);
    const { name, origin } = this.line;
    let complete = true;
    for (const { epoch: reign, branch } of joined.tree) {
      // What is written on another line is no part of this one's history, and not lost for that.
      if (branch !== name || reign < origin) continue;
      // R95: the nodes may know a newer reign than the path that is looked under.
      if (reign >= joined.head) continue;
      // What lies below the start of the reign belongs to an older one, which is looked at by itself.
      const kept = keptOf(reign);
      if (kept >= (this.inspected.get(reign) ?? endOfTime)) continue;
      const goal = { kind: 'inspect', branch: name, epoch: joined.head, head: reign } as const;
      const outcome = await this.options.recover(goal);
      if (this.closed) return false;
      if (outcome.kind !== 'recovered') {
        this.options.log.warn(
          { branch: name, reign, outcome },
          'could not look for lost writes; looks again in a moment',
        );
        // Whoever has fenced this look refuses the rest of it, too.
        if (outcome.kind === 'fenced') return false;
        complete = false;
        continue;
      }
      const { vdl } = outcome.outcome;
      const reported = this.options.losses.reportedFrom(reign);
      const to = reported === null ? vdl : minLsn(vdl, lsn(reported));
      if (kept >= to || (await this.report({ reign, from: kept, to, foundUnder: joined.head })))
        this.inspected.set(reign, kept);
      else complete = false;
    }
    return complete;
  }

  /**
   * Reads an orphan from whichever nodes hold it.
   * @returns false when none of them gives it: it is looked for again.
   */
  private async report(orphan: {
    readonly reign: Epoch;
    readonly from: Lsn;
    readonly to: Lsn;
    readonly foundUnder: Epoch;
  }): Promise<boolean> {
    const { reign, from, to } = orphan;
    const collector = new LossCollector({ from, to });
    const lookedAtUs = Math.round(this.options.runtime.wallUs());
    const fetcher = new RegionFetch(this.options.links, 0);
    let failures = 0;
    for (let at = from; at < to && !this.closed; ) {
      const reply = await fetcher.fetch({
        kind: 'fetch',
        branch: this.line.name,
        head: reign,
        from: at,
        bytesMax: this.options.fetchBytesMax ?? nodeLimits.fetchBytesMax,
        waitMs: 0,
        durableOnly: false,
        known: { head: reign, vdl: zeroLsn },
      });
      const split = reply === null ? null : splitFrames(reply.frames);
      if (reply === null || split === null || split.kind === 'bad' || reply.next === at) {
        failures += 1;
        // R85: collected before anybody knew that it would be lost.
        const floor = fetcher.belowAll;
        if (floor !== null && floor.lsn > at) {
          at = minLsn(floor.lsn, to);
          collector.skip(at);
          continue;
        }
        if (failures > triesMax) {
          this.options.log.error(
            { reign, at, to },
            'no node gives the lost writes from here on; looks again in a moment',
          );
          return false;
        }
        await pause(this.options.runtime, retryMs);
        continue;
      }
      for (const frame of split.frames) collector.add(frame);
      at = reply.next;
      failures = 0;
    }
    const { name } = this.line;
    const report = collector.report({
      ...(name !== mainBranch && { branch: name }),
      epoch: orphan.foundUnder,
      orphanEpoch: reign,
      region: this.options.region,
      foundAtMs: Math.floor(this.options.runtime.wallUs() / 1_000),
    });
    if (this.closed) return false;
    if (report.count === 0 && report.unlistedTo === undefined) return true;
    await this.options.losses.save(report);
    this.options.onReport(report, collector.traces, lookedAtUs);
    const { count, fromLsn, toLsn, lostBytes, unlistedTo } = report;
    this.options.log.warn(
      {
        branch: name,
        count,
        fromLsn,
        toLsn,
        lostBytes,
        unlistedTo,
        orphanEpoch: reign,
        traced: collector.traces.length,
      },
      'durable writes of this region are no longer part of history',
    );
    return true;
  }
}
