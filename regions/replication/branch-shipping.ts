/**
 * Ships every branch of a primary, each by lanes of its own (`core/branch-lanes.ts`) that are like those of `main`: the same
 * subjects and messages, whose head says which line of history they carry. So does an acknowledgement.
 */
import type { BranchName, Epoch, RegionId, Runtime } from '../../storage/index.ts';
import type { Logger } from '../../telemetry/index.ts';
import { decodeAck } from '../bus/core/messages.ts';
import { type BranchPlace, isLevel, lanesOf, sharedBounds } from './core/branch-lanes.ts';
import type { ShippingBounds } from './core/shipping-limits.ts';
import type { Reign } from './reign.ts';
import { SharedOutlets } from './shared-outlets.ts';
import type { LaneLag, Outlet, Shipping, ShippingOptions } from './shipping.ts';

export interface BranchShippingOptions {
  /** Opens a connection named for its purpose. */
  readonly connect: (purpose: string) => Outlet;
  readonly bounds: ShippingBounds;
  /** Begins to ship a path of a branch. */
  readonly ship: (
    lanes: Pick<ShippingOptions, 'secondaries' | 'connect' | 'bounds' | 'branch'>,
    reign: Reign,
  ) => Shipping;
  readonly runtime: Runtime;
  readonly log: Logger;
}

/** A branch as this region's nodes have it now, and how far the regions that are heard are with it. */
export interface ShippedBranch {
  readonly name: BranchName;
  readonly origin: Epoch;
  readonly reign: Reign;
  readonly others: ReadonlyMap<RegionId, BranchPlace | null>;
}

interface Line {
  reign: Reign;
  movedAtMs: number;
  run: Shipping | null;
  lanes: readonly RegionId[];
}

/** How far a secondary is with a branch. */
export interface BranchLag {
  readonly region: RegionId;
  readonly lagBytes: number;
  /** Null while unknown. */
  readonly lagMs: number | null;
}

export class BranchShipping {
  private readonly options: BranchShippingOptions;
  private readonly outlets: SharedOutlets;
  private readonly lines = new Map<BranchName, Line>();

  constructor(options: BranchShippingOptions) {
    this.options = options;
    this.outlets = new SharedOutlets(options.connect);
  }

  /** Takes in how things are: lanes begin and end accordingly. Branches that are not named any more are shipped no longer. */
  look(branches: readonly ShippedBranch[]): void {
    for (const [name, line] of [...this.lines]) {
      if (branches.some((branch) => branch.name === name)) continue;
      this.lines.delete(name);
      void line.run?.close();
    }
    for (const branch of branches) this.follow(branch);
  }

  /** Hands an acknowledgement to the branch whose path it names. @returns false when it is none of a branch. */
  acked(bytes: Uint8Array): boolean {
    if (this.lines.size === 0) return false;
    const ack = decodeAck(bytes);
    if (ack.kind === 'malformed') return false;
    const line = [...this.lines.values()].find(({ reign }) => reign.head === ack.value.head);
    line?.run?.acked(bytes);
    return line !== undefined;
  }

  /** Of a branch, to each region that has its fork. */
  lag({ name, reign: mine, others }: ShippedBranch): readonly BranchLag[] {
    const lanes: readonly (LaneLag & { region: RegionId })[] = this.lines.get(name)?.run?.lag() ?? [];
    return [...others].flatMap(([region, theirs]) => {
      if (theirs === null) return [];
      const lane = lanes.find((one) => one.region === region);
      if (lane !== undefined) return [{ region, lagBytes: lane.lagBytes, lagMs: lane.lagMs }];
      if (isLevel(theirs, mine)) return [{ region, lagBytes: 0, lagMs: 0 }];
      const lagBytes = Math.max(0, mine.vdl - theirs.vdl);
      return [{ region, lagBytes, lagMs: null }];
    });
  }

  /** Lanes of branches that there are to a secondary. */
  private lanesTo(region: RegionId): number {
    let lanes = 0;
    for (const line of this.lines.values()) if (line.lanes.includes(region)) lanes += 1;
    return lanes;
  }

  close(): void {
    for (const { run } of this.lines.values()) void run?.close();
    this.lines.clear();
  }

  private follow({ name, origin, reign, others }: ShippedBranch): void {
    const nowMs = this.options.runtime.nowMs();
    const line = this.lines.get(name) ?? { reign, movedAtMs: nowMs, run: null, lanes: [] };
    this.lines.set(name, line);
    const isOther = line.reign.head !== reign.head;
    if (isOther || reign.vdl > line.reign.vdl) line.movedAtMs = nowMs;
    line.reign = reign;
    const movedMsAgo = nowMs - line.movedAtMs;
    line.lanes = lanesOf({ origin, mine: reign, movedMsAgo, others });
    if (line.run !== null && (isOther || line.lanes.length === 0)) {
      void line.run.close();
      line.run = null;
    }
    if (line.lanes.length === 0) return;
    if (line.run === null) line.run = this.ship(name, line);
    else line.run.shipTo(line.lanes);
    line.run.durable(reign.vdl);
  }

  private ship(branch: BranchName, line: Line): Shipping {
    const { reign, lanes } = line;
    const { bounds, ship, log } = this.options;
    log.info({ branch, epoch: reign.head, vdl: reign.vdl, to: lanes }, 'ships a branch');
    const most = (): number => Math.max(1, ...line.lanes.map((region) => this.lanesTo(region)));
    const shared = sharedBounds(bounds, most);
    const connect = (purpose: string): Outlet =>
      this.outlets.take(purpose.replace('ship-', 'ship-branches-'));
    return ship({ secondaries: lanes, connect, bounds: shared, branch }, reign);
  }
}
