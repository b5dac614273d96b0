/** Finds what a failover left behind in this region, by inspection when the region joins a path, and reports it (R9). */
import { commonPoint, EpochTree } from '../../storage/core/epoch-tree.ts';
import { splitFrames } from '../../storage/core/frame.ts';
import { type Epoch, type Lsn, lsn, mainBranch, maxLsn, minLsn, zeroLsn } from '../../storage/core/ids.ts';
import { nodeLimits } from '../../storage/core/limits.ts';
import type { Recovered } from '../../storage/core/recovery.ts';
import { type RegionClient, runRecovery } from '../../storage/shell/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { LossCollector } from '../core/loss-report.ts';
import type { LossStore } from './loss-store.ts';
import { RegionFetch } from './region-fetch.ts';

const inspectMs = 15_000;
const retryMs = 100;
/** Answers in a row that bring nothing of an orphan, `retryMs` apart. */
const triesMax = 300;

export interface OrphanSearchOptions {
  readonly region: RegionClient;
  readonly losses: LossStore;
  readonly log: Logger;
}

export class OrphanSearch {
  private readonly options: OrphanSearchOptions;
  /** Reigns already looked at, under which head. */
  private readonly inspected = new Set<string>();
  /** One look at a time: two would write the same report. */
  private searching: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: OrphanSearchOptions) {
    this.options = options;
  }

  /** Looks once the looks asked for before are over; what is found is saved as loss reports. */
  search(joined: Recovered): void {
    this.searching = this.searching.then(() => this.find(joined));
  }

  close(): void {
    this.closed = true;
  }

  /**
   * Looks for what was durable here and is not part of history any more, reign by reign, and lists it commit by
   * commit. Worked out from the nodes' trees every time the region joins a path, so that an agent that dies in the
   * middle only begins again. The records themselves stay where they are.
   */
  private async find(joined: Recovered): Promise<void> {
    const tree = new EpochTree(joined.tree);
    for (const { epoch: reign } of joined.tree) {
      if (reign === joined.head || this.inspected.has(`${joined.head}/${reign}`)) continue;
      const outcome = await runRecovery(
        this.options.region,
        { kind: 'inspect', branch: mainBranch, epoch: joined.head, head: reign },
        { timeoutMs: inspectMs },
      );
      if (this.closed) return;
      if (outcome.kind !== 'recovered') {
        this.options.log.warn(
          { reign, outcome },
          'could not look for lost writes; tries again when the region joins next',
        );
        continue;
      }
      this.inspected.add(`${joined.head}/${reign}`);
      const { vdl } = outcome.outcome;
      // What lies below the start of the reign belongs to an older one, which is looked at by itself.
      const from = maxLsn(tree.startOf(reign), commonPoint(tree, { head: reign, lsn: vdl }, joined.head));
      const reported = this.options.losses.reportedFrom(reign);
      const to = reported === null ? vdl : minLsn(vdl, lsn(reported));
      if (from < to) await this.report({ reign, from, to, foundUnder: joined.head });
    }
  }

  /** Reads an orphan from whichever nodes hold it. What none of them gives is tried again at the next join. */
  private async report(orphan: {
    readonly reign: Epoch;
    readonly from: Lsn;
    readonly to: Lsn;
    readonly foundUnder: Epoch;
  }): Promise<void> {
    const { reign, from, to } = orphan;
    const collector = new LossCollector({ from, to });
    const fetcher = new RegionFetch(this.options.region, 0);
    let failures = 0;
    for (let at = from; at < to && !this.closed; ) {
      const reply = await fetcher.fetch({
        kind: 'fetch',
        branch: mainBranch,
        head: reign,
        from: at,
        bytesMax: nodeLimits.fetchBytesMax,
        waitMs: 0,
        durableOnly: false,
        known: { head: reign, vdl: zeroLsn },
      });
      const split = reply === null ? null : splitFrames(reply.frames);
      if (reply === null || split === null || split.kind === 'bad' || reply.next === at) {
        failures += 1;
        if (failures > triesMax) {
          this.inspected.delete(`${orphan.foundUnder}/${reign}`);
          this.options.log.error(
            { reign, at, to },
            'no node gives the lost writes from here on; tries again when the region joins next',
          );
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, retryMs));
        continue;
      }
      for (const frame of split.frames) collector.add(frame);
      at = reply.next;
      failures = 0;
    }
    const report = collector.report({
      epoch: orphan.foundUnder,
      orphanEpoch: reign,
      region: this.options.region.region,
      foundAtMs: Date.now(),
    });
    if (this.closed || report.count === 0) return;
    await this.options.losses.save(report);
    const { count, fromLsn, toLsn, lostBytes } = report;
    this.options.log.warn(
      { count, fromLsn, toLsn, lostBytes, orphanEpoch: reign },
      'durable writes of this region are no longer part of history',
    );
  }
}
