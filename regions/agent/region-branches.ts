/**
 * Everything that a region's agent does for branches: makes their forks, ships or receives what is written to them, and says how
 * far they are here.
 */
import {
  type BranchName,
  type Epoch,
  endOfTime,
  epoch,
  type FetchSource,
  type Fork,
  genesisEpoch,
  lsn,
  type Membership,
  RegionFetch,
  type RegionId,
  type Runtime,
  type Timer,
  zeroLsn,
} from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { BranchForks, type ForkOutcome } from '../branches/branch-forks.ts';
import { needsOf } from '../branches/core/branch-needs.ts';
import type { Source } from '../branches/core/branch-place.ts';
import { type BranchSight, sightsOf } from '../branches/core/branch-sight.ts';
import { allottedIn, type Branch, branchesOf, sameBranches } from '../control/core/branch-list.ts';
import type { ControlRecord } from '../control/core/control-record.ts';
import { BranchReceiving, type BranchReceivingOptions } from '../replication/branch-receiving.ts';
import {
  BranchShipping,
  type BranchShippingOptions,
  type ShippedBranch,
} from '../replication/branch-shipping.ts';
import type { BranchPlace } from '../replication/core/branch-lanes.ts';
import { shippingLimits } from '../replication/core/shipping-limits.ts';
import type { BranchNeeds } from '../retention/core/retention.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { BranchReport } from '../status/core/report.ts';
import type { RegionNodes } from '../status/region-nodes.ts';
import type { ReplicationParts } from './replication-parts.ts';

/** What the record has named of branches is looked for at the nodes this often, for so long. */
const soonMs = 100;
const newsMs = 3_000;

export interface RegionBranchesOptions {
  readonly region: RegionId;
  readonly links: FetchSource & { readonly membership: Membership };
  readonly nodes: Pick<RegionNodes, 'branches' | 'held'>;
  readonly view: Pick<ClusterView, 'region' | 'regions'>;
  readonly nats: { readonly publish: BranchReceivingOptions['publish'] };
  readonly replication: Pick<ReplicationParts, 'connect' | 'bounds'>;
  readonly ship: BranchShippingOptions['ship'];
  readonly receive: BranchReceivingOptions['receive'];
  /** Asks the nodes now. */
  readonly poll: () => void;
  readonly runtime: Runtime;
  readonly log: Logger;
}

export class RegionBranches {
  private readonly options: RegionBranchesOptions;
  private readonly forks: BranchForks;
  private readonly shipping: BranchShipping;
  private readonly receiving: BranchReceiving;
  private readonly paths = new Map<Epoch, readonly Fork[]>();
  private readonly learning = new Set<Epoch>();
  private record: ControlRecord | null = null;
  private sights: readonly BranchSight[] = [];
  private hasLooked = false;
  private changedAtMs = Number.NEGATIVE_INFINITY;
  /** The nodes are asked again before their time. */
  private soon: Timer | null = null;
  private shipped: readonly ShippedBranch[] = [];

  constructor(options: RegionBranchesOptions) {
    this.options = options;
    this.forks = new BranchForks(options);
    const { replication, nats } = options;
    const { connect, bounds = shippingLimits } = replication;
    this.shipping = new BranchShipping({ ...options, connect, bounds });
    this.receiving = new BranchReceiving({ ...options, publish: (to, data) => nats.publish(to, data) });
  }

  /** A newer control record was seen. */
  saw(record: ControlRecord): void {
    if (this.record === null || !sameBranches(record, this.record))
      this.changedAtMs = this.options.runtime.nowMs();
    this.record = record;
    this.receiving.keep(new Set(this.branches.map(({ name }) => name)));
    this.look();
  }

  /** The nodes have been asked anew: makes what forks they lack, and begins and ends lanes. */
  look(): void {
    const { branches } = this;
    const { nodes, region } = this.options;
    // Every branch that is here is on four nodes: three cannot all have missed it.
    this.hasLooked ||= nodes.held !== null;
    const seen = sightsOf(branches, nodes.branches);
    // A branch that was seen is here for as long as the record names it, whoever does not answer.
    const unseen = this.sights.filter(
      ({ name, origin }) =>
        branches.some((branch) => branch.name === name && branch.origin === origin) &&
        !seen.some((sight) => sight.name === name),
    );
    this.sights = [...seen, ...unseen.map((sight) => ({ ...sight, nodes: [] }))];
    this.forks.look(branches, ({ name }) => this.sightOf(name)?.nodes ?? []);
    this.receiving.keep(new Set(branches.map(({ name }) => name)));
    for (const head of this.paths.keys())
      if (!this.sights.some((sight) => sight.head === head)) this.paths.delete(head);
    for (const { head, name } of this.sights) if (!this.paths.has(head)) void this.learn(name, head);
    const isPrimary = this.record?.primary === region;
    if (isPrimary) this.receiving.close();
    this.shipped = isPrimary ? this.sights.flatMap((sight) => this.toShip(sight)) : [];
    this.shipping.look(this.shipped);
    if (!this.awaitsNews || this.soon !== null) return;
    this.soon = this.options.runtime.after(soonMs, () => {
      this.soon = null;
      this.options.poll();
    });
  }

  /** An acknowledgement. @returns whether it is one of a branch. */
  acked(bytes: Uint8Array): boolean {
    return this.shipping.acked(bytes);
  }

  /** Redo of a branch has arrived. */
  arrived(branch: BranchName, bytes: Uint8Array): void {
    this.receiving.arrived(branch, bytes);
  }

  /** Makes the fork of a new branch on this region's nodes, now. */
  make(branch: Branch): Promise<ForkOutcome> {
    return this.forks.make(branch, []);
  }

  /** What the nodes hold of a branch, as they last said; null while its path is not known. */
  source(name: BranchName, floor: Source['floor']): Source | null {
    const sight = this.sightOf(name);
    const forks = sight === undefined ? undefined : this.paths.get(sight.head);
    return sight === undefined || forks === undefined
      ? null
      : { head: sight.head, vdl: sight.vdl, forks, floor };
  }

  /** What the branches that are here need of the log; null before that was found out. */
  get needs(): BranchNeeds | null {
    const { record } = this;
    if (record === null || !this.hasLooked) return null;
    return needsOf({
      branches: this.branches,
      allotted: allottedIn(record),
      sights: this.sights,
      pathTo: (head) => this.paths.get(head),
      cannotBegin: (branch) => this.forks.cannotBegin(branch),
    });
  }

  /** After a change of the branches: whether the nodes have not been seen to know what it named. */
  private get awaitsNews(): boolean {
    const { runtime } = this.options;
    if (runtime.nowMs() - this.changedAtMs > newsMs) return false;
    return this.branches.some(
      ({ name, epoch: newest }) => (this.sightOf(name)?.head ?? genesisEpoch) < newest,
    );
  }

  /** How far each branch is here, and at the secondaries as their primary sees it. */
  get report(): readonly BranchReport[] {
    return this.sights.map((sight) => {
      const { name } = sight;
      const { head, vdl } = this.placeOf(sight);
      const shipped = this.shipped.find((branch) => branch.name === name);
      const lag = shipped === undefined ? [] : this.shipping.lag(shipped);
      return {
        name,
        epoch: head,
        vdl,
        lag: lag.map(({ region, lagBytes, lagMs }) => ({
          region,
          lagBytes,
          lagMs: lagMs === null ? null : Math.round(lagMs),
        })),
      };
    });
  }

  close(): void {
    this.soon?.stop();
    this.soon = null;
    this.shipping.close();
    this.receiving.close();
  }

  private get branches(): readonly Branch[] {
    return branchesOf(this.record);
  }

  private sightOf(name: BranchName): BranchSight | undefined {
    return this.sights.find((sight) => sight.name === name);
  }

  /** The receiver knows more than nodes have been told. */
  private placeOf(sight: BranchSight): BranchPlace {
    const at = this.receiving.position(sight.name);
    return at !== null && at.head >= sight.head ? at : sight;
  }

  private toShip({ name, origin, head, vdl }: BranchSight): readonly ShippedBranch[] {
    const forks = this.paths.get(head);
    if (forks === undefined) return [];
    const others = new Map<RegionId, BranchPlace | null>();
    const { view, region: here, runtime } = this.options;
    for (const region of view.regions) {
      const report = region === here ? null : view.region(region, runtime.nowMs());
      if (report === null) continue;
      const theirs = report.branches?.find((branch) => branch.name === name && branch.epoch >= origin);
      others.set(region, theirs === undefined ? null : { head: epoch(theirs.epoch), vdl: lsn(theirs.vdl) });
    }
    return [{ name, origin, reign: { head, forks, vdl }, others }];
  }

  /** Reads the path to a head from whichever node has it; one try at a time. */
  private async learn(branch: BranchName, head: Epoch): Promise<void> {
    if (this.learning.has(head)) return;
    this.learning.add(head);
    const log = new RegionFetch(this.options.links, head);
    const reply = await log.fetch({
      kind: 'fetch',
      branch,
      head,
      // Only the path is asked for: the log may begin above where it begins.
      from: endOfTime,
      bytesMax: 1,
      waitMs: 0,
      durableOnly: true,
      known: { head: genesisEpoch, vdl: zeroLsn },
    });
    this.learning.delete(head);
    if (reply === null || reply.head !== head) return;
    this.paths.set(head, reply.forks);
    this.look();
  }
}
