/**
 * Everything that a region's agent does for branches: makes their forks, ships or receives what is written to them, says how far
 * they are here, and looks for what a failover left behind of them.
 */
import {
  type BranchName,
  type Epoch,
  type FetchSource,
  type Fork,
  genesisEpoch,
  type Membership,
  pathRequest,
  RegionFetch,
  type RegionId,
  type Timer,
} from '../../storage/index.ts';
import { BranchForks, type ForkOutcome } from '../branches/branch-forks.ts';
import { needsOf } from '../branches/core/branch-needs.ts';
import type { Source } from '../branches/core/branch-place.ts';
import { type BranchSight, sightsOf } from '../branches/core/branch-sight.ts';
import { carriesImages, decodeShipped, lineOf, subjectsOf } from '../bus/core/messages.ts';
import type { NatsConnection } from '../bus/nats-connection.ts';
import { allottedIn, type Branch, branchesOf, sameBranches } from '../control/core/branch-list.ts';
import type { ControlRecord } from '../control/core/control-record.ts';
import { BranchOrphans } from '../moves/branch-orphans.ts';
import { type BranchLack, branchLacks } from '../moves/core/branch-lacks.ts';
import { branchesToLook } from '../moves/core/branches-to-look.ts';
import type { OrphanSearchOptions } from '../moves/orphan-search.ts';
import { BranchReceiving, type BranchReceivingOptions } from '../replication/branch-receiving.ts';
import {
  BranchShipping,
  type BranchShippingOptions,
  type ShippedBranch,
} from '../replication/branch-shipping.ts';
import type { BranchPlace } from '../replication/core/branch-lanes.ts';
import { branchLoanLimits, isWritten, mayLend, placeIn } from '../replication/core/branch-loans.ts';
import { shippingLimits } from '../replication/core/shipping-limits.ts';
import type { BranchNeeds } from '../retention/core/retention.ts';
import type { ClusterView } from '../status/core/cluster-view.ts';
import type { BranchReport } from '../status/core/report.ts';
import type { RegionNodes } from '../status/region-nodes.ts';
import type { ReplicationParts } from './replication-parts.ts';

/** What the record has named of branches is looked for at the nodes this often, for so long. */
const soonMs = 100;
const newsMs = 3_000;

export interface RegionBranchesOptions extends Omit<OrphanSearchOptions, 'line' | 'links'> {
  readonly cluster: string;
  readonly links: FetchSource & { readonly membership: Membership };
  readonly nodes: Pick<RegionNodes, 'branches' | 'held'>;
  readonly view: Pick<ClusterView, 'region' | 'regions'>;
  readonly nats: Pick<NatsConnection, 'publish' | 'subscribe'>;
  readonly replication: Pick<ReplicationParts, 'connect' | 'bounds'>;
  readonly ship: BranchShippingOptions['ship'];
  readonly receive: BranchReceivingOptions['receive'];
  /** Asks the nodes now. */
  readonly poll: () => void;
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
  private readonly orphans: BranchOrphans;
  /** Since when the primary has lacked what is here of a branch that it does not write. */
  private readonly lackingSinceMs = new Map<BranchName, number>();
  /** Ends the hearing of what is lent to this region while it is the primary; null in a secondary. */
  private stopHearing: (() => void) | null = null;

  constructor(options: RegionBranchesOptions) {
    this.options = options;
    this.forks = new BranchForks(options);
    const { replication, nats } = options;
    const { connect, bounds = shippingLimits } = replication;
    this.shipping = new BranchShipping({ ...options, connect, bounds });
    this.receiving = new BranchReceiving({ ...options, publish: (to, data) => nats.publish(to, data) });
    this.orphans = new BranchOrphans(options);
  }

  /** A newer control record was seen. */
  saw(record: ControlRecord): void {
    if (this.record === null || !sameBranches(record, this.record))
      this.changedAtMs = this.options.runtime.nowMs();
    this.record = record;
    this.look();
  }

  /** The nodes have been asked anew: makes what forks they lack, and begins and ends lanes. */
  look(): void {
    const { branches } = this;
    const { nodes } = this.options;
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
    this.receiving.keep(new Set(this.received.map(({ name }) => name)));
    for (const head of this.paths.keys())
      if (!this.sights.some((sight) => sight.head === head)) this.paths.delete(head);
    for (const { head, name } of this.sights) if (!this.paths.has(head)) void this.learn(name, head);
    this.hear();
    this.shipped = this.sights.flatMap((sight) =>
      this.isPrimary ? this.toShip(sight, this.placesOf(sight)) : this.toLend(sight),
    );
    this.shipping.look(this.shipped);
    this.orphans.look(
      this.sights.map(({ name, origin, head }) => ({ name, origin, head, allotted: this.allottedTo(name) })),
    );
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

  /** Branches of which this region may hold lost writes that it has not looked for yet (R93). */
  get toLook(): readonly BranchName[] {
    const { record, sights, hasLooked, options, orphans } = this;
    const primary = record === null ? null : options.view.region(record.primary, options.runtime.nowMs());
    return branchesToLook({
      branches: this.branches,
      sights: hasLooked ? sights : null,
      lookedUnder: (sight) => orphans.lookedUnder(sight),
      ofPrimary: primary?.branches ?? [],
    });
  }

  /** Of which branches another region has more than this one. @param theirs what it last said. */
  lackedOf(theirs: readonly BranchReport[]): readonly BranchLack[] {
    return branchLacks(this.branches, this.report, theirs);
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
      // What is lent says nothing of anybody's lag.
      const lag = shipped === undefined || !this.isPrimary ? [] : this.shipping.lag(shipped);
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
    this.stopHearing?.();
    this.stopHearing = null;
    this.shipping.close();
    this.receiving.close();
    this.orphans.close();
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

  private get isPrimary(): boolean {
    return this.record?.primary === this.options.region;
  }

  private allottedTo(name: BranchName): Epoch {
    return this.branches.find((branch) => branch.name === name)?.epoch ?? genesisEpoch;
  }

  /** What others ship: of all branches to a secondary, and to the primary of those that it does not write (R92). */
  private get received(): readonly Branch[] {
    const { record, branches } = this;
    return record === null || !this.isPrimary
      ? branches
      : branches.filter((branch) => !isWritten(record, branch));
  }

  /** A secondary hears the redo of branches beside that of `main`. */
  private hear(): void {
    const { nats, cluster, region } = this.options;
    if (!this.isPrimary) {
      this.stopHearing?.();
      this.stopHearing = null;
      return;
    }
    this.stopHearing ??= nats.subscribe(subjectsOf(cluster).ship(region), ({ data }) => this.lent(data));
  }

  private lent(bytes: Uint8Array): void {
    if (!this.isPrimary || carriesImages(bytes)) return;
    const shipped = decodeShipped(bytes);
    if (shipped.kind === 'ok') this.arrived(lineOf(shipped.value), bytes);
  }

  /** How far the other regions that are heard are with a branch; null for one that does not have it. */
  private placesOf(sight: BranchSight): ReadonlyMap<RegionId, BranchPlace | null> {
    const places = new Map<RegionId, BranchPlace | null>();
    const { view, region: here, runtime } = this.options;
    for (const region of view.regions) {
      const report = region === here ? null : view.region(region, runtime.nowMs());
      if (report !== null) places.set(region, placeIn(report, sight));
    }
    return places;
  }

  private toShip(
    { name, origin, head, vdl }: BranchSight,
    others: ReadonlyMap<RegionId, BranchPlace | null>,
  ): readonly ShippedBranch[] {
    const forks = this.paths.get(head);
    return forks === undefined ? [] : [{ name, origin, reign: { head, forks, vdl }, others }];
  }

  /** R92 */
  private toLend(sight: BranchSight): readonly ShippedBranch[] {
    const { record, options } = this;
    const branch = this.branches.find(({ name }) => name === sight.name);
    if (record === null || branch === undefined) return [];
    const others = this.placesOf(sight);
    if (!mayLend({ record, branch, me: options.region, mine: sight, others })) {
      this.lackingSinceMs.delete(sight.name);
      return [];
    }
    const nowMs = options.runtime.nowMs();
    const sinceMs = this.lackingSinceMs.get(sight.name) ?? nowMs;
    this.lackingSinceMs.set(sight.name, sinceMs);
    if (nowMs - sinceMs < branchLoanLimits.afterMs) return [];
    const { primary } = record;
    return this.toShip(sight, new Map([[primary, others.get(primary) ?? null]]));
  }

  /** Reads the path to a head from whichever node has it; one try at a time. */
  private async learn(branch: BranchName, head: Epoch): Promise<void> {
    if (this.learning.has(head)) return;
    this.learning.add(head);
    const log = new RegionFetch(this.options.links, head);
    const reply = await log.fetch(pathRequest(branch, head));
    this.learning.delete(head);
    if (reply === null || reply.head !== head) return;
    this.paths.set(head, reply.forks);
    this.look();
  }
}
